// The CUDA C++ language on the host: included before every kernel source.
// Keywords, built-in variables, barriers, warp operations and atomics.
// The functions declared here live in libcuda_emu.so (src/launch.cpp).
#pragma once
#include <cassert>
#include <climits>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <type_traits>

#define __CUDACC__ 1
#define __CUDA_ARCH__ 900
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0
#define CUDA_VERSION 13000
#define CUDART_VERSION 13000
#ifdef EMU_NVRTC
#define __CUDACC_RTC__ 1
#endif

// The markers are taken out by the nvcc stand-in after preprocessing.
#define __global__ __emu_global__
#define __shared__ __emu_shared__
#define __launch_bounds__(...) __emu_bounds__((__VA_ARGS__))
#define __device__
#define __host__
#define __constant__ static
#define __managed__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
#define __restrict__ __restrict
#define __cluster_dims__(...)
#define __nv_pure__
#define __trap() emu_trap()

#include "emu_vector.h"

extern "C" {
extern uint3 threadIdx;
extern uint3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

void emu_sync_block(void);
unsigned emu_sync_block_count(int predicate);
// Deposits a value for the other lanes of the warp, waits for the lanes of
// `mask`, and gives back the value of lane `from`.
uint64_t emu_warp_exchange(unsigned mask, uint64_t value, int from);
unsigned emu_warp_ballot(unsigned mask, int predicate);
uint64_t emu_warp_reduce(unsigned mask, uint64_t value, int kind);
unsigned emu_warp_live(void);
int emu_lane(void);
void *emu_dynamic_shared(void);
int emu_shared_note(void *start, size_t bytes);
[[noreturn]] void emu_trap(void);
}

static const int warpSize = 32;

inline void __syncthreads() { emu_sync_block(); }
inline int __syncthreads_count(int p) { return int(emu_sync_block_count(p)); }
inline int __syncthreads_or(int p) { return emu_sync_block_count(p) != 0; }
inline int __syncthreads_and(int p) { return emu_sync_block_count(!p) == 0; }
inline void __syncwarp(unsigned mask = 0xffffffffu) { emu_warp_ballot(mask, 0); }
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}
inline unsigned __activemask() { return emu_warp_live(); }
inline unsigned __ballot_sync(unsigned mask, int p) { return emu_warp_ballot(mask, p); }
inline int __any_sync(unsigned mask, int p) { return emu_warp_ballot(mask, p) != 0; }
inline int __all_sync(unsigned mask, int p) { return emu_warp_ballot(mask, !p) == 0; }

template <class T> inline T emu_exchange(unsigned mask, T v, int from) {
    static_assert(sizeof(T) <= 8, "a shuffled value has at most 8 bytes");
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof(T));
    bits = emu_warp_exchange(mask, bits, from);
    memcpy((void *)&v, &bits, sizeof(T));
    return v;
}
template <class T> inline T __shfl_sync(unsigned m, T v, int src, int width = 32) {
    int lane = emu_lane();
    return emu_exchange(m, v, (lane & ~(width - 1)) | (src & (width - 1)));
}
template <class T> inline T __shfl_up_sync(unsigned m, T v, unsigned d, int width = 32) {
    int lane = emu_lane(), from = lane - int(d);
    return emu_exchange(m, v, from < (lane & ~(width - 1)) ? lane : from);
}
template <class T> inline T __shfl_down_sync(unsigned m, T v, unsigned d, int width = 32) {
    int lane = emu_lane(), from = lane + int(d);
    return emu_exchange(m, v, from > (lane | (width - 1)) ? lane : from);
}
template <class T> inline T __shfl_xor_sync(unsigned m, T v, int bits, int width = 32) {
    int lane = emu_lane(), from = lane ^ bits;
    return emu_exchange(m, v, from > (lane | (width - 1)) ? lane : from);
}
inline unsigned __reduce_add_sync(unsigned m, unsigned v) { return unsigned(emu_warp_reduce(m, v, 0)); }
inline int __reduce_add_sync(unsigned m, int v) { return int(emu_warp_reduce(m, uint64_t(int64_t(v)), 0)); }
inline unsigned __reduce_max_sync(unsigned m, unsigned v) { return unsigned(emu_warp_reduce(m, v, 1)); }
inline int __reduce_max_sync(unsigned m, int v) { return int(emu_warp_reduce(m, uint64_t(int64_t(v)), 1)); }
inline unsigned __reduce_min_sync(unsigned m, unsigned v) { return unsigned(emu_warp_reduce(m, v, 2)); }
inline int __reduce_min_sync(unsigned m, int v) { return int(emu_warp_reduce(m, uint64_t(int64_t(v)), 2)); }
inline unsigned __reduce_and_sync(unsigned m, unsigned v) { return unsigned(emu_warp_reduce(m, v, 3)); }
inline unsigned __reduce_or_sync(unsigned m, unsigned v) { return unsigned(emu_warp_reduce(m, v, 4)); }
inline unsigned __reduce_xor_sync(unsigned m, unsigned v) { return unsigned(emu_warp_reduce(m, v, 5)); }

// Atomics: one thread runs at a time, so plain reads and writes are enough.
template <class T> struct emu_same { using type = T; };
template <class T> using emu_same_t = typename emu_same<T>::type;
template <class T> inline T atomicAdd(T *p, emu_same_t<T> v) { T old = *p; *p = T(old + v); return old; }
template <class T> inline T atomicSub(T *p, emu_same_t<T> v) { T old = *p; *p = T(old - v); return old; }
template <class T> inline T atomicExch(T *p, emu_same_t<T> v) { T old = *p; *p = v; return old; }
template <class T> inline T atomicMax(T *p, emu_same_t<T> v) { T old = *p; if (old < v) *p = v; return old; }
template <class T> inline T atomicMin(T *p, emu_same_t<T> v) { T old = *p; if (v < old) *p = v; return old; }
template <class T> inline T atomicAnd(T *p, emu_same_t<T> v) { T old = *p; *p = T(old & v); return old; }
template <class T> inline T atomicOr(T *p, emu_same_t<T> v) { T old = *p; *p = T(old | v); return old; }
template <class T> inline T atomicXor(T *p, emu_same_t<T> v) { T old = *p; *p = T(old ^ v); return old; }
template <class T> inline T atomicCAS(T *p, emu_same_t<T> is, emu_same_t<T> v) {
    T old = *p;
    if (old == is) *p = v;
    return old;
}
inline unsigned atomicInc(unsigned *p, unsigned top) { unsigned old = *p; *p = old >= top ? 0 : old + 1; return old; }
inline unsigned atomicDec(unsigned *p, unsigned top) { unsigned old = *p; *p = old == 0 || old > top ? top : old - 1; return old; }
template <class T> inline T atomicAdd_block(T *p, emu_same_t<T> v) { return atomicAdd(p, v); }

template <class T> inline T __ldg(const T *p) { return *p; }
template <class T> inline T __ldcs(const T *p) { return *p; }
template <class T> inline T __ldca(const T *p) { return *p; }
template <class T> inline T __ldcg(const T *p) { return *p; }
template <class T> inline void __stcs(T *p, emu_same_t<T> v) { *p = v; }
template <class T> inline void __stcg(T *p, emu_same_t<T> v) { *p = v; }

#include "emu_math.h"

// Reads the launch's parameters and calls the kernel for one thread.
template <class... A> inline void emu_call(void (*kernel)(A...), void **p) {
    [&]<size_t... I>(std::integer_sequence<size_t, I...>) {
        kernel(*static_cast<std::remove_cv_t<A> *>(p[I])...);
    }(std::make_integer_sequence<size_t, sizeof...(A)>());
}
// The first argument of __launch_bounds__.
template <class A, class... B> constexpr unsigned emu_first(A a, B...) { return unsigned(a); }
