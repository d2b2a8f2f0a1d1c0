// Copies: matrices transposed by blocks, and pieces one after another along an axis.

// y (…, rows, columns) = x, whose rows of memory are the columns of y: element (r, c) of a matrix lies in x at
// r + c·step. A group copies a block of BLOCK by BLOCK, and both its reads and its writes go to neighbours. OUTER is the
// number of loops around the matrices.
kernel void transpose(IN(x), OUT(y), const int rows, const int columns, const int step, const ints dims,
                      const ints strides) {
    // A column more, so that the work-items that read a column of the block find it in different banks.
    local real block[BLOCK][BLOCK + 1];
    int across = (columns + BLOCK - 1) / BLOCK, down = (rows + BLOCK - 1) / BLOCK;
    int group = get_group_id(0), matrix = group / across / down;
    int row = group / across % down * BLOCK, column = group % across * BLOCK;
    int from = 0, rest = matrix;
    for (int axis = OUTER - 1; axis >= 0; axis--) {
        from += rest % dims.at[axis] * strides.at[axis];
        rest /= dims.at[axis];
    }
    int minor = get_local_id(0) % BLOCK, major = get_local_id(0) / BLOCK;
    if (row + minor < rows && column + major < columns) {
        block[major][minor] = AT(x, from + row + minor + (column + major) * step);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (row + major < rows && column + minor < columns) {
        AT(y, (matrix * rows + row + major) * columns + column + minor) = block[minor][major];
    }
}

// Rows of `length` elements, `n` in all, to where they begin in the longer rows of y.
kernel void piece(IN(x), OUT(y), const int n, const int length, const int row, const int begin) {
    int i = get_global_id(0);
    if (i < n) AT(y, i / length * row + begin + i % length) = AT(x, i);
}

// As `piece`, of zeros.
kernel void zeros(OUT(y), const int n, const int length, const int row, const int begin) {
    int i = get_global_id(0);
    if (i < n) AT(y, i / length * row + begin + i % length) = 0;
}
