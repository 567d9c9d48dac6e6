// What the parts of the emulator share.
#pragma once
#include <cstddef>
#include <cstdint>
#include <mutex>

#define API extern "C" __attribute__((visibility("default")))

// Driver results used here (CUresult).
enum {
    CUDA_OK = 0,
    CUDA_INVALID_VALUE = 1,
    CUDA_OUT_OF_MEMORY = 2,
    CUDA_NOT_INITIALIZED = 3,
    CUDA_NO_DEVICE = 100,
    CUDA_INVALID_DEVICE = 101,
    CUDA_INVALID_CONTEXT = 201,
    CUDA_INVALID_PTX = 218,
    CUDA_FILE_NOT_FOUND = 301,
    CUDA_INVALID_HANDLE = 400,
    CUDA_NOT_FOUND = 500,
    CUDA_NOT_SUPPORTED = 801,
};

// One lock for the whole device: every call runs to its end before the next.
extern std::recursive_mutex emu_mutex;
using Guard = std::lock_guard<std::recursive_mutex>;

// Ends the process with a message: the caller broke a rule of the device.
[[noreturn]] void emu_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

// Dies unless [start, start + bytes) lies within one device allocation.
void emu_check_range(const void *start, size_t bytes, const char *what);
// Whether the address lies in a device allocation, or in pinned memory.
bool emu_is_device(const void *start);
// Whether the stream can be used: the default ones or a live one.
bool emu_stream_ok(const void *stream);
// The context of this thread, or null.
void *emu_current_context();

struct Function {
    void (*entry)(void **);
    const char *name;
    unsigned max_threads;
    int max_dynamic;
};
int emu_launch(const Function &f, const unsigned grid[3], const unsigned block[3], unsigned shared, void **params);

// Products of matrices (blas.cpp): C += op(A) op(B), column-major.
template <class T>
void emu_gemm(bool ta, bool tb, size_t m, size_t n, size_t k, const T *a, size_t lda, const T *b, size_t ldb, T *c, size_t ldc);

// Element types by one numbering for all libraries.
enum Type { F16, BF16, F32, F64, OTHER };
inline size_t emu_size(Type t) { return t == F64 ? 8 : t == F32 ? 4 : 2; }
double emu_load(Type t, const void *p, size_t i);
void emu_store(Type t, void *p, size_t i, double v);
