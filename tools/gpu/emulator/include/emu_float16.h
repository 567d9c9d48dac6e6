// Conversions of 16-bit and 8-bit floats, shared by the kernel headers and by
// the libraries. All round to nearest, ties to even.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

inline uint32_t emu_f2u(float f) { uint32_t u; memcpy(&u, &f, 4); return u; }
inline float emu_u2f(uint32_t u) { float f; memcpy(&f, &u, 4); return f; }

// A double as a float that a second rounding cannot spoil: when it is not
// exact, the last bit is set ("round to odd").
inline float emu_odd(double d) {
    float f = float(d);
    if (d != d || double(f) == d || std::isinf(d)) return f;
    uint32_t u = emu_f2u(f);
    if (std::fabs(double(f)) > std::fabs(d)) u--;
    return emu_u2f(u | 1u);
}

inline uint16_t emu_f2h(float f) {
    uint32_t u = emu_f2u(f), sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return 0x7fff;
    if (u >= 0x477ff000u) return uint16_t(sign | 0x7c00u);
    if (u < 0x38800000u) {
        // Below the smallest normal half: a float addition does the rounding.
        float s = emu_u2f(u) + 0.5f;
        return uint16_t(sign | (emu_f2u(s) - 0x3f000000u));
    }
    uint32_t odd = u >> 13 & 1u;
    return uint16_t(sign | ((u - 0x38000000u + 0xfffu + odd) >> 13));
}
inline float emu_h2f(uint16_t h) {
    uint32_t sign = uint32_t(h & 0x8000u) << 16, e = h >> 10 & 31u, m = h & 0x3ffu;
    if (e == 31) return emu_u2f(sign | 0x7f800000u | m << 13);
    if (e) return emu_u2f(sign | (e + 112) << 23 | m << 13);
    float v = float(m) * 5.9604644775390625e-8f;
    return sign ? -v : v;
}
inline uint16_t emu_f2b(float f) {
    uint32_t u = emu_f2u(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return uint16_t((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
inline float emu_b2f(uint16_t b) { return emu_u2f(uint32_t(b) << 16); }

// FP8 e4m3: no infinity, NaN is 0x7f, the largest value is 448 (saturating).
inline uint8_t emu_f2e4m3(float f, bool saturate = true) {
    uint8_t sign = emu_f2u(f) >> 31 ? 0x80 : 0;
    float a = std::fabs(f);
    if (a != a) return uint8_t(sign | 0x7f);
    if (a >= 464.0f) return uint8_t(sign | (saturate ? 0x7e : 0x7f));
    if (a < 0.015625f) return uint8_t(sign | uint8_t(std::nearbyint(a * 512.0f)));
    uint32_t u = emu_f2u(a), odd = u >> 20 & 1u;
    uint32_t r = (u - (120u << 23) + 0x7ffffu + odd) >> 20;
    return uint8_t(sign | (r > 0x7e ? 0x7e : r));
}
inline float emu_e4m32f(uint8_t b) {
    int e = b >> 3 & 15, m = b & 7;
    float v = (b & 0x7f) == 0x7f ? NAN : e ? std::ldexp(float(8 + m), e - 10) : float(m) / 512.0f;
    return b & 0x80 ? -v : v;
}
inline uint8_t emu_f2e5m2(float f, bool saturate = true) {
    uint16_t h = emu_f2h(f);
    if ((h & 0x7fff) > 0x7c00) return uint8_t(h >> 8 | 0x7f);
    uint16_t low = h & 0xff, top = h >> 8;
    if (low > 0x80 || (low == 0x80 && (top & 1))) top++;
    if (saturate && (top & 0x7f) >= 0x7c) top = uint16_t((top & 0x80) | 0x7b);
    return uint8_t(top);
}
inline float emu_e5m22f(uint8_t b) { return emu_h2f(uint16_t(b << 8)); }
