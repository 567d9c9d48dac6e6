// CUDA's global math functions and intrinsics on the host.
// The "fast" functions are computed exactly: their error is then zero.
#pragma once
#include <math.h>

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;

// nvcc takes any mix of arithmetic types here.
template <class A, class B>
using emu_both = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>, std::common_type_t<A, B>>;
template <class A, class B> inline emu_both<A, B> max(A a, B b) {
    using T = emu_both<A, B>;
    if constexpr (std::is_floating_point_v<T>) return std::fmax(T(a), T(b));
    else return T(a) < T(b) ? T(b) : T(a);
}
template <class A, class B> inline emu_both<A, B> min(A a, B b) {
    using T = emu_both<A, B>;
    if constexpr (std::is_floating_point_v<T>) return std::fmin(T(a), T(b));
    else return T(b) < T(a) ? T(b) : T(a);
}
inline int umax(unsigned a, unsigned b) { return a > b ? a : b; }
inline int umin(unsigned a, unsigned b) { return a < b ? a : b; }

inline float rsqrtf(float x) { return float(1.0 / std::sqrt(double(x))); }
inline double rsqrt(double x) { return 1.0 / std::sqrt(x); }
inline float rcbrtf(float x) { return float(1.0 / std::cbrt(double(x))); }
inline float normcdff(float x) { return float(0.5 * std::erfc(-double(x) * 0.70710678118654752440)); }
inline double normcdf(double x) { return 0.5 * std::erfc(-x * 0.70710678118654752440); }
inline float erfcxf(float x) { return float(std::exp(double(x) * x) * std::erfc(double(x))); }
inline float sinpif(float x) { return float(std::sin(3.14159265358979323846 * std::fmod(double(x), 2.0))); }
inline float cospif(float x) { return float(std::cos(3.14159265358979323846 * std::fmod(double(x), 2.0))); }
inline float fdividef(float a, float b) { return a / b; }
inline float __expf(float x) { return expf(x); }
inline float __exp10f(float x) { return float(std::pow(10.0, double(x))); }
inline float exp10f(float x) { return float(std::pow(10.0, double(x))); }
inline float __logf(float x) { return logf(x); }
inline float __log2f(float x) { return log2f(x); }
inline float __log10f(float x) { return log10f(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __tanf(float x) { return tanf(x); }
inline float __powf(float a, float b) { return powf(a, b); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }
inline void __sincosf(float x, float *s, float *c) { *s = sinf(x); *c = cosf(x); }
inline float __frcp_rn(float x) { return 1.f / x; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frsqrt_rn(float x) { return rsqrtf(x); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dsub_rn(double a, double b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __drcp_rn(double a) { return 1.0 / a; }
inline double __dsqrt_rn(double a) { return std::sqrt(a); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }

template <class To, class From> inline To emu_bits(From v) {
    static_assert(sizeof(To) == sizeof(From), "same size");
    To out;
    memcpy((void *)&out, &v, sizeof(To));
    return out;
}
inline int __float_as_int(float v) { return emu_bits<int>(v); }
inline unsigned __float_as_uint(float v) { return emu_bits<unsigned>(v); }
inline float __int_as_float(int v) { return emu_bits<float>(v); }
inline float __uint_as_float(unsigned v) { return emu_bits<float>(v); }
inline long long __double_as_longlong(double v) { return emu_bits<long long>(v); }
inline double __longlong_as_double(long long v) { return emu_bits<double>(v); }
inline int __double2hiint(double v) { return int(emu_bits<uint64_t>(v) >> 32); }
inline int __double2loint(double v) { return int(emu_bits<uint64_t>(v)); }
inline double __hiloint2double(int h, int l) { return emu_bits<double>(uint64_t(unsigned(h)) << 32 | unsigned(l)); }

// Conversions to integers saturate, and NaN gives 0, as on the device.
template <class I> inline I emu_to_int(double v) {
    if (v != v) return 0;
    if (v <= double(std::numeric_limits<I>::lowest())) return std::numeric_limits<I>::lowest();
    if (v >= double(std::numeric_limits<I>::max())) return std::numeric_limits<I>::max();
    return I(v);
}
inline int __float2int_rn(float v) { return emu_to_int<int>(std::nearbyint(v)); }
inline int __float2int_rz(float v) { return emu_to_int<int>(v); }
inline int __float2int_rd(float v) { return emu_to_int<int>(std::floor(v)); }
inline int __float2int_ru(float v) { return emu_to_int<int>(std::ceil(v)); }
inline unsigned __float2uint_rn(float v) { return emu_to_int<unsigned>(std::nearbyint(v)); }
inline unsigned __float2uint_rz(float v) { return emu_to_int<unsigned>(v); }
inline long long __float2ll_rn(float v) { return emu_to_int<long long>(std::nearbyint(v)); }
inline int __double2int_rn(double v) { return emu_to_int<int>(std::nearbyint(v)); }
inline int __double2int_rz(double v) { return emu_to_int<int>(v); }
inline float __int2float_rn(int v) { return float(v); }
inline float __uint2float_rn(unsigned v) { return float(v); }
inline float __ll2float_rn(long long v) { return float(v); }
inline float __ull2float_rn(unsigned long long v) { return float(v); }
inline float __double2float_rn(double v) { return float(v); }

inline int __popc(unsigned v) { return __builtin_popcount(v); }
inline int __popcll(unsigned long long v) { return __builtin_popcountll(v); }
inline int __clz(int v) { return v ? __builtin_clz(unsigned(v)) : 32; }
inline int __clzll(long long v) { return v ? __builtin_clzll((unsigned long long)v) : 64; }
inline int __ffs(int v) { return __builtin_ffs(v); }
inline int __ffsll(long long v) { return __builtin_ffsll(v); }
inline unsigned __brev(unsigned v) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= (v >> i & 1u) << (31 - i);
    return r;
}
inline int __mul24(int a, int b) { return a * b; }
inline unsigned __umul24(unsigned a, unsigned b) { return a * b; }
inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) { return (unsigned long long)(((unsigned __int128)a * b) >> 64); }
inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned s) { return unsigned(((uint64_t(hi) << 32 | lo) << (s & 31)) >> 32); }
inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned s) { return unsigned((uint64_t(hi) << 32 | lo) >> (s & 31)); }
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned s) {
    uint64_t v = uint64_t(b) << 32 | a;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) {
        unsigned sel = s >> (4 * i) & 15, byte = unsigned(v >> (8 * (sel & 7))) & 255;
        if (sel & 8) byte = byte & 128 ? 255 : 0;
        r |= byte << (8 * i);
    }
    return r;
}
inline int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) c += int(int8_t(a >> (8 * i))) * int(int8_t(b >> (8 * i)));
    return c;
}
inline long long clock64() { static long long n = 0; return n++; }
