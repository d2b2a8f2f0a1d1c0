// Rows picked by index, and rows added up by index.

// y[o, j, i] = x[o, indices[j], i], n elements.
kernel void pick(IN(x), INDICES(indices), OUT(y), const int n, const int count, const int extent, const int inner) {
    int at = get_global_id(0);
    if (at >= n) return;
    int i = at % inner, j = at / inner % count, o = at / inner / count;
    AT(y, at) = AT(x, (o * extent + (int)AT(indices, j)) * inner + i);
}

// y[o, e, i] = Σ x[o, j, i] over the j with indices[j] = e, in the order of j; n elements. Every element looks through
// all indices, which are few where a table is picked from: as many as a batch has rows.
kernel void add_up(IN(x), INDICES(indices), OUT(y), const int n, const int count, const int extent, const int inner) {
    int at = get_global_id(0);
    if (at >= n) return;
    int i = at % inner, e = at / inner % extent, o = at / inner / extent;
    wide sum = 0;
    for (int j = 0; j < count; j++) {
        if ((int)AT(indices, j) == e) sum += AT(x, (o * count + j) * inner + i);
    }
    AT(y, at) = (real)sum;
}
