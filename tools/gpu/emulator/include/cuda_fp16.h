// __half on the host.
#pragma once
#include "emu_kernel.h"
#include "emu_float16.h"

struct __half_raw { unsigned short x; };

#define EMU_T __half
#define EMU_RAW __half_raw
#define EMU_FROM emu_f2h
#define EMU_TO emu_h2f
#include "emu_half_ops.h"
#undef EMU_T
#undef EMU_RAW
#undef EMU_FROM
#undef EMU_TO

typedef __half half;
struct __attribute__((aligned(4))) __half2 {
    __half x, y;
    __half2() = default;
    constexpr __half2(const __half &a, const __half &b) : x(a), y(b) {}
};
typedef __half2 half2;
#define EMU_T __half
#define EMU_T2 __half2
#include "emu_half2_ops.h"
#undef EMU_T
#undef EMU_T2

inline __half __float2half(float v) { return __half(v); }
inline __half __float2half_rn(float v) { return __half(v); }
inline __half __double2half(double v) { return __half(v); }
inline float __half2float(__half v) { return float(v); }
inline __half __int2half_rn(int v) { return __half(v); }
inline __half __uint2half_rn(unsigned v) { return __half(v); }
inline __half __ll2half_rn(long long v) { return __half(v); }
inline __half __ushort_as_half(unsigned short v) { return __half(__half_raw{v}); }
inline __half __short_as_half(short v) { return __ushort_as_half((unsigned short)v); }
inline unsigned short __half_as_ushort(__half v) { return v.__x; }
inline short __half_as_short(__half v) { return short(v.__x); }
inline int __half2int_rn(__half v) { return __float2int_rn(float(v)); }
inline int __half2int_rz(__half v) { return __float2int_rz(float(v)); }
inline __half2 __float2half2_rn(float v) { return {__half(v), __half(v)}; }
inline __half2 __floats2half2_rn(float a, float b) { return {__half(a), __half(b)}; }
inline __half2 __float22half2_rn(float2 v) { return {__half(v.x), __half(v.y)}; }
inline float2 __half22float2(__half2 v) { return {float(v.x), float(v.y)}; }
inline __half2 __half2half2(__half v) { return {v, v}; }
inline __half2 __halves2half2(__half a, __half b) { return {a, b}; }
inline __half2 make_half2(__half a, __half b) { return {a, b}; }
inline __half __low2half(__half2 v) { return v.x; }
inline __half __high2half(__half2 v) { return v.y; }
inline float __low2float(__half2 v) { return float(v.x); }
inline float __high2float(__half2 v) { return float(v.y); }
