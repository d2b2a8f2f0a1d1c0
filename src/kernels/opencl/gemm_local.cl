// Products of matrices and convolutions for GPUs: a work-group has a tile of the product, and takes its factors through
// local memory, DEEP terms at a time.
//
// Of the group's work-items, ACROSS lie along the columns and DOWN along the rows; each has ROW_FOURS · 4 rows and
// COLUMN_FOURS · 4 columns in registers, in fours that lie ACROSS or DOWN fours apart, so that neighbours read
// neighbours.
//
// The first factor is gathered: its rows are pixels of the result and its columns taps and channels, or the other way
// round with ROWS_ARE_TAPS. A plain matrix is the case of pictures of one pixel, and one tap. A_ALONG_K and B_ALONG_K
// say which way neighbours in memory lie.

#define GROUP 256
#define DEEP 16
#define DOWN (GROUP / ACROSS)
#define TILE_ROWS (DOWN * ROW_FOURS * 4)
#define TILE_COLUMNS (ACROSS * COLUMN_FOURS * 4)
// Work-items that fetch one number each of a row or column of a tile, and how many numbers each fetches.
#define FETCHERS (GROUP / DEEP)
#define A_EACH (TILE_ROWS / FETCHERS)
#define B_EACH (TILE_COLUMNS / FETCHERS)
// In fours; one more, since otherwise all rows would begin in one bank.
#define A_PITCH (TILE_ROWS / 4 + 1)
#define B_PITCH (TILE_COLUMNS / 4 + 1)

// Terms that are added one after another; such sums are added up in the result itself.
#define CHAIN 2048

#define UNROLL _Pragma("unroll")

typedef JOIN(REAL, 4) four;

// A number (outer · middles + middle) · inners + inner: pixel q of line p of image n, or channel c of tap (r, s).
typedef struct {
    int outer, middle, inner;
} digits;

static digits digits_of(int i, int middles, int inners) {
    int line = i / inners;
    return (digits){line / middles, line % middles, i % inners};
}

static void advance(digits *d, int by, int middles, int inners) {
    d->inner += by;
    while (d->inner >= inners) {
        d->inner -= inners;
        if (++d->middle == middles) {
            d->middle = 0;
            ++d->outer;
        }
    }
}

// What a pixel or a tap adds to the place in memory, and to the coordinates that must lie in the map.
typedef struct {
    int at, y, x;
} spot;

enum { IMAGE, PIXEL, CHANNEL };

static spot pixel_at(digits d, seen v, seen h, int width, ints steps) {
    int y = d.middle * v.step + v.start, x = d.inner * h.step + h.start;
    return (spot){d.outer * steps.at[IMAGE] + (y * width + x) * steps.at[PIXEL], y, x};
}

static spot tap_at(digits d, seen v, seen h, int width, ints steps) {
    int y = d.outer * v.move, x = d.middle * h.move;
    return (spot){(y * width + x) * steps.at[PIXEL] + d.inner * steps.at[CHANNEL], y, x};
}

// The number of a tap among all.
static int tap_of(digits d, seen v, seen h, int across) {
    return (v.first + d.outer * v.next) * across + h.first + d.middle * h.next;
}

#if ROWS_ARE_TAPS
#define A_OF_K pixel_at(a_digits, v, h, width, a_steps)
#define B_OF_K (b_at * b_steps.at[1])
#else
#define A_OF_K tap_at(a_digits, v, h, width, a_steps)
#define B_OF_K (tap_of(b_digits, v, h, horizontal.at[TAPS]) * b_steps.at[0] + b_digits.inner * b_steps.at[1])
#endif

// Takes what this work-item fetches of the next tiles, so that it is under way while the last ones are multiplied.
#define FETCH \
    { \
        spot s = A_OF_K; \
        int b_row = b_from + B_OF_K; \
        UNROLL for (int i = 0; i < A_EACH; ++i) { \
            int y = spots[i].y + s.y, x = spots[i].x + s.x; \
            bool inside = a_at < to && (uint)y < (uint)height && (uint)x < (uint)width; \
            a_next[i] = inside ? AT(a, spots[i].at + s.at) : 0; \
        } \
        UNROLL for (int i = 0; i < B_EACH; ++i) { \
            int column = first_column + b_column + i * FETCHERS; \
            b_next[i] = b_at < to && column < columns ? AT(b, b_row + column * b_steps.at[2]) : 0; \
        } \
        a_at += DEEP; \
        b_at += DEEP; \
        advance(&a_digits, DEEP, k_middles, k_inners); \
        advance(&b_digits, DEEP, k_middles, k_inners); \
    }

// c[part, z] = the product over a part of k, then the bias and the leaky ReLU.
//
// Groups lie along one axis, columns first, then so many `row_groups`, then parts, products and phases: GPUs have few
// of them along the others.
//
// steps of a: image, pixel, channel; of b: tap, channel, column (with ROWS_ARE_TAPS, its rows are the pixels: none,
// row, column); of c: image, line, pixel, column, matrix, part (row of the product for pixel with ROWS_ARE_TAPS).
kernel __attribute__((reqd_work_group_size(ACROSS, DOWN, 1)))
void multiply(IN(a), IN(b), IN(bias), OUT(c), const int images, const int depth, const int columns,
              const ints vertical, const ints horizontal, const int adjoint, const ints a_steps, const ints b_steps,
              const ints c_steps, const int count, const int rank, const ints dims, const ints a_batch,
              const ints b_batch, const int k_part, const int parts, const int row_groups, const int has_bias,
              const real slope) {
    local four a_tile[DEEP][A_PITCH], b_tile[DEEP][B_PITCH];
    int across = get_local_id(0), down = get_local_id(1), id = down * ACROSS + across;
    int column_groups = (columns + TILE_COLUMNS - 1) / TILE_COLUMNS, group = get_group_id(0);
    int first_column = group % column_groups * TILE_COLUMNS;
    int first_row = group / column_groups % row_groups * TILE_ROWS, product = group / column_groups / row_groups;
    int part = product % parts, z = product / parts % count, phase = product / parts / count;
    int phases = adjoint ? horizontal.at[STRIDE] : 1;
    seen v = seen_along(vertical, adjoint, phase / phases), h = seen_along(horizontal, adjoint, phase % phases);
    int height = vertical.at[MAP], width = horizontal.at[MAP];
    int pixels = images * v.size * h.size, terms = v.taps * h.taps * depth;
#if ROWS_ARE_TAPS
    int rows = terms, row_middles = h.taps, row_inners = depth;
    int all_k = pixels, k_middles = v.size, k_inners = h.size;
#else
    int rows = pixels, row_middles = v.size, row_inners = h.size;
    int all_k = terms, k_middles = h.taps, k_inners = depth;
#endif
    if (first_row >= rows) return;

    // What this work-item fetches: one k of each tile.
    int a_k = A_ALONG_K ? id % DEEP : id / FETCHERS, a_row = A_ALONG_K ? id / DEEP : id % FETCHERS;
    int b_k = B_ALONG_K ? id % DEEP : id / FETCHERS, b_column = B_ALONG_K ? id / DEEP : id % FETCHERS;
    int a_from = place(z, rank, dims, a_batch), b_from = place(z, rank, dims, b_batch);
    spot spots[A_EACH];
    UNROLL for (int i = 0; i < A_EACH; ++i) {
        int row = first_row + a_row + i * FETCHERS;
        digits d = digits_of(row, row_middles, row_inners);
#if ROWS_ARE_TAPS
        spots[i] = tap_at(d, v, h, width, a_steps);
#else
        spots[i] = pixel_at(d, v, h, width, a_steps);
#endif
        spots[i].at += a_from;
        // Rows beyond the last lie outside of every map.
        if (row >= rows) spots[i].y = INT_MIN / 2;
    }

    int from = part * k_part, to = min(from + k_part, all_k), a_at = from + a_k, b_at = from + b_k;
    digits a_digits = {0, 0, 0}, b_digits = {0, 0, 0};
    if (from < to) {
        a_digits = digits_of(a_at, k_middles, k_inners);
        b_digits = digits_of(b_at, k_middles, k_inners);
    }
    real a_next[A_EACH], b_next[B_EACH];
    if (from < to) {
        FETCH
    }
    bool is_first = true;
    do {
        four sums[ROW_FOURS * 4][COLUMN_FOURS];
        UNROLL for (int i = 0; i < ROW_FOURS * 4; ++i) UNROLL for (int j = 0; j < COLUMN_FOURS; ++j) sums[i][j] = 0;
        int end = min(from + CHAIN, to);
        for (; from < end; from += DEEP) {
            // All have read the last tiles.
            barrier(CLK_LOCAL_MEM_FENCE);
            local real *a_to = (local real *)a_tile[a_k] + a_row, *b_to = (local real *)b_tile[b_k] + b_column;
            UNROLL for (int i = 0; i < A_EACH; ++i) a_to[i * FETCHERS] = a_next[i];
            UNROLL for (int i = 0; i < B_EACH; ++i) b_to[i * FETCHERS] = b_next[i];
            barrier(CLK_LOCAL_MEM_FENCE);
            FETCH
            UNROLL for (int k = 0; k < DEEP; ++k) {
                UNROLL for (int i = 0; i < ROW_FOURS; ++i) {
                    four each = a_tile[k][i * DOWN + down];
                    UNROLL for (int j = 0; j < COLUMN_FOURS; ++j) {
                        four row = b_tile[k][j * ACROSS + across];
                        sums[4 * i][j] = fma((four)each.x, row, sums[4 * i][j]);
                        sums[4 * i + 1][j] = fma((four)each.y, row, sums[4 * i + 1][j]);
                        sums[4 * i + 2][j] = fma((four)each.z, row, sums[4 * i + 2][j]);
                        sums[4 * i + 3][j] = fma((four)each.w, row, sums[4 * i + 3][j]);
                    }
                }
            }
        }
        UNROLL for (int i = 0; i < ROW_FOURS * 4; ++i) {
            int row = first_row + (i / 4 * DOWN + down) * 4 + i % 4;
            if (row >= rows) continue;
#if ROWS_ARE_TAPS
            int at = row * c_steps.at[2];
#else
            digits d = digits_of(row, row_middles, row_inners);
            int p = v.phase + v.every * d.middle, q = h.phase + h.every * d.inner;
            int at = d.outer * c_steps.at[0] + p * c_steps.at[1] + q * c_steps.at[2];
#endif
            at += z * c_steps.at[4] + part * c_steps.at[5];
            UNROLL for (int j = 0; j < COLUMN_FOURS; ++j) {
                real values[4] = {sums[i][j].x, sums[i][j].y, sums[i][j].z, sums[i][j].w};
                UNROLL for (int l = 0; l < 4; ++l) {
                    int column = first_column + (j * ACROSS + across) * 4 + l;
                    if (column >= columns) continue;
                    real value = values[l];
                    if (!is_first) value += AT(c, at + column * c_steps.at[3]);
                    if (from >= to) {
                        if (has_bias) value += AT(bias, z * columns + column);
                        value = value > 0 ? value : value * slope;
                    }
                    AT(c, at + column * c_steps.at[3]) = value;
                }
            }
        }
        is_first = false;
    } while (from < to);
}
