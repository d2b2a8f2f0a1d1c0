// Turn `i` of some nested loops, innermost last, as a place in memory.
static int place(int i, int rank, ints dims, ints steps) {
    int at = 0;
    for (int axis = rank - 1; axis > 0; axis--) {
        at += i % dims.at[axis] * steps.at[axis];
        i /= dims.at[axis];
    }
    // What is left are turns of the outermost loop. Without a loop, its step is 0.
    return at + i * steps.at[0];
}

