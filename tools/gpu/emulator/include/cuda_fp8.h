// The 8-bit float types on the host.
#pragma once
#include "cuda_bf16.h"
#include "cuda_fp16.h"

typedef unsigned char __nv_fp8_storage_t;
enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 };
enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE };

inline __half_raw __nv_cvt_fp8_to_halfraw(__nv_fp8_storage_t v, __nv_fp8_interpretation_t kind) {
    return {emu_f2h(kind == __NV_E4M3 ? emu_e4m32f(v) : emu_e5m22f(v))};
}
inline __nv_fp8_storage_t __nv_cvt_float_to_fp8(float v, __nv_saturation_t sat, __nv_fp8_interpretation_t kind) {
    return kind == __NV_E4M3 ? emu_f2e4m3(v, sat == __NV_SATFINITE) : emu_f2e5m2(v, sat == __NV_SATFINITE);
}

#define EMU_FP8(NAME, FROM, TO) \
    struct NAME { \
        __nv_fp8_storage_t __x; \
        NAME() = default; \
        template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>> explicit NAME(T v) { \
            if constexpr (std::is_same_v<T, float>) __x = FROM(v); \
            else __x = FROM(emu_odd(double(v))); \
        } \
        explicit NAME(const __half &v) : __x(FROM(float(v))) {} \
        explicit NAME(const __nv_bfloat16 &v) : __x(FROM(float(v))) {} \
        explicit operator float() const { return TO(__x); } \
        explicit operator double() const { return double(TO(__x)); } \
        explicit operator __half() const { return __half(TO(__x)); } \
        explicit operator __nv_bfloat16() const { return __nv_bfloat16(TO(__x)); } \
    };
EMU_FP8(__nv_fp8_e4m3, emu_f2e4m3, emu_e4m32f)
EMU_FP8(__nv_fp8_e5m2, emu_f2e5m2, emu_e5m22f)
