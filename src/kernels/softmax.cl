// Softmax along an axis of x (outer, extent, inner): a row for each (outer, inner), whose elements lie `inner` apart.
//
// WIDTH work-items share a row. If there are several they are a work-group, and neighbours read neighbours of a row
// that lies together; if it is one, neighbours have rows that lie side by side, or it computes by vectors of LANES
// elements, and inner is 1. Sums are of chains of 32, and of these in the widest type.
#define CHAIN 32

#if LANES > 1
typedef JOIN(REAL, LANES) reals;
typedef JOIN(WIDE, LANES) wides;
#define WIDENED(values) JOIN(convert_, JOIN(WIDE, LANES))(values)
#define LOAD(x, e) JOIN(vload, LANES)(0, &AT(x, first + (e)))
#define STORE(y, e, values) JOIN(vstore, LANES)(values, 0, &AT(y, first + (e)))
#else
typedef real reals;
typedef wide wides;
#define WIDENED(value) ((wide)(value))
#define LOAD(x, e) AT(x, first + (e) * inner)
#define STORE(y, e, value) AT(y, first + (e) * inner) = value
#endif

// The row of a work-item, the place of its first element, which of the row's work-items it is, and how many elements of
// the row go into whole vectors.
#if WIDTH > 1
#define ROW                                                                    \
    const int row = get_group_id(0), own = get_local_id(0);                    \
    local wide shared[WIDTH]
#else
#define ROW                                                                    \
    const int row = get_global_id(0), own = 0;                                 \
    local wide *shared = 0;                                                    \
    if (row >= rows) return
#endif
#define PLACES                                                                 \
    const int first = row / inner * extent * inner + row % inner;              \
    const int whole = extent / LANES * LANES

// The larger of both, or their sum. NaN is not larger than anything; it reaches the result by the sum.
static wide combined(wide a, wide b, bool add) {
    return add ? a + b : b > a ? b : a;
}

// The largest or the sum of what the vectors and the tails of a row's work-items hold, as a tree.
static wide over_row(wides values, wide tail, bool add, local wide *shared) {
#if LANES > 1
    wide lanes[LANES];
    JOIN(vstore, LANES)(values, 0, lanes);
    for (int apart = LANES / 2; apart > 0; apart /= 2)
        for (int i = 0; i < apart; i++) lanes[i] = combined(lanes[i], lanes[i + apart], add);
    wide one = combined(lanes[0], tail, add);
#else
    wide one = combined(values, tail, add);
#endif
#if WIDTH > 1
    const int own = get_local_id(0);
    shared[own] = one;
    for (int apart = WIDTH / 2; apart > 0; apart /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (own < apart) shared[own] = combined(shared[own], shared[own + apart], add);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    one = shared[0];
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    return one;
}

// The end of the chain that begins at element `e`.
static int end_of_chain(int e, int whole) {
    return e + min(CHAIN * WIDTH * LANES, whole - e);
}

// y = exp(x − max − ln Σ exp(x − max)), or with LOG the exponent of that.
kernel void softmax(IN(x), OUT(y), const int rows, const int extent, const int inner) {
    ROW;
    PLACES;
    reals high = -INFINITY;
    real last_high = -INFINITY;
    for (int e = own * LANES; e < whole; e += WIDTH * LANES) {
        reals value = LOAD(x, e);
        high = value > high ? value : high;
    }
    for (int e = whole; e < extent; e++) last_high = combined(last_high, AT(x, first + e), false);
    const real largest = over_row(WIDENED(high), last_high, false, shared);

    wides sum = 0;
    wide last_sum = 0;
    for (int e = own * LANES; e < whole; e += CHAIN * WIDTH * LANES) {
        reals few = 0;
        for (int i = e; i < end_of_chain(e, whole); i += WIDTH * LANES) {
            reals power = exp(LOAD(x, i) - largest);
            few += power;
#if !LOG
            STORE(y, i, power);
#endif
        }
        sum += WIDENED(few);
    }
    for (int e = whole; e < extent; e++) {
        real power = exp(AT(x, first + e) - largest);
        last_sum += power;
#if !LOG
        AT(y, first + e) = power;
#endif
    }
    const real all = over_row(sum, last_sum, true, shared);

#if LOG
    const real off = log(all);
    for (int e = own * LANES; e < whole; e += WIDTH * LANES) STORE(y, e, (LOAD(x, e) - largest) - off);
    for (int e = whole; e < extent; e++) AT(y, first + e) = (AT(x, first + e) - largest) - off;
#else
    const real scale = 1 / all;
    for (int e = own * LANES; e < whole; e += WIDTH * LANES) STORE(y, e, LOAD(y, e) * scale);
    for (int e = whole; e < extent; e++) AT(y, first + e) *= scale;
#endif
}

// x̄ = y ⊙ (g − Σ y ⊙ g).
kernel void gradient(IN(y), IN(g), OUT(dx), const int rows, const int extent, const int inner) {
    ROW;
    PLACES;
    wides sum = 0;
    wide last_sum = 0;
    for (int e = own * LANES; e < whole; e += CHAIN * WIDTH * LANES) {
        reals few = 0;
        for (int i = e; i < end_of_chain(e, whole); i += WIDTH * LANES) few += LOAD(y, i) * LOAD(g, i);
        sum += WIDENED(few);
    }
    for (int e = whole; e < extent; e++) last_sum += AT(y, first + e) * AT(g, first + e);
    const real dot = over_row(sum, last_sum, true, shared);
    for (int e = own * LANES; e < whole; e += WIDTH * LANES) STORE(dx, e, LOAD(y, e) * (LOAD(g, e) - dot));
    for (int e = whole; e < extent; e++) AT(dx, first + e) = AT(y, first + e) * (AT(g, first + e) - dot);
}
