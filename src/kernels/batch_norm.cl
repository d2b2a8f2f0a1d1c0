// Batch normalisation over x (rows, channels), in groups of TILE channels; `sums.cl` comes before this. The rows are
// cut into parts, of `length` rows each; RELU says whether one follows.

// The channel of a work-item. Those beyond the last do the same as the last, and write nothing.
#define CHANNEL                                                                \
    const int own_channel = get_group_id(0) * TILE + SUM_IN_GROUP;             \
    const int c = min(own_channel, channels - 1);                              \
    const bool writes = WORKER == 0 && own_channel < channels

// The rows of a part: from its first to where it ends.
#define PART                                                                   \
    const int part = get_group_id(1), first_row = part * length;               \
    const int end = first_row + min(length, rows - first_row)

// Where the chain of rows that begins at `row` ends.
static int end_of_chain(int row, int end) {
    return row + min(CHAIN * WORKERS, end - row);
}

// The sums of the columns of x, by parts.
kernel void column_sums(IN(x), WIDE_OUT(sums), const int rows, const int channels, const int length) {
    local wide shared[TILE * WORKERS];
    CHANNEL;
    PART;
    wide sum = 0;
    for (int row = first_row + WORKER; row < end; row += CHAIN * WORKERS) {
        wide few = 0;
        for (int i = row; i < end_of_chain(row, end); i += WORKERS) few += AT(x, i * channels + c);
        sum += few;
    }
    sum = over_workers(sum, shared);
    if (writes) AT(sums, part * channels + c) = sum;
}

// The sum of a column of partial sums (parts, columns), for each work-item of the group.
static wide sum_of_parts(global const wide *sums, int parts, int columns, int column, local wide *shared) {
    wide sum = 0;
    for (int part = WORKER; part < parts; part += CHAIN * WORKERS) {
        wide few = 0;
        for (int i = part; i < end_of_chain(part, parts); i += WORKERS) few += sums[i * columns + column];
        sum += few;
    }
    return over_workers(sum, shared);
}

kernel void store_sums(WIDE_IN(sums), OUT(y), const int parts, const int channels) {
    local wide shared[TILE * WORKERS];
    CHANNEL;
    wide sum = sum_of_parts(&AT(sums, 0), parts, channels, c, shared);
    if (writes) AT(y, c) = sum;
}

// The number of some values, their mean less a number near them, and the sum of their squared distances from the mean.
typedef struct { wide n, mean, squares; } moments;

// The moments of both together, by the formula of Chan, Golub and LeVeque.
static moments join(moments a, moments b) {
    if (b.n == 0) return a;
    wide n = a.n + b.n, share = b.n / n, delta = b.mean - a.mean;
    moments all = {n, a.mean + delta * share, a.squares + b.squares + delta * (delta * (a.n * share))};
    return all;
}

// The moments of what the workers have, together.
static moments join_workers(moments own, local moments *shared) {
#if WORKERS > 1
    shared[WORKER * TILE + SUM_IN_GROUP] = own;
    for (int apart = WORKERS / 2; apart > 0; apart /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (WORKER < apart) {
            own = join(own, shared[(WORKER + apart) * TILE + SUM_IN_GROUP]);
            shared[WORKER * TILE + SUM_IN_GROUP] = own;
        }
    }
#endif
    return own;
}

// The moments of the columns by parts: all means, then all squares, each (parts, channels). As on the processor, a
// chain of rows adds up d = x − x₀ and d² with x₀ its first value, so that little cancels wherever the values lie.
// Means are kept less the column's first value, which leaves them more places.
kernel void moments_of_parts(IN(x), WIDE_OUT(sums), const int rows, const int channels, const int length) {
    local moments shared[TILE * WORKERS];
    CHANNEL;
    PART;
    const wide origin = AT(x, c);
    moments all = {0, 0, 0};
    for (int row = first_row + WORKER; row < end; row += CHAIN * WORKERS) {
        const wide first = AT(x, row * channels + c);
        wide n = 1, sum = 0, squares = 0;
        for (int i = row + WORKERS; i < end_of_chain(row, end); i += WORKERS) {
            wide d = AT(x, i * channels + c) - first;
            n += 1;
            sum += d;
            squares += d * d;
        }
        moments chain = {n, (first - origin) + sum / n, squares - sum * (sum / n)};
        all = join(all, chain);
    }
    all = join_workers(all, shared);
    if (writes) {
        AT(sums, part * channels + c) = all.mean;
        AT(sums, (get_num_groups(1) + part) * channels + c) = all.squares;
    }
}

// The mean in two parts, of which the second is what rounding takes off the first; the variance; 1/√(variance + eps).
kernel void store_moments(WIDE_IN(sums), IN(x), OUT(mean), OUT(rest), OUT(variance), OUT(inverse), const int parts,
                          const int rows, const int channels, const int length, const real eps) {
    local moments shared[TILE * WORKERS];
    CHANNEL;
    moments all = {0, 0, 0};
    for (int part = WORKER; part < parts; part += WORKERS) {
        wide n = min(length, rows - part * length);
        moments one = {n, AT(sums, part * channels + c), AT(sums, (parts + part) * channels + c)};
        all = join(all, one);
    }
    all = join_workers(all, shared);
    if (writes) {
        const wide origin = AT(x, c);
        const real rounded = origin + all.mean;
        const wide over = all.squares / all.n;
        AT(mean, c) = rounded;
        AT(rest, c) = (origin - rounded) + all.mean;
        AT(variance, c) = over;
        AT(inverse, c) = 1 / sqrt(over + eps);
    }
}

// The numbers of channel c in y = (x − mean)·scale + shift.
#define AFFINE                                                                 \
    const wide wide_scale = (wide)AT(inverse, c) * AT(gamma, c);               \
    const real centre = AT(mean, c), scale = wide_scale;                       \
    const real shift = AT(beta, c) - AT(rest, c) * wide_scale

// The gradient that reaches y: g, or with a ReLU behind y only where y is positive.
static real gated(real g, real y) {
#if RELU
    return y > 0 ? g : 0;
#else
    return g;
#endif
}

// y, or max(y, 0), of n elements: those from the work-item's place on that are a whole number of rows apart, `step`
// elements.
kernel void normalise(IN(x), IN(mean), IN(rest), IN(inverse), IN(gamma), IN(beta), OUT(y), const int n,
                      const int channels, const int step) {
    const int own = get_global_id(0), c = own % channels;
    if (own >= step) return;
    AFFINE;
    for (int left = n - own; left > 0; left -= step) {
        const int i = n - left;
        real value = (AT(x, i) - centre) * scale + shift;
#if RELU
        // Not `fmax`, which would turn NaN to 0.
        if (value <= 0) value = 0;
#endif
        AT(y, i) = value;
    }
}

// Σ g and Σ g·(x − mean) of the columns by parts, (parts, 2, channels).
kernel void gradient_sums(IN(x), IN(g), IN(mean), IN(rest), IN(inverse), IN(gamma), IN(beta), WIDE_OUT(sums),
                          const int rows, const int channels, const int length) {
    local wide shared[TILE * WORKERS];
    CHANNEL;
    PART;
    AFFINE;
    wide sum = 0, dot = 0;
    for (int row = first_row + WORKER; row < end; row += CHAIN * WORKERS) {
        real few = 0, few_dot = 0;
        for (int i = row; i < end_of_chain(row, end); i += WORKERS) {
            real centred = AT(x, i * channels + c) - centre;
            real reached = gated(AT(g, i * channels + c), centred * scale + shift);
            few += reached;
            few_dot += reached * centred;
        }
        sum += few;
        dot += few_dot;
    }
    sum = over_workers(sum, shared);
    dot = over_workers(dot, shared);
    if (writes) {
        AT(sums, 2 * part * channels + c) = sum;
        AT(sums, (2 * part + 1) * channels + c) = dot;
    }
}

// γ̄ and β̄, and (3, channels) numbers a, b, c of x̄ = a·(g + b·(x − mean) + c).
kernel void store_gradients(WIDE_IN(sums), IN(rest), IN(inverse), IN(gamma), OUT(dgamma), OUT(dbeta), OUT(abc),
                            const int parts, const int rows, const int channels) {
    local wide shared[TILE * WORKERS];
    CHANNEL;
    wide sum = sum_of_parts(&AT(sums, 0), parts, 2 * channels, c, shared);
    wide dot = sum_of_parts(&AT(sums, 0), parts, 2 * channels, channels + c, shared);
    if (writes) {
        const wide root = AT(inverse, c), off = AT(rest, c);
        dot = (dot - off * sum) * root;
        const wide b = -root * dot / rows;
        AT(dgamma, c) = dot;
        AT(dbeta, c) = sum;
        AT(abc, c) = AT(gamma, c) * root;
        AT(abc, channels + c) = b;
        AT(abc, 2 * channels + c) = -sum / rows - b * off;
    }
}

// x̄ of n elements, which a work-item takes as in `normalise`.
kernel void input_gradient(IN(x), IN(g), IN(mean), IN(rest), IN(inverse), IN(gamma), IN(beta), IN(abc), OUT(dx),
                           const int n, const int channels, const int step) {
    const int own = get_global_id(0), c = own % channels;
    if (own >= step) return;
    AFFINE;
    const real a = AT(abc, c), by_x = AT(abc, channels + c), constant_term = AT(abc, 2 * channels + c);
    for (int left = n - own; left > 0; left -= step) {
        const int i = n - left;
        real centred = AT(x, i) - centre;
        real reached = gated(AT(g, i), centred * scale + shift);
        AT(dx, i) = a * (reached + (by_x * centred + constant_term));
    }
}
