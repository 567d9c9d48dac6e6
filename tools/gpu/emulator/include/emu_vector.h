// CUDA's vector types (float4, int2, dim3, ...) on the host.
#pragma once

#define EMU_VEC1(N, T) \
    struct N##1 { T x; }; \
    inline N##1 make_##N##1(T x) { return {x}; }
#define EMU_VEC(N, T, A2, A4) \
    EMU_VEC1(N, T) \
    struct __attribute__((aligned(A2))) N##2 { T x, y; }; \
    struct N##3 { T x, y, z; }; \
    struct __attribute__((aligned(A4))) N##4 { T x, y, z, w; }; \
    inline N##2 make_##N##2(T x, T y) { return {x, y}; } \
    inline N##3 make_##N##3(T x, T y, T z) { return {x, y, z}; } \
    inline N##4 make_##N##4(T x, T y, T z, T w) { return {x, y, z, w}; }

EMU_VEC(char, signed char, 2, 4)
EMU_VEC(uchar, unsigned char, 2, 4)
EMU_VEC(short, short, 4, 8)
EMU_VEC(ushort, unsigned short, 4, 8)
EMU_VEC(int, int, 8, 16)
EMU_VEC(uint, unsigned, 8, 16)
EMU_VEC(long, long, 16, 16)
EMU_VEC(ulong, unsigned long, 16, 16)
EMU_VEC(longlong, long long, 16, 16)
EMU_VEC(ulonglong, unsigned long long, 16, 16)
EMU_VEC(float, float, 8, 16)
EMU_VEC(double, double, 16, 16)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
    constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};
