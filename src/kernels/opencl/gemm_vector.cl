// Products of matrices and convolutions for processors: a work-item computes ROWS rows of LANES columns in registers,
// without local memory or barriers; of a weight gradient those of TAPS_TOGETHER taps.
//
// The second factor is read LANES columns at a time, mostly from panels of LANES columns (panels.cl).

#define EACH_ROW(i) _Pragma("unroll") for (int i = 0; i < ROWS; ++i)

// Terms that are added one after another; such sums are added up by themselves.
#define CHAIN 1024

// What a work-item adds up.
typedef struct {
    lanes sum[ROWS], total[ROWS];
    // Terms in `sum`.
    int terms;
} tile;

static void clear(tile *t) {
    EACH_ROW(i) t->sum[i] = t->total[i] = 0;
    t->terms = 0;
}

// sum[i] += Σ_k a[i][k·a_step] · b[k·b_step ..], k < n
static void multiply_add(lanes sum[ROWS], const global real *a[ROWS], int a_step, const global real *b, int b_step,
                         int n) {
    for (int k = 0; k < n; ++k) {
        lanes row = LOAD(b + k * b_step);
        EACH_ROW(i) sum[i] = fma((lanes)(a[i][k * a_step]), row, sum[i]);
    }
}

// The same, in chains.
static void add_products(tile *t, const global real *a[ROWS], int a_step, const global real *b, int b_step, int n) {
    for (int from = 0; from < n; from += CHAIN) {
        int terms = min(CHAIN, n - from);
        multiply_add(t->sum, a, a_step, b, b_step, terms);
        EACH_ROW(i) a[i] += terms * a_step;
        b += terms * b_step;
        t->terms += terms;
        if (t->terms >= CHAIN) {
            EACH_ROW(i) {
                t->total[i] += t->sum[i];
                t->sum[i] = 0;
            }
            t->terms = 0;
        }
    }
}

// Writes the first `n` lanes.
static void store(lanes v, global real *to, int n, int step) {
    if (n >= LANES && step == 1) {
        STORE(v, to);
    } else {
        real each[LANES];
        STORE(v, each);
        for (int lane = 0; lane < LANES; ++lane) {
            if (lane < n) to[lane * step] = each[lane];
        }
    }
}

// c[part, z] = a[z] · b[z] over a part of k.
kernel void product(IN(a), IN(b), OUT(c), const int m, const int n, const int k, const int k_part, const int parts,
                    const int a_block, const int a_matrix, const int a_row, const int a_step, const int b_panel,
                    const int b_row, const int b_matrix, const int c_row, const int c_column, const int c_matrix,
                    const int rank, const ints dims, const ints a_steps, const ints b_steps) {
    int row = get_global_id(0) * ROWS, panel = get_global_id(1);
    int z = get_global_id(2) / parts, part = get_global_id(2) % parts, count = get_global_size(2) / parts;
    if (row >= m) return;
    int from = part * k_part, to = min(from + k_part, k);
    int a_from = place(z, rank, dims, a_steps) + z * a_matrix + get_global_id(0) * a_block + from * a_step;
    const global real *rows[ROWS];
    EACH_ROW(i) {
        rows[i] = &AT(a, a_from + min(i, m - 1 - row) * a_row);
    }
    tile t;
    clear(&t);
    int b_from = place(z, rank, dims, b_steps) + z * b_matrix + panel * b_panel + from * b_row;
    add_products(&t, rows, a_step, &AT(b, b_from), b_row, to - from);
    global real *out = &AT(c, (part * count + z) * c_matrix + panel * LANES * c_column);
    EACH_ROW(i) {
        if (row + i < m) store(t.sum[i] + t.total[i], out + (row + i) * c_row, n - panel * LANES, c_column);
    }
}

// y (N, OH, OW, K) from x (N, H, W, C) and the weights as a packed matrix (G, taps · C/G, K/G) with C/G zeros behind
// it; then the bias and the leaky ReLU.
kernel void convolve(IN(x), IN(w), IN(bias), OUT(y), const int images, const int groups, const int depth,
                     const int columns, const ints vertical, const ints horizontal, const int adjoint,
                     const int has_bias, const real slope) {
    int panel = get_global_id(1), panels = get_global_size(1);
    int group = get_global_id(2) % groups, phase = get_global_id(2) / groups;
    int phases = adjoint ? horizontal.at[STRIDE] : 1;
    seen v = seen_along(vertical, adjoint, phase / phases), h = seen_along(horizontal, adjoint, phase % phases);
    int height = vertical.at[MAP], width = horizontal.at[MAP], channels = groups * depth;
    int row = get_global_id(0) * ROWS, rows = images * v.size * h.size;
    if (row >= rows) return;
    int all_taps = vertical.at[TAPS] * horizontal.at[TAPS];
    int image[ROWS], top[ROWS], left[ROWS], out[ROWS];
    EACH_ROW(i) {
        int pixel = min(row + i, rows - 1), at = pixel / h.size;
        int q = pixel % h.size, p = at % v.size, n = at / v.size;
        image[i] = n * height * width * channels + group * depth;
        top[i] = p * v.step + v.start;
        left[i] = q * h.step + h.start;
        out[i] = (n * vertical.at[OUT_SIZE] + v.phase + v.every * p) * horizontal.at[OUT_SIZE] + h.phase + h.every * q;
    }
    tile t;
    clear(&t);
    const global real *weights = &AT(w, (group * panels + panel) * all_taps * depth * LANES);
    const global real *zeros = &AT(w, groups * panels * all_taps * depth * LANES);
    for (int r = 0; r < v.taps; ++r) {
        for (int s = 0; s < h.taps; ++s) {
            const global real *pixels[ROWS];
            EACH_ROW(i) {
                int y_at = top[i] + r * v.move, x_at = left[i] + s * h.move;
                bool inside = (uint)y_at < (uint)height && (uint)x_at < (uint)width;
                pixels[i] = inside ? &AT(x, image[i] + (y_at * width + x_at) * channels) : zeros;
            }
            int tap = (v.first + r * v.next) * horizontal.at[TAPS] + h.first + s * h.next;
            add_products(&t, pixels, 1, weights + tap * depth * LANES, LANES, depth);
        }
    }
    int filled = columns - panel * LANES;
    lanes shift = 0;
    if (has_bias) {
        real each[LANES];
        for (int lane = 0; lane < LANES; ++lane) {
            each[lane] = lane < filled ? AT(bias, group * columns + panel * LANES + lane) : 0;
        }
        shift = LOAD(each);
    }
    EACH_ROW(i) {
        if (row + i < rows) {
            lanes value = t.sum[i] + t.total[i] + shift;
            value = value > 0 ? value : value * slope;
            store(value, &AT(y, out[i] * groups * columns + group * columns + panel * LANES), filled, 1);
        }
    }
}

// dw[part] (R, S, C/G, K) from x in panels of ROWS channels and dy in panels of LANES: a work-item has a panel of both
// and some taps, which read the same lines of them, a few at a time, from the first cache. A part are so many `lines`
// of dy.
kernel void weigh(IN(x), IN(dy), OUT(dw), const int images, const int groups, const int depth, const int columns,
                  const ints vertical, const ints horizontal, const int lines, const int together) {
    int blocks = (depth + ROWS - 1) / ROWS, panels = get_global_size(1);
    int block = get_global_id(0) % blocks, panel = get_global_id(1);
    int group = get_global_id(2) % groups, part = get_global_id(2) / groups;
    int all_taps = vertical.at[TAPS] * horizontal.at[TAPS];
    int first_tap = get_global_id(0) / blocks * TAPS_TOGETHER, taps = min(all_taps - first_tap, TAPS_TOGETHER);
    int height = vertical.at[MAP], width = horizontal.at[MAP], stride = horizontal.at[STRIDE];
    int out_height = vertical.at[OUT_SIZE], out_width = horizontal.at[OUT_SIZE];
    const global real *x_panel = &AT(x, (group * blocks + block) * images * height * width * ROWS);
    const global real *dy_panel = &AT(dy, (group * panels + panel) * images * out_height * out_width * LANES);
    lanes sums[TAPS_TOGETHER][ROWS];
    for (int t = 0; t < taps; ++t) EACH_ROW(i) sums[t][i] = 0;
    int end = min((part + 1) * lines, images * out_height);
    for (int from = part * lines; from < end; from += together) {
        int to = min(from + together, end);
        for (int t = 0; t < taps; ++t) {
            int tap = first_tap + t;
            int top = tap / horizontal.at[TAPS] * vertical.at[DILATION] - vertical.at[PADDING];
            int left = tap % horizontal.at[TAPS] * horizontal.at[DILATION] - horizontal.at[PADDING];
            // The columns of dy that see the map: 0 ≤ q·stride + left < width.
            int q = left < 0 ? (-left + stride - 1) / stride : 0;
            int n = left < width ? min((width - left + stride - 1) / stride, out_width) - q : 0;
            lanes sum[ROWS];
            EACH_ROW(i) sum[i] = sums[t][i];
            int image = from / out_height, p = from % out_height;
            for (int line = from; line < to; ++line) {
                int y_at = p * vertical.at[STRIDE] + top;
                if (y_at >= 0 && y_at < height && n > 0) {
                    const global real *rows[ROWS];
                    EACH_ROW(i) rows[i] = x_panel + ((image * height + y_at) * width + q * stride + left) * ROWS + i;
                    multiply_add(sum, rows, stride * ROWS, dy_panel + (line * out_width + q) * LANES, LANES, n);
                }
                if (++p == out_height) {
                    p = 0;
                    ++image;
                }
            }
            EACH_ROW(i) sums[t][i] = sum[i];
        }
    }
    for (int t = 0; t < taps; ++t) {
        EACH_ROW(i) {
            int c = block * ROWS + i, row = (part * all_taps + first_tap + t) * depth + c;
            int at = (row * groups + group) * columns + panel * LANES;
            if (c < depth) store(sums[t][i], &AT(dw, at), columns - panel * LANES, 1);
        }
    }
}
