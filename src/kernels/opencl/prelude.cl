// What every program begins with. The host defines REAL, WIDE, IS_CPU, MAX_RANK and, where the device has double
// precision, HAS_F64.

#ifdef HAS_F64
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
// A compiler that makes one rounding of two changes bits; where that is wanted, kernels say fma.
#pragma OPENCL FP_CONTRACT OFF

// The scalar type of tensors, and the widest type for sums: double where the device has it.
typedef REAL real;
typedef WIDE wide;

// A few whole numbers, such as the extents of axes.
typedef struct { int at[MAX_RANK]; } ints;

// The row of a work-item, where there may be more rows than a device has work-groups along an axis; the last ones may
// not be there.
#define OWN_ROW ((int)(get_global_id(1) + get_global_id(2) * get_global_size(1)))

// The name that two names make together, such as that of a type of vectors: JOIN(REAL, 4).
#define JOINED(a, b) a##b
#define JOIN(a, b) JOINED(a, b)

// Operands: memory, and where in it the first element lies. AT(x, i) is element i.
#define IN(x) global const real *restrict x##_memory, const int x##_start
#define OUT(x) global real *restrict x##_memory, const int x##_start
// Partial sums.
#define WIDE_IN(x) global const wide *restrict x##_memory, const int x##_start
#define WIDE_OUT(x) global wide *restrict x##_memory, const int x##_start
#define INDICES(x) global const uint *restrict x##_memory, const int x##_start
#define NEW_INDICES(x) global uint *restrict x##_memory, const int x##_start
#define AT(x, i) x##_memory[x##_start + (i)]
