// Device memory: host memory with guard zones, filled with NaN bytes when it
// is fresh and when it is freed. Copies check both ends.
#include "emu.h"
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

using Ptr = unsigned long long;
std::recursive_mutex emu_mutex;

void emu_die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs("cuda emulator: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    fflush(stderr);
    abort();
}

namespace {
constexpr size_t FRONT = 256, BACK = 64;
constexpr unsigned char GUARD = 0xA5;

std::map<uintptr_t, size_t> &device() { static auto *m = new std::map<uintptr_t, size_t>; return *m; }
std::map<uintptr_t, size_t> &pinned() { static auto *m = new std::map<uintptr_t, size_t>; return *m; }
size_t used = 0, high = 0;

size_t total() {
    static const size_t bytes = [] {
        const char *text = getenv("CUDA_EMU_MEMORY");
        return text ? size_t(strtoull(text, nullptr, 0)) : size_t(8) << 30;
    }();
    return bytes;
}

int allocate(Ptr *out, size_t bytes) {
    Guard guard(emu_mutex);
    if (!out) return CUDA_INVALID_VALUE;
    if (!emu_current_context()) return CUDA_INVALID_CONTEXT;
    if (bytes > total() || used + bytes > total()) return CUDA_OUT_OF_MEMORY;
    size_t room = FRONT + (bytes + BACK + 255) / 256 * 256;
    auto *base = static_cast<unsigned char *>(aligned_alloc(256, room));
    if (!base) return CUDA_OUT_OF_MEMORY;
    memset(base, GUARD, FRONT);
    memset(base + FRONT, 0xFF, bytes);
    memset(base + FRONT + bytes, GUARD, room - FRONT - bytes);
    uintptr_t at = uintptr_t(base + FRONT);
    device()[at] = bytes;
    used += bytes;
    if (used > high) high = used;
    *out = at;
    return CUDA_OK;
}

void check_guards(uintptr_t at, size_t bytes) {
    auto *p = reinterpret_cast<unsigned char *>(at);
    for (size_t i = 1; i <= FRONT; i++)
        if (*(p - i) != GUARD) emu_die("memory before an allocation of %zu bytes was overwritten (at -%zu)", bytes, i);
    for (size_t i = 0; i < BACK; i++)
        if (p[bytes + i] != GUARD) emu_die("memory after an allocation of %zu bytes was overwritten (at +%zu)", bytes, i);
}

int release(Ptr p) {
    Guard guard(emu_mutex);
    if (!p) return CUDA_OK;
    auto it = device().find(uintptr_t(p));
    if (it == device().end()) emu_die("free of %#llx, which is not an allocation (freed twice?)", p);
    check_guards(it->first, it->second);
    memset(reinterpret_cast<void *>(it->first), 0xFF, it->second);
    free(reinterpret_cast<void *>(it->first - FRONT));
    used -= it->second;
    device().erase(it);
    return CUDA_OK;
}

bool inside(const std::map<uintptr_t, size_t> &m, uintptr_t at, size_t bytes) {
    auto it = m.upper_bound(at);
    if (it == m.begin()) return false;
    --it;
    return at <= it->first + it->second && bytes <= it->first + it->second - at;
}

int copy(void *to, const void *from, size_t bytes, bool to_device, bool from_device, const void *stream) {
    Guard guard(emu_mutex);
    if (!emu_stream_ok(stream)) return CUDA_INVALID_HANDLE;
    if (!emu_current_context()) return CUDA_INVALID_CONTEXT;
    if (!bytes) return CUDA_OK;
    if (!to || !from) return CUDA_INVALID_VALUE;
    if (to_device) emu_check_range(to, bytes, "the target of a copy");
    else if (inside(device(), uintptr_t(to), 1)) emu_die("a copy to the host has a device address as its target");
    if (from_device) emu_check_range(from, bytes, "the source of a copy");
    else if (inside(device(), uintptr_t(from), 1)) emu_die("a copy from the host has a device address as its source");
    memmove(to, from, bytes);
    return CUDA_OK;
}

template <class T> int fill(Ptr to, T value, size_t count, const void *stream) {
    Guard guard(emu_mutex);
    if (!emu_stream_ok(stream)) return CUDA_INVALID_HANDLE;
    if (!emu_current_context()) return CUDA_INVALID_CONTEXT;
    if (!count) return CUDA_OK;
    if (to % sizeof(T)) return CUDA_INVALID_VALUE;
    emu_check_range(reinterpret_cast<void *>(to), count * sizeof(T), "a memset");
    T *p = reinterpret_cast<T *>(to);
    for (size_t i = 0; i < count; i++) p[i] = value;
    return CUDA_OK;
}

void *at(Ptr p) { return reinterpret_cast<void *>(p); }
}  // namespace

void emu_check_range(const void *start, size_t bytes, const char *what) {
    Guard guard(emu_mutex);
    if (bytes && !inside(device(), uintptr_t(start), bytes))
        emu_die("%s of %zu bytes at %p is not within one device allocation", what, bytes, start);
}
bool emu_is_device(const void *start) {
    Guard guard(emu_mutex);
    return inside(device(), uintptr_t(start), 1);
}

API int cuMemAlloc_v2(Ptr *p, size_t n) { return n ? allocate(p, n) : CUDA_INVALID_VALUE; }
API int cuMemAllocManaged(Ptr *p, size_t n, unsigned) { return n ? allocate(p, n) : CUDA_INVALID_VALUE; }
API int cuMemAllocAsync(Ptr *p, size_t n, void *stream) {
    if (!emu_stream_ok(stream)) return CUDA_INVALID_HANDLE;
    if (!n) { *p = 0; return CUDA_OK; }
    return allocate(p, n);
}
API int cuMemAllocFromPoolAsync(Ptr *p, size_t n, void *, void *stream) { return cuMemAllocAsync(p, n, stream); }
API int cuMemFree_v2(Ptr p) { return release(p); }
API int cuMemFreeAsync(Ptr p, void *stream) { return emu_stream_ok(stream) ? release(p) : CUDA_INVALID_HANDLE; }

API int cuMemGetInfo_v2(size_t *free_bytes, size_t *all) {
    Guard guard(emu_mutex);
    *free_bytes = total() - used;
    *all = total();
    return CUDA_OK;
}
API int cuDeviceTotalMem_v2(size_t *bytes, int) { *bytes = total(); return CUDA_OK; }

API int cuMemHostAlloc(void **p, size_t n, unsigned) {
    Guard guard(emu_mutex);
    if (!n || !p) return CUDA_INVALID_VALUE;
    if (!emu_current_context()) return CUDA_INVALID_CONTEXT;
    *p = aligned_alloc(4096, (n + 4095) / 4096 * 4096);
    if (!*p) return CUDA_OUT_OF_MEMORY;
    memset(*p, 0xFF, n);
    pinned()[uintptr_t(*p)] = n;
    return CUDA_OK;
}
API int cuMemAllocHost_v2(void **p, size_t n) { return cuMemHostAlloc(p, n, 0); }
API int cuMemFreeHost(void *p) {
    Guard guard(emu_mutex);
    if (!pinned().erase(uintptr_t(p))) emu_die("cuMemFreeHost of %p, which is not pinned memory", p);
    free(p);
    return CUDA_OK;
}
API int cuMemHostGetFlags(unsigned *flags, void *p) {
    Guard guard(emu_mutex);
    *flags = 0;
    return inside(pinned(), uintptr_t(p), 1) ? CUDA_OK : CUDA_INVALID_VALUE;
}

API int cuMemcpyHtoD_v2(Ptr d, const void *s, size_t n) { return copy(at(d), s, n, true, false, nullptr); }
API int cuMemcpyHtoDAsync_v2(Ptr d, const void *s, size_t n, void *q) { return copy(at(d), s, n, true, false, q); }
API int cuMemcpyDtoH_v2(void *d, Ptr s, size_t n) { return copy(d, at(s), n, false, true, nullptr); }
API int cuMemcpyDtoHAsync_v2(void *d, Ptr s, size_t n, void *q) { return copy(d, at(s), n, false, true, q); }
API int cuMemcpyDtoD_v2(Ptr d, Ptr s, size_t n) { return copy(at(d), at(s), n, true, true, nullptr); }
API int cuMemcpyDtoDAsync_v2(Ptr d, Ptr s, size_t n, void *q) { return copy(at(d), at(s), n, true, true, q); }
API int cuMemcpyPeerAsync(Ptr d, void *, Ptr s, void *, size_t n, void *q) { return copy(at(d), at(s), n, true, true, q); }
API int cuMemcpyAsync(Ptr d, Ptr s, size_t n, void *q) { return copy(at(d), at(s), n, emu_is_device(at(d)), emu_is_device(at(s)), q); }
API int cuMemcpy(Ptr d, Ptr s, size_t n) { return cuMemcpyAsync(d, s, n, nullptr); }

API int cuMemsetD8_v2(Ptr p, unsigned char v, size_t n) { return fill(p, v, n, nullptr); }
API int cuMemsetD16_v2(Ptr p, unsigned short v, size_t n) { return fill(p, v, n, nullptr); }
API int cuMemsetD32_v2(Ptr p, unsigned v, size_t n) { return fill(p, v, n, nullptr); }
API int cuMemsetD8Async(Ptr p, unsigned char v, size_t n, void *q) { return fill(p, v, n, q); }
API int cuMemsetD16Async(Ptr p, unsigned short v, size_t n, void *q) { return fill(p, v, n, q); }
API int cuMemsetD32Async(Ptr p, unsigned v, size_t n, void *q) { return fill(p, v, n, q); }

API int cuMemAdvise_v2(Ptr, size_t, int, unsigned long long) { return CUDA_OK; }
API int cuMemPrefetchAsync_v2(Ptr, size_t, unsigned long long, unsigned, void *) { return CUDA_OK; }

// Memory pools: one, whose numbers follow the allocations.
API int cuDeviceGetDefaultMemPool(void **pool, int) { *pool = &used; return CUDA_OK; }
API int cuDeviceGetMemPool(void **pool, int) { *pool = &used; return CUDA_OK; }
API int cuDeviceSetMemPool(int, void *) { return CUDA_OK; }
API int cuMemPoolTrimTo(void *, size_t) { return CUDA_OK; }
namespace { uint64_t pool_values[16]; }
API int cuMemPoolGetAttribute(void *pool, unsigned attribute, void *value) {
    Guard guard(emu_mutex);
    if (pool != &used || attribute < 1 || attribute > 8) return CUDA_INVALID_VALUE;
    if (attribute <= 3) *static_cast<int *>(value) = int(pool_values[attribute]);
    else if (attribute == 4) *static_cast<uint64_t *>(value) = pool_values[4];
    else *static_cast<uint64_t *>(value) = attribute % 2 ? used : high;
    return CUDA_OK;
}
API int cuMemPoolSetAttribute(void *pool, unsigned attribute, void *value) {
    Guard guard(emu_mutex);
    if (pool != &used || attribute < 1 || attribute > 8) return CUDA_INVALID_VALUE;
    if (attribute <= 3) pool_values[attribute] = uint64_t(*static_cast<int *>(value));
    else if (attribute == 4) pool_values[4] = *static_cast<uint64_t *>(value);
    else if (attribute == 6 || attribute == 8) high = used;
    else return CUDA_INVALID_VALUE;
    return CUDA_OK;
}
