// What stands before every source of kernels: the types of values, read as and written from what they are worked on in.
// `VALUE` is one of f32, f64, f16 and bf16, said when a source is compiled.

#define THREADS 256
#define WARPS (THREADS / 32)

typedef float f32;
typedef double f64;
typedef unsigned short half_bits;
typedef unsigned int word;

// Of f16 and bf16 the bits alone are known here.
struct f16 { half_bits bits; };
struct bf16 { half_bits bits; };

__device__ __forceinline__ float value_of(float x) { return x; }
__device__ __forceinline__ double value_of(double x) { return x; }
__device__ __forceinline__ float value_of(bf16 x) { return __uint_as_float((word)x.bits << 16); }
__device__ __forceinline__ float value_of(f16 x) {
  word sign = (word)(x.bits & 0x8000) << 16, rest = x.bits & 0x7fff;
  // The exponent in place, its bias corrected by a product, which is exact and takes subnormal numbers along.
  float magnitude = rest < 0x7c00 ? __uint_as_float(rest << 13) * 5.192296858534828e33f
                                  : __uint_as_float(0x7f800000 | (rest & 0x3ff) << 13);
  return __uint_as_float(__float_as_uint(magnitude) | sign);
}

__device__ __forceinline__ void store(float *to, float x) { *to = x; }
__device__ __forceinline__ void store(double *to, double x) { *to = x; }
__device__ __forceinline__ void store(bf16 *to, float x) {
  word bits = __float_as_uint(x);
  to->bits = x != x ? 0x7fc0 : (half_bits)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
__device__ __forceinline__ void store(f16 *to, float x) {
  word sign = __float_as_uint(x) >> 16 & 0x8000;
  float magnitude = fabsf(x);
  word bits = __float_as_uint(magnitude), rounded;
  if (magnitude >= 65520) {
    rounded = 0x7c00;
  } else if (magnitude < 6.103515625e-5f) {
    // Subnormal: a unit is 2^-24. The sum with 0.5 puts the units into the last bits, rounded to even.
    rounded = __float_as_uint(magnitude + 0.5f) - 0x3f000000;
  } else {
    rounded = (bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13;
  }
  to->bits = x != x ? 0x7e00 : (half_bits)(sign | rounded);
}

// The type that values are worked on in.
template <typename T> struct Work { typedef float type; };
template <> struct Work<double> { typedef double type; };
typedef typename Work<VALUE>::type WORK;

// Every thread of a block gets the total of all threads. `scratch` is shared memory for WARPS * count numbers.
template <int count> __device__ void total(double (&sums)[count], double *scratch) {
#pragma unroll
  for (int k = 0; k < count; k++)
    for (int offset = 16; offset > 0; offset /= 2) sums[k] += __shfl_down_sync(0xffffffff, sums[k], offset);
  int warp = threadIdx.x / 32;
  __syncthreads();
  if (threadIdx.x % 32 == 0)
    for (int k = 0; k < count; k++) scratch[warp * count + k] = sums[k];
  __syncthreads();
#pragma unroll
  for (int k = 0; k < count; k++) {
    sums[k] = 0;
    for (int w = 0; w < WARPS; w++) sums[k] += scratch[w * count + k];
  }
}
