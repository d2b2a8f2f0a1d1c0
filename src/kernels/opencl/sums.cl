// Work-groups that add up: TILE sums side by side, each by LANES work-items, which share its terms. Neighbours in a
// group are neighbouring sums, or with LANES_FIRST neighbouring terms of one sum, whichever lie side by side in memory.
#if LANES_FIRST
#define SUM_IN_GROUP ((int)get_local_id(0) / LANES)
#define LANE ((int)get_local_id(0) % LANES)
#else
#define SUM_IN_GROUP ((int)get_local_id(0) % TILE)
#define LANE ((int)get_local_id(0) / TILE)
#endif

// Terms that are added one after another before they go to a longer sum.
#define CHAIN 32

// What the lanes have added up, together: a tree. The whole group comes here, with TILE·LANES numbers to share.
static wide over_lanes(wide sum, local wide *shared) {
#if LANES > 1
    local wide *own = shared + SUM_IN_GROUP;
    own[LANE * TILE] = sum;
    for (int apart = LANES / 2; apart > 0; apart /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (LANE < apart) own[LANE * TILE] += own[(LANE + apart) * TILE];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    sum = own[0];
    // The next sums come to the same place.
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    return sum;
}
