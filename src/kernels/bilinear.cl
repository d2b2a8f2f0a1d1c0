// Bilinear upsampling of maps (N, H, W, C) by factors (fh, fw), and its adjoint: every output element gathers what
// belongs to it.

// What pixel `at` of the larger map reads along an axis: two pixels of the smaller one, and the weight of the second.
// Whole halves of pixels: see `taps` in bilinear.rs.
static real taps(int at, int factor, int extent, int *low, int *high) {
    int place = max(2 * at + 1 - factor, 0);
    *low = place / (2 * factor);
    *high = place % (2 * factor) == 0 ? *low : min(*low + 1, extent - 1); // what has no part is not read
    return (real)(place % (2 * factor)) / (real)(2 * factor);
}

// The weight of pixel i of the smaller map for pixel `at` of the larger one.
static real weight(int i, int at, int factor, int extent) {
    int low, high;
    real part = taps(at, factor, extent, &low, &high);
    return (low == i ? 1 - part : (real)0) + (high == i ? part : (real)0);
}

// y ← the mean of the four neighbours of each pixel, by their nearness.
kernel void enlarge(IN(x), OUT(y), const int n, const int c, const int h, const int w, const int fh, const int fw) {
    int i = get_global_id(0);
    if (i >= n) return;
    int channel = i % c, q = i / c % (w * fw), row = i / c / (w * fw);
    int image = row / (h * fh), top, bottom, left, right;
    real down = taps(row % (h * fh), fh, h, &top, &bottom), along = taps(q, fw, w, &left, &right);
    int above = (image * h + top) * w, below = (image * h + bottom) * w;
    real upper = (1 - along) * AT(x, (above + left) * c + channel) + along * AT(x, (above + right) * c + channel);
    real lower = (1 - along) * AT(x, (below + left) * c + channel) + along * AT(x, (below + right) * c + channel);
    AT(y, i) = (1 - down) * upper + down * lower;
}

// dx ← what each pixel of dy read, it gives back to.
kernel void gather_back(IN(dy), OUT(dx), const int n, const int c, const int h, const int w, const int fh,
                        const int fw) {
    int i = get_global_id(0);
    if (i >= n) return;
    int channel = i % c, column = i / c % w, row = i / c / w % h, image = i / c / w / h;
    real sum = 0;
    for (int p = fh * max(row - 1, 0); p < fh * min(row + 2, h); p++) {
        real of_row = 0;
        for (int q = fw * max(column - 1, 0); q < fw * min(column + 2, w); q++) {
            of_row += weight(column, q, fw, w) * AT(dy, ((image * h * fh + p) * (w * fw) + q) * c + channel);
        }
        sum += weight(row, p, fh, h) * of_row;
    }
    AT(dx, i) = sum;
}
