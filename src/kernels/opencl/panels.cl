// Matrices in panels of WIDTH columns, so that what is read together lies together; and sums of parts.

// packed[z, panel, i, j] = b[z, i, panel·WIDTH + j] for k rows i and n columns, 0 beyond them. Row i lies at
// i / depth · outer + i % depth · inner. Behind it all, so many zeros.
kernel void pack(IN(b), OUT(packed), const int k, const int n, const int depth, const int outer, const int inner,
                 const int column, const int zeros, const int rank, const ints dims, const ints steps) {
    int i = get_global_id(0), panel = get_global_id(1), z = get_global_id(2);
    int panels = get_global_size(1), matrices = get_global_size(2);
    if (panel == 0 && z == 0) {
        for (int at = i; at < zeros; at += get_global_size(0)) AT(packed, matrices * panels * k * WIDTH + at) = 0;
    }
    if (i >= k) return;
    int from = place(z, rank, dims, steps) + i / depth * outer + i % depth * inner + panel * WIDTH * column;
    int to = ((z * panels + panel) * k + i) * WIDTH, filled = n - panel * WIDTH;
    for (int j = 0; j < WIDTH; ++j) AT(packed, to + j) = j < filled ? AT(b, from + j * column) : 0;
}

// y[i] = the sum of so many parts x[p, i], as a fixed tree.
kernel void add_parts(IN(x), OUT(y), const int n, const int parts) {
    int i = get_global_id(0);
    if (i >= n) return;
    real even = 0, odd = 0;
    for (int p = 0; p < parts; p += 2) {
        even += AT(x, p * n + i);
        if (p + 1 < parts) odd += AT(x, (p + 1) * n + i);
    }
    AT(y, i) = even + odd;
}
