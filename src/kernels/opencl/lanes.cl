// Vectors of LANES numbers.
#if LANES == 1
typedef real lanes;
#define LOAD(from) (*(from))
#define STORE(v, to) (*(to) = (v))
#else
typedef JOIN(REAL, LANES) lanes;
#define LOAD(from) JOIN(vload, LANES)(0, from)
#define STORE(v, to) JOIN(vstore, LANES)(v, 0, to)
#endif

