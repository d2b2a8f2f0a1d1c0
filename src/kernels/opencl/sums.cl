// Work-groups that add up: TILE sums side by side, each by WORKERS work-items, which share its terms. Neighbours in a
// group are neighbouring sums, or with WORKERS_FIRST neighbouring terms of one sum, whichever lie side by side in
// memory.
#if WORKERS_FIRST
#define SUM_IN_GROUP ((int)get_local_id(0) / WORKERS)
#define WORKER ((int)get_local_id(0) % WORKERS)
#else
#define SUM_IN_GROUP ((int)get_local_id(0) % TILE)
#define WORKER ((int)get_local_id(0) / TILE)
#endif

// Terms that are added one after another before they go to a longer sum.
#define CHAIN 32

// What the workers have added up, together: a tree. The whole group comes here, with TILE·WORKERS numbers to share.
static wide over_workers(wide sum, local wide *shared) {
#if WORKERS > 1
    local wide *own = shared + SUM_IN_GROUP;
    own[WORKER * TILE] = sum;
    for (int apart = WORKERS / 2; apart > 0; apart /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (WORKER < apart) own[WORKER * TILE] += own[(WORKER + apart) * TILE];
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    sum = own[0];
    // The next sums come to the same place.
    barrier(CLK_LOCAL_MEM_FENCE);
#endif
    return sum;
}
