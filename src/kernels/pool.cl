// Pooling and resampling of maps (N, H, W, C), and their adjoints: every output element gathers what belongs to it.
// Sums are of rows, then of the rows' sums.

// Maps (h, w) of c channels, pooled to (oh, ow) by windows (kh, kw), (sh, sw) apart, with (ph, pw) around the map.
#define POOL                                                                                                     \
    const int c, const int h, const int w, const int oh, const int ow, const int kh, const int kw, const int sh, \
        const int sw, const int ph, const int pw

// The first window along an axis that ends beyond pixel `at` counted with the padding, and the first that begins
// beyond.
static int first_window(int at, int window, int stride) {
    return at < window ? 0 : (at - window) / stride + 1;
}
static int end_of_windows(int at, int stride, int windows) {
    return min(at / stride + 1, windows);
}

// y and the offsets of the maxima in their images ← x. The first of equal values wins, a NaN over every number.
kernel void max_pool(IN(x), OUT(y), NEW_INDICES(indices), const int n, POOL) {
    int i = get_global_id(0);
    if (i >= n) return;
    int channel = i % c, q = i / c % ow, p = i / c / ow % oh, image = i / c / ow / oh * (h * w * c);
    int top = p * sh - ph, left = q * sw - pw;
    real largest = 0;
    int place = -1;
    for (int r = max(top, 0); r < min(top + kh, h); r++) {
        for (int s = max(left, 0); s < min(left + kw, w); s++) {
            int pixel = (r * w + s) * c + channel;
            real value = AT(x, image + pixel);
            bool better = place < 0 || value > largest || isnan(value);
            largest = better ? value : largest;
            place = better ? pixel : place;
        }
    }
    AT(y, i) = largest;
    AT(indices, i) = place;
}

// y ← x at `indices`, which count within each image.
kernel void gather(IN(x), INDICES(indices), OUT(y), const int n, const int x_image, const int y_image) {
    int i = get_global_id(0);
    if (i < n) AT(y, i) = AT(x, i / y_image * x_image + (int)AT(indices, i));
}

// dx ← the sums of the dy whose maximum was here: of the windows that hold the pixel, in their order.
kernel void scatter_add(IN(dy), INDICES(indices), OUT(dx), const int n, POOL) {
    int i = get_global_id(0);
    if (i >= n) return;
    int channel = i % c, column = i / c % w, row = i / c / w % h, image = i / c / w / h;
    int place = i - image * (h * w * c);
    int p_end = end_of_windows(row + ph, sh, oh), q_end = end_of_windows(column + pw, sw, ow);
    real sum = 0;
    for (int p = first_window(row + ph, kh, sh); p < p_end; p++) {
        real of_row = 0;
        for (int q = first_window(column + pw, kw, sw); q < q_end; q++) {
            int window = ((image * oh + p) * ow + q) * c + channel;
            if ((int)AT(indices, window) == place) of_row += AT(dy, window);
        }
        sum += of_row;
    }
    AT(dx, i) = sum;
}

// y ← the mean of each window of x, where padding counts as zeros.
kernel void average(IN(x), OUT(y), const int n, POOL) {
    int i = get_global_id(0);
    if (i >= n) return;
    int channel = i % c, q = i / c % ow, p = i / c / ow % oh, image = i / c / ow / oh * (h * w * c);
    int top = p * sh - ph, left = q * sw - pw;
    real sum = 0;
    for (int r = max(top, 0); r < min(top + kh, h); r++) {
        real of_row = 0;
        for (int s = max(left, 0); s < min(left + kw, w); s++) of_row += AT(x, image + (r * w + s) * c + channel);
        sum += of_row;
    }
    AT(y, i) = sum / ((real)kh * (real)kw);
}

// dx ← each dy spread evenly over its window: the adjoint of `average`.
kernel void spread(IN(dy), OUT(dx), const int n, POOL) {
    int i = get_global_id(0);
    if (i >= n) return;
    int channel = i % c, column = i / c % w, row = i / c / w % h, image = i / c / w / h;
    int p_end = end_of_windows(row + ph, sh, oh), q_end = end_of_windows(column + pw, sw, ow);
    real sum = 0;
    for (int p = first_window(row + ph, kh, sh); p < p_end; p++) {
        real of_row = 0;
        for (int q = first_window(column + pw, kw, sw); q < q_end; q++) {
            of_row += AT(dy, ((image * oh + p) * ow + q) * c + channel);
        }
        sum += of_row;
    }
    AT(dx, i) = sum / ((real)kh * (real)kw);
}

// y (N, fh·H, fw·W, C) ← each pixel of x (N, H, W, C) repeated in a block (fh, fw).
kernel void repeat(IN(x), OUT(y), const int n, const int c, const int w, const int fh, const int fw) {
    int i = get_global_id(0);
    if (i >= n) return;
    int channel = i % c, column = i / c % (w * fw), row = i / c / (w * fw);
    AT(y, i) = AT(x, (row / fh * w + column / fw) * c + channel);
}

// dx (N, H, W, C) ← the sum of each block (fh, fw) of dy (N, fh·H, fw·W, C).
kernel void sum_blocks(IN(dy), OUT(dx), const int n, const int c, const int w, const int fh, const int fw) {
    int i = get_global_id(0);
    if (i >= n) return;
    int channel = i % c, column = i / c % w, row = i / c / w;
    real sum = 0;
    for (int r = 0; r < fh; r++) {
        real of_row = 0;
        for (int s = 0; s < fw; s++) of_row += AT(dy, ((row * fh + r) * (w * fw) + column * fw + s) * c + channel);
        sum += of_row;
    }
    AT(dx, i) = sum;
}
