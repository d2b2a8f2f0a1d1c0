// Products of a weight (outer, rows, inner) with vectors, and what spectral normalisation does with them; `sums.cl`
// comes before this.

// Where the numbers of a list lie in memory: number i at i / split · far + i % split · near.
typedef struct { int split, far, near; } places;

static int place(int i, places at) {
    return i / at.split * at.far + i % at.split * at.near;
}

// y[s] = Σ w[s, t]·v[t] over `terms` numbers t, for `sums` numbers s: W·v, where the s are the rows and the t the
// columns in memory order, or Wᵀ·u, where it is the other way round. Both lie in w as `places` say.
kernel void product(IN(w), IN(v), OUT(y), const int sums, const int terms, const int sum_split, const int sum_far,
                    const int sum_near, const int term_split, const int term_far, const int term_near) {
    local wide shared[TILE * WORKERS];
    const int own = get_group_id(0) * TILE + SUM_IN_GROUP, s = min(own, sums - 1);
    const places sums_at = {sum_split, sum_far, sum_near};
    const int from = place(s, sums_at);
    // The place of term t, kept up without divisions.
    const int steps_far = WORKERS / term_split, steps_near = WORKERS % term_split;
    int far = WORKER / term_split, near = WORKER % term_split;
    wide sum = 0;
    for (int t = WORKER; t < terms;) {
        const int end = t + min(CHAIN * WORKERS, terms - t);
        real few = 0;
        for (; t < end; t += WORKERS) {
            few += AT(w, from + far * term_far + near * term_near) * AT(v, t);
            far += steps_far;
            near += steps_near;
            if (near >= term_split) {
                near -= term_split;
                far++;
            }
        }
        sum += few;
    }
    sum = over_workers(sum, shared);
    if (WORKER == 0 && own < sums) AT(y, s) = sum;
}

// Σ a·b of elements `begin` to `end`, for each work-item of the group.
static wide dot_of_part(global const real *a, global const real *b, int begin, int end, local wide *shared) {
    wide sum = 0;
    for (int e = begin + WORKER; e < end; e += CHAIN * WORKERS) {
        wide few = 0;
        for (int i = e; i < e + min(CHAIN * WORKERS, end - e); i += WORKERS) few += (wide)a[i] * b[i];
        sum += few;
    }
    return over_workers(sum, shared);
}

// ⟨a, b⟩ of short vectors: one group.
kernel void dot_product(IN(a), IN(b), OUT(y), const int n) {
    local wide shared[TILE * WORKERS];
    wide sum = dot_of_part(&AT(a, 0), &AT(b, 0), 0, n, shared);
    if (get_local_id(0) == 0) AT(y, 0) = sum;
}

// ⟨a, b⟩ by parts of `length` elements, a group each.
kernel void dots_of_parts(IN(a), IN(b), WIDE_OUT(parts), const int n, const int length) {
    local wide shared[TILE * WORKERS];
    const int part = get_group_id(0), begin = part * length;
    wide sum = dot_of_part(&AT(a, 0), &AT(b, 0), begin, begin + min(length, n - begin), shared);
    if (get_local_id(0) == 0) AT(parts, part) = sum;
}

// The sum of the parts: one group.
kernel void add_parts(WIDE_IN(parts), OUT(y), const int n) {
    local wide shared[TILE * WORKERS];
    wide sum = 0;
    for (int i = WORKER; i < n; i += WORKERS) sum += AT(parts, i);
    sum = over_workers(sum, shared);
    if (get_local_id(0) == 0) AT(y, 0) = sum;
}

// y = x/max(‖x‖, eps) of a short vector: one group.
kernel void unit_vector(IN(x), OUT(y), const int n, const real eps) {
    local wide shared[TILE * WORKERS];
    wide norm = sqrt(dot_of_part(&AT(x, 0), &AT(x, 0), 0, n, shared));
    // Not `fmax` for NaN's sake: it makes eps of it, as this does.
    real scale = 1 / (norm > eps ? norm : (wide)eps);
    for (int i = WORKER; i < n; i += WORKERS) AT(y, i) = AT(x, i) * scale;
}

// y = (g − u·λvᵀ)/σ of elements (outer, rows, inner): the work-items of the first axis are those that lie together, in
// a column of W if inner is 1, else in a row.
kernel void minus_outer(IN(g), IN(u), IN(v), IN(lambda), IN(sigma), OUT(y), const int runs, const int together,
                        const int rows, const int inner) {
    const int at = get_global_id(0), run = OWN_ROW;
    if (at >= together || run >= runs) return;
#if INNER_IS_ONE
    const int row = at, column = run;
#else
    const int row = run % rows, column = run / rows * inner + at;
#endif
    const int i = run * together + at;
    AT(y, i) = (AT(g, i) - AT(u, row) * (AT(lambda, 0) * AT(v, column))) * (1 / AT(sigma, 0));
}
