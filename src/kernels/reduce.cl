// Reductions in stages, each by up to 32 terms: a fixed tree, without local memory. `place.cl`
// and the function `combine`, which the host prints, come before this.
//
// KEPT and GONE are the numbers of loops that are kept and reduced; GONE_INNERMOST says whether a reduced one is the
// innermost in memory.

// y[p, o] = x[o, p] ∘ x[o, p + parts] ∘ x[o, p + 2·parts] … over the terms of output o. Neighbours in a work-group read
// neighbours in memory.
kernel void reduce(IN(x), OUT(y), const int outputs, const int terms, const int parts, const ints kept_dims,
                   const ints kept_strides, const ints gone_dims, const ints gone_strides) {
    int id = get_global_id(0);
    if (id >= outputs * parts) return;
#if GONE_INNERMOST
    int p = id % parts, o = id / parts;
#else
    int p = id / outputs, o = id % outputs;
#endif
    int from = place(o, KEPT, kept_dims, kept_strides);
    real first = AT(x, from + place(p, GONE, gone_dims, gone_strides));
    int second_at = p + parts;
    if (second_at < terms) {
        // Two chains, half as long.
        real second = AT(x, from + place(second_at, GONE, gone_dims, gone_strides));
        // By what is left, which does not overflow.
        for (int left = terms - p - 2 * parts; left > 0; left -= 2 * parts) {
            int r = terms - left;
            first = combine(first, AT(x, from + place(r, GONE, gone_dims, gone_strides)));
            if (left > parts) second = combine(second, AT(x, from + place(r + parts, GONE, gone_dims, gone_strides)));
        }
        first = combine(first, second);
    }
    AT(y, p * outputs + o) = first;
}

// What is left of nothing.
kernel void fill(OUT(y), const int n, const real value) {
    int i = get_global_id(0);
    if (i < n) AT(y, i) = value;
}
