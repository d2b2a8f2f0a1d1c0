// Winograd's convolution on a device: the transforms around the products of matrices, see `winograd.rs`. POINTS is N,
// TAPS is R; the host prints INPUT, WEIGHT, OUTPUT and their transposes as macros of what they write and read, as in
// `#define INPUT(Y, X) Y(0) = …X(0)…;`.
//
// A tile has 4×4 pixels of the result. Maps are seen in phases along both axes: pixel i of a phase of the map is pixel
// i·step + start of the map.

#define TILE 4

// With OF_RESULT, P ← the tiles of dy; without, V ← the patches of x that the tiles of y see, or of dy that those of dx
// do.
#if OF_RESULT
#define SIDE TILE
#define ANALYSE OUTPUT_BACK
#else
#define SIDE POINTS
#define ANALYSE INPUT
#endif

#define EACH(i, n) _Pragma("unroll") for (int i = 0; i < n; ++i)

// The starts of the phases, two for each axis, and what is to be subtracted from all of an axis.
enum { TOP, LEFT = 2, TOP_LESS = 4, LEFT_LESS };

// Where a tile begins in a map.
typedef struct {
    int image, top, left;
} corner;

static corner corner_of(int tile, int phase, int first_image, int down, int across, int phases, int step, ints starts) {
    int top = tile / across % down * TILE * step + starts.at[TOP + phase / phases] - starts.at[TOP_LESS];
    int left = tile % across * TILE * step + starts.at[LEFT + phase % phases] - starts.at[LEFT_LESS];
    return (corner){first_image + tile / across / down, top, left};
}

// v[phase, f, tile, channel], where a phase begins `phase_step` after the last, and a row of channels is so long.
kernel void analyse(IN(x), OUT(v), const int tiles, const int first_image, const int down, const int across,
                    const int height, const int width, const int channels, const int phases, const int step,
                    const ints starts, const int phase_step, const int row, const int plane) {
    int vectors = channels / LANES, phase = get_global_id(0) / vectors, c = get_global_id(0) % vectors * LANES;
    int tile = OWN_ROW;
    if (phase >= phases * phases || tile >= tiles) return;
    corner at = corner_of(tile, phase, first_image, down, across, phases, step, starts);
    lanes once[SIDE][POINTS];
    EACH(i, SIDE) {
        lanes pixels[SIDE];
        int y_at = at.top + i * step;
        EACH(j, SIDE) {
            int x_at = at.left + j * step;
            bool inside = (uint)y_at < (uint)height && (uint)x_at < (uint)width;
            pixels[j] = 0;
            if (inside) pixels[j] = LOAD(&AT(x, ((at.image * height + y_at) * width + x_at) * channels + c));
        }
#define TO(f) once[i][f]
#define FROM(j) pixels[j]
        ANALYSE(TO, FROM)
#undef TO
#undef FROM
    }
    int to = phase * phase_step + tile * row + c;
    EACH(f, POINTS) {
        lanes twice[POINTS];
#define TO(e) twice[e]
#define FROM(i) once[i][f]
        ANALYSE(TO, FROM)
#undef TO
#undef FROM
        EACH(e, POINTS) STORE(twice[e], &AT(v, to + (e * POINTS + f) * plane));
    }
}

// The pixels of y from m[phase, f, tile, channel], then the bias and the leaky ReLU.
kernel void synthesise(IN(m), IN(bias), OUT(y), const int tiles, const int first_image, const int down,
                       const int across, const int height, const int width, const int channels, const int phases,
                       const int step, const ints starts, const int plane, const int has_bias, const real slope) {
    int vectors = channels / LANES, phase = get_global_id(0) / vectors, c = get_global_id(0) % vectors * LANES;
    int tile = OWN_ROW;
    if (phase >= phases * phases || tile >= tiles) return;
    int from = phase * POINTS * POINTS * plane + tile * channels + c;
    lanes once[POINTS][TILE];
    EACH(e, POINTS) {
        lanes twice[POINTS];
        EACH(f, POINTS) twice[f] = LOAD(&AT(m, from + (e * POINTS + f) * plane));
#define TO(j) once[e][j]
#define FROM(f) twice[f]
        OUTPUT(TO, FROM)
#undef TO
#undef FROM
    }
    lanes shift = 0;
    if (has_bias) shift = LOAD(&AT(bias, c));
    corner at = corner_of(tile, phase, first_image, down, across, phases, step, starts);
    EACH(j, TILE) {
        lanes pixels[TILE];
#define TO(i) pixels[i]
#define FROM(e) once[e][j]
        OUTPUT(TO, FROM)
#undef TO
#undef FROM
        int x_at = at.left + j * step;
        EACH(i, TILE) {
            int y_at = at.top + i * step;
            if (y_at < height && x_at < width) {
                lanes value = pixels[i] + shift;
                value = value > 0 ? value : value * slope;
                STORE(value, &AT(y, ((at.image * height + y_at) * width + x_at) * channels + c));
            }
        }
    }
}

// U ← the weights (phases · R)² (C, K): matrices for each f, of rows (phase, c) and columns k; or with `adjoint` for
// each phase and f, of rows k and columns c, with the taps in reverse order. In panels of so many columns, filled up
// with 0.
kernel void weights(IN(w), OUT(u), const int all_rows, const int in_channels, const int out_channels, const int phases,
                    const int adjoint, const int width, const int padded, const int plane) {
    int column = get_global_id(0) * LANES, row = OWN_ROW;
    if (column >= padded || row >= all_rows) return;
    int columns = adjoint ? in_channels : out_channels, depth = adjoint ? out_channels : in_channels;
    int phase = row / depth, c = adjoint ? column : row % depth, k = adjoint ? row % depth : column;
    // Rows of a matrix, and this one's place in it.
    int rows = adjoint ? depth : phases * phases * depth, place = adjoint ? row % depth : row;
    int to = (adjoint ? phase * POINTS * POINTS * plane : 0) + (column / width * rows + place) * width + column % width;
    lanes once[TAPS][POINTS];
    EACH(r, TAPS) {
        lanes taps[TAPS];
        EACH(s, TAPS) {
            int r_at = (adjoint ? TAPS - 1 - r : r) * phases + phase / phases;
            int s_at = (adjoint ? TAPS - 1 - s : s) * phases + phase % phases;
            int from = ((r_at * TAPS * phases + s_at) * in_channels + c) * out_channels + k;
            real each[LANES];
            EACH(l, LANES) each[l] = column + l < columns ? AT(w, from + l * (adjoint ? out_channels : 1)) : 0;
            taps[s] = LOAD(each);
        }
#define TO(f) once[r][f]
#define FROM(s) taps[s]
        WEIGHT(TO, FROM)
#undef TO
#undef FROM
    }
    EACH(f, POINTS) {
        lanes twice[POINTS];
#define TO(e) twice[e]
#define FROM(r) once[r][f]
        WEIGHT(TO, FROM)
#undef TO
#undef FROM
        EACH(e, POINTS) STORE(twice[e], &AT(u, to + (e * POINTS + f) * plane));
    }
}

// dw (phases · R)² (C, K) ← the matrices (phase, c, k) of all f.
kernel void weights_back(IN(u), OUT(w), const int rows, const int in_channels, const int out_channels,
                         const int phases) {
    int k = get_global_id(0) * LANES, row = OWN_ROW, phase = row / in_channels, c = row % in_channels;
    if (k >= out_channels || row >= rows) return;
    int plane = phases * phases * in_channels * out_channels;
    lanes once[POINTS][TAPS];
    EACH(e, POINTS) {
        lanes twice[POINTS];
        EACH(f, POINTS) twice[f] = LOAD(&AT(u, (e * POINTS + f) * plane + row * out_channels + k));
#define TO(s) once[e][s]
#define FROM(f) twice[f]
        WEIGHT_BACK(TO, FROM)
#undef TO
#undef FROM
    }
    EACH(s, TAPS) {
        lanes taps[TAPS];
#define TO(r) taps[r]
#define FROM(e) once[e][s]
        WEIGHT_BACK(TO, FROM)
#undef TO
#undef FROM
        EACH(r, TAPS) {
            int r_at = r * phases + phase / phases, s_at = s * phases + phase % phases;
            STORE(taps[r], &AT(w, ((r_at * TAPS * phases + s_at) * in_channels + c) * out_channels + k));
        }
    }
}
