// One axis of a convolution.
enum { MAP, OUT_SIZE, TAPS, STRIDE, PADDING, DILATION };

// How outputs o = phase + every·i, i < size, see the map along an axis: through taps first + next·t, t < taps, at
// i·step + start + t·move.
typedef struct {
    int phase, every, size, first, next, taps, step, start, move;
} seen;

// Outputs see o·stride + tap·dilation − padding; in the adjoint (o + padding − tap·dilation) / stride where that is
// whole, which it is for the same taps at every stride-th output: those are a phase.
static seen seen_along(ints axis, int adjoint, int phase) {
    int stride = axis.at[STRIDE], padding = axis.at[PADDING], dilation = axis.at[DILATION];
    if (!adjoint) return (seen){0, 1, axis.at[OUT_SIZE], 0, 1, axis.at[TAPS], stride, -padding, dilation};
    int next = 1, first = 0;
    while (next * dilation % stride != 0) ++next;
    while (first < next && (phase + padding - first * dilation) % stride != 0) ++first;
    int taps = first < next ? (axis.at[TAPS] - first + next - 1) / next : 0;
    int size = (axis.at[OUT_SIZE] - phase + stride - 1) / stride;
    int start = (phase + padding - first * dilation) / stride;
    return (seen){phase, stride, size, first, next, taps, 1, start, -(next * dilation / stride)};
}

