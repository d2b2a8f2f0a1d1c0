// Copies: matrices transposed by blocks, and pieces one after another along an axis.

// y (…, rows, columns) = x, whose rows of memory are the columns of y: element (r, c) of a matrix lies in x at
// r + c·step. It goes by blocks of BLOCK by BLOCK, which are read and written by neighbours. OUTER is the number of
// loops around the matrices.

// Where block number `block` lies: its matrix, first row and first column, and where the matrix begins in x.
typedef struct { int matrix, row, column, from; } corner;

static corner corner_of(int block, int rows, int columns, ints dims, ints strides) {
    int across = (columns + BLOCK - 1) / BLOCK, down = (rows + BLOCK - 1) / BLOCK;
    corner at = {block / across / down, block / across % down * BLOCK, block % across * BLOCK, 0};
    int rest = at.matrix;
    for (int axis = OUTER - 1; axis >= 0; axis--) {
        at.from += rest % dims.at[axis] * strides.at[axis];
        rest /= dims.at[axis];
    }
    return at;
}

#if IS_CPU
// A work-item for each block, which stays in its cache.
kernel void transpose(IN(x), OUT(y), const int blocks, const int rows, const int columns, const int step,
                      const ints dims, const ints strides) {
    int id = get_global_id(0);
    if (id >= blocks) return;
    corner at = corner_of(id, rows, columns, dims, strides);
    int height = min(rows - at.row, BLOCK), width = min(columns - at.column, BLOCK);
    real block[BLOCK][BLOCK];
    for (int c = 0; c < width; c++) {
        int from = at.from + at.row + (at.column + c) * step;
        for (int r = 0; r < height; r++) block[c][r] = AT(x, from + r);
    }
    for (int r = 0; r < height; r++) {
        int to = (at.matrix * rows + at.row + r) * columns + at.column;
        for (int c = 0; c < width; c++) AT(y, to + c) = block[c][r];
    }
}
#else
// A group of BLOCK·BLOCK work-items for each block.
kernel void transpose(IN(x), OUT(y), const int blocks, const int rows, const int columns, const int step,
                      const ints dims, const ints strides) {
    // A column more, so that the work-items that read a column of the block find it in different banks.
    local real block[BLOCK][BLOCK + 1];
    corner at = corner_of(get_group_id(0), rows, columns, dims, strides);
    int minor = get_local_id(0) % BLOCK, major = get_local_id(0) / BLOCK;
    if (at.row + minor < rows && at.column + major < columns) {
        block[major][minor] = AT(x, at.from + at.row + minor + (at.column + major) * step);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    if (at.row + major < rows && at.column + minor < columns) {
        AT(y, (at.matrix * rows + at.row + major) * columns + at.column + minor) = block[minor][major];
    }
}
#endif

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
