// Matrices in panels of WIDTH columns, so that what is read together lies together.

// packed[z, panel, i, j] = b[z, i, panel·WIDTH + j] for k rows i and n columns, 0 beyond them. Row i lies at
// i / depth · outer + i % depth · inner. Behind it all, so many zeros. A work-item has some rows of a panel: as many as
// have their numbers on one line of the cache where they lie next to each other.
kernel void pack(IN(b), OUT(packed), const int k, const int n, const int panels, const int depth, const int outer,
                 const int inner, const int column, const int zeros, const int rank, const ints dims,
                 const ints steps) {
    int panel = get_global_id(0), from = get_global_id(1) * PACKED_ROWS, z = get_global_id(2);
    if (panel >= panels) return;
    if (panel == 0 && z == 0) {
        int start = get_global_size(2) * panels * k * WIDTH;
        for (int i = get_global_id(1); i < zeros; i += get_global_size(1)) AT(packed, start + i) = 0;
    }
    int start = place(z, rank, dims, steps) + panel * WIDTH * column, filled = n - panel * WIDTH;
    int end = min(from + PACKED_ROWS, k), at = ((z * panels + panel) * k + from) * WIDTH;
    for (int i = from; i < end; ++i, at += WIDTH) {
        int row = start + i / depth * outer + i % depth * inner;
        if (filled >= WIDTH && column == 1) {
            for (int j = 0; j < WIDTH; ++j) AT(packed, at + j) = AT(b, row + j);
        } else {
            for (int j = 0; j < WIDTH; ++j) AT(packed, at + j) = j < filled ? AT(b, row + j * column) : 0;
        }
    }
}
