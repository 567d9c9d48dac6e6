// The CUDA driver: device, contexts, streams, events, modules, functions.
// All work is done when it is asked for, so streams and events only keep
// handles and times.
#include "emu.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <map>
#include <set>
#include <string>

namespace {
struct Event { unsigned flags; bool recorded; std::chrono::steady_clock::time_point time; };
struct Stream { unsigned flags; int priority; };
struct Module { void *handle; std::map<std::string, Function *> functions; };

template <class T> std::set<T *> &live() { static auto *s = new std::set<T *>; return *s; }
template <class T> bool is_live(const void *p) { return live<T>().count(const_cast<T *>(static_cast<const T *>(p))); }

bool ready = false;
int primary_users = 0;
char primary_context;
thread_local void *current = nullptr;
std::set<void *> &contexts() { static auto *s = new std::set<void *>; return *s; }

bool no_device() {
    const char *text = getenv("CUDA_VISIBLE_DEVICES");
    return text && (!*text || !strcmp(text, "-1"));
}

constexpr int MAX_SHARED_OPTIN = 227 * 1024;
}  // namespace

void *emu_current_context() { return current; }
bool emu_stream_ok(const void *stream) {
    Guard guard(emu_mutex);
    return uintptr_t(stream) <= 2 || is_live<Stream>(stream);
}

API int cuInit(unsigned) {
    if (no_device()) return CUDA_NO_DEVICE;
    ready = true;
    return CUDA_OK;
}
API int cuDriverGetVersion(int *v) { *v = 13000; return CUDA_OK; }
API int cuDeviceGetCount(int *n) { *n = no_device() ? 0 : 1; return ready ? CUDA_OK : CUDA_NOT_INITIALIZED; }
API int cuDeviceGet(int *dev, int ordinal) {
    if (!ready) return CUDA_NOT_INITIALIZED;
    if (ordinal != 0) return CUDA_INVALID_DEVICE;
    *dev = 0;
    return CUDA_OK;
}
API int cuDeviceGetName(char *name, int n, int) { snprintf(name, size_t(n), "CUDA stand-in on the CPU"); return CUDA_OK; }
API int cuDeviceGetUuid(unsigned char *id, int) { memset(id, 0xE0, 16); return CUDA_OK; }
API int cuDeviceGetUuid_v2(unsigned char *id, int d) { return cuDeviceGetUuid(id, d); }
API int cuDeviceCanAccessPeer(int *can, int, int) { *can = 0; return CUDA_OK; }
API int cuDeviceGetAttribute(int *value, int attribute, int) {
    switch (attribute) {
        case 1: *value = 1024; break;                  // threads of a block
        case 2: case 3: *value = 1024; break;          // block x, y
        case 4: *value = 64; break;                    // block z
        case 5: *value = 2147483647; break;            // grid x
        case 6: case 7: *value = 65535; break;         // grid y, z
        case 8: *value = 48 * 1024; break;             // shared memory of a block
        case 9: *value = 65536; break;                 // constant memory
        case 10: *value = 32; break;                   // warp size
        case 12: case 82: *value = 65536; break;       // registers
        case 13: *value = 1755000; break;              // clock
        case 16: *value = 132; break;                  // multiprocessors
        case 31: case 41: case 83: case 115: *value = 1; break;  // concurrent kernels, unified addressing, managed, pools
        case 38: *value = 50 * 1024 * 1024; break;     // L2 cache
        case 39: *value = 2048; break;                 // threads of a multiprocessor
        case 75: *value = 9; break;                    // compute capability
        case 76: *value = 0; break;
        case 78: case 79: case 80: *value = 1; break;
        case 81: *value = 228 * 1024; break;           // shared memory of a multiprocessor
        case 97: *value = MAX_SHARED_OPTIN; break;     // opt-in shared memory
        case 106: *value = 32; break;                  // blocks of a multiprocessor
        case 111: *value = 1024; break;                // reserved shared memory
        default: *value = 0;
    }
    return CUDA_OK;
}

// Contexts.
API int cuDevicePrimaryCtxRetain(void **ctx, int) {
    Guard guard(emu_mutex);
    if (!ready) return CUDA_NOT_INITIALIZED;
    primary_users++;
    *ctx = &primary_context;
    return CUDA_OK;
}
API int cuDevicePrimaryCtxRelease_v2(int) {
    Guard guard(emu_mutex);
    if (primary_users <= 0) return CUDA_INVALID_CONTEXT;
    primary_users--;
    return CUDA_OK;
}
API int cuCtxCreate_v4(void **ctx, void *, unsigned, int) {
    Guard guard(emu_mutex);
    *ctx = malloc(1);
    contexts().insert(*ctx);
    current = *ctx;
    return CUDA_OK;
}
API int cuCtxDestroy_v2(void *ctx) {
    Guard guard(emu_mutex);
    if (!contexts().erase(ctx)) return CUDA_INVALID_CONTEXT;
    if (current == ctx) current = nullptr;
    free(ctx);
    return CUDA_OK;
}
API int cuCtxGetCurrent(void **ctx) { *ctx = current; return CUDA_OK; }
API int cuCtxSetCurrent(void *ctx) {
    Guard guard(emu_mutex);
    if (ctx && ctx != &primary_context && !contexts().count(ctx)) return CUDA_INVALID_CONTEXT;
    current = ctx;
    return CUDA_OK;
}
API int cuCtxGetDevice(int *dev) { *dev = 0; return current ? CUDA_OK : CUDA_INVALID_CONTEXT; }
API int cuCtxSynchronize() { return current ? CUDA_OK : CUDA_INVALID_CONTEXT; }
API int cuCtxSetFlags(unsigned) { return CUDA_OK; }
API int cuCtxGetLimit(size_t *v, int) { *v = 1024; return CUDA_OK; }
API int cuCtxSetLimit(int, size_t) { return CUDA_OK; }
API int cuCtxGetCacheConfig(int *v) { *v = 0; return CUDA_OK; }
API int cuCtxSetCacheConfig(int) { return CUDA_OK; }
API int cuCtxGetStreamPriorityRange(int *least, int *greatest) { *least = 0; *greatest = -5; return CUDA_OK; }

// Streams.
API int cuStreamCreateWithPriority(void **s, unsigned flags, int priority) {
    Guard guard(emu_mutex);
    if (!current) return CUDA_INVALID_CONTEXT;
    auto *stream = new Stream{flags, priority};
    live<Stream>().insert(stream);
    *s = stream;
    return CUDA_OK;
}
API int cuStreamCreate(void **s, unsigned flags) { return cuStreamCreateWithPriority(s, flags, 0); }
API int cuStreamDestroy_v2(void *s) {
    Guard guard(emu_mutex);
    if (!live<Stream>().erase(static_cast<Stream *>(s))) return CUDA_INVALID_HANDLE;
    delete static_cast<Stream *>(s);
    return CUDA_OK;
}
API int cuStreamSynchronize(void *s) { return emu_stream_ok(s) ? CUDA_OK : CUDA_INVALID_HANDLE; }
API int cuStreamQuery(void *s) { return cuStreamSynchronize(s); }
API int cuStreamWaitEvent(void *s, void *e, unsigned) {
    Guard guard(emu_mutex);
    return emu_stream_ok(s) && is_live<Event>(e) ? CUDA_OK : CUDA_INVALID_HANDLE;
}
API int cuStreamIsCapturing(void *s, int *status) { *status = 0; return cuStreamSynchronize(s); }
API int cuStreamGetCtx(void *, void **ctx) { *ctx = current; return CUDA_OK; }
API int cuStreamAttachMemAsync(void *, unsigned long long, size_t, unsigned) { return CUDA_OK; }
API int cuLaunchHostFunc(void *s, void (*call)(void *), void *data) {
    if (!emu_stream_ok(s)) return CUDA_INVALID_HANDLE;
    call(data);
    return CUDA_OK;
}

// Events.
API int cuEventCreate(void **e, unsigned flags) {
    Guard guard(emu_mutex);
    if (!current) return CUDA_INVALID_CONTEXT;
    auto *event = new Event{flags, false, {}};
    live<Event>().insert(event);
    *e = event;
    return CUDA_OK;
}
API int cuEventDestroy_v2(void *e) {
    Guard guard(emu_mutex);
    if (!live<Event>().erase(static_cast<Event *>(e))) return CUDA_INVALID_HANDLE;
    delete static_cast<Event *>(e);
    return CUDA_OK;
}
API int cuEventRecord(void *e, void *s) {
    Guard guard(emu_mutex);
    if (!is_live<Event>(e) || !emu_stream_ok(s)) return CUDA_INVALID_HANDLE;
    static_cast<Event *>(e)->recorded = true;
    static_cast<Event *>(e)->time = std::chrono::steady_clock::now();
    return CUDA_OK;
}
API int cuEventQuery(void *e) {
    Guard guard(emu_mutex);
    return is_live<Event>(e) ? CUDA_OK : CUDA_INVALID_HANDLE;
}
API int cuEventSynchronize(void *e) { return cuEventQuery(e); }
API int cuEventElapsedTime_v2(float *ms, void *a, void *b) {
    Guard guard(emu_mutex);
    if (!is_live<Event>(a) || !is_live<Event>(b)) return CUDA_INVALID_HANDLE;
    auto *from = static_cast<Event *>(a), *to = static_cast<Event *>(b);
    // Flag 2: made without timing.
    if ((from->flags | to->flags) & 2 || !from->recorded || !to->recorded) return CUDA_INVALID_HANDLE;
    *ms = std::chrono::duration<float, std::milli>(to->time - from->time).count();
    return CUDA_OK;
}
API int cuEventElapsedTime(float *ms, void *a, void *b) { return cuEventElapsedTime_v2(ms, a, b); }

// Modules: the image is the text that the nvcc stand-in wrote.
API int cuModuleLoadData(void **m, const void *image) {
    Guard guard(emu_mutex);
    if (!current) return CUDA_INVALID_CONTEXT;
    const char *mark = "cuda-emulator-object: ";
    const char *at = strstr(static_cast<const char *>(image), mark);
    if (!at) return CUDA_INVALID_PTX;
    at += strlen(mark);
    std::string path(at, strcspn(at, "\r\n"));
    void *handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        fprintf(stderr, "cuda emulator: %s\n", dlerror());
        return CUDA_FILE_NOT_FOUND;
    }
    auto *module = new Module{handle, {}};
    live<Module>().insert(module);
    *m = module;
    return CUDA_OK;
}
API int cuModuleLoadDataEx(void **m, const void *image, unsigned, int *, void **) { return cuModuleLoadData(m, image); }
API int cuModuleLoad(void **m, const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) return CUDA_FILE_NOT_FOUND;
    std::string text;
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, f)) > 0;) text.append(part, n);
    fclose(f);
    return cuModuleLoadData(m, text.c_str());
}
// The object stays loaded: it is small, and another module may share it.
API int cuModuleUnload(void *m) {
    Guard guard(emu_mutex);
    if (!live<Module>().erase(static_cast<Module *>(m))) return CUDA_INVALID_HANDLE;
    return CUDA_OK;
}
API int cuModuleGetFunction(void **f, void *m, const char *name) {
    Guard guard(emu_mutex);
    if (!is_live<Module>(m)) return CUDA_INVALID_HANDLE;
    auto *module = static_cast<Module *>(m);
    auto &slot = module->functions[name];
    if (!slot) {
        std::string key = std::string("emu_entry_") + name;
        void *entry = dlsym(module->handle, key.c_str());
        if (!entry) {
            module->functions.erase(name);
            return CUDA_NOT_FOUND;
        }
        key = std::string("emu_bounds_") + name;
        auto *bounds = static_cast<const unsigned *>(dlsym(module->handle, key.c_str()));
        slot = new Function{reinterpret_cast<void (*)(void **)>(entry), strdup(name), bounds ? *bounds : 1024, 48 * 1024};
    }
    *f = slot;
    return CUDA_OK;
}
API int cuModuleGetGlobal_v2(unsigned long long *, size_t *, void *, const char *) { return CUDA_NOT_FOUND; }

// Functions.
API int cuFuncGetAttribute(int *value, int attribute, void *f) {
    auto *function = static_cast<Function *>(f);
    switch (attribute) {
        case 0: *value = int(function->max_threads); break;
        case 4: *value = 32; break;
        case 5: case 6: *value = 90; break;
        case 8: *value = function->max_dynamic; break;
        default: *value = 0;
    }
    return CUDA_OK;
}
API int cuFuncSetAttribute(void *f, int attribute, int value) {
    if (attribute == 8) {
        if (value < 0 || value > MAX_SHARED_OPTIN) return CUDA_INVALID_VALUE;
        static_cast<Function *>(f)->max_dynamic = value;
    }
    return CUDA_OK;
}
API int cuFuncSetCacheConfig(void *, int) { return CUDA_OK; }
API int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *n, void *, int block, size_t) {
    *n = block > 0 ? 2048 / ((block + 31) / 32 * 32) : 0;
    return CUDA_OK;
}
API int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *n, void *f, int block, size_t s, unsigned) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(n, f, block, s);
}
API int cuOccupancyMaxPotentialBlockSize(int *grid, int *block, void *f, void *, size_t, int limit) {
    int most = int(static_cast<Function *>(f)->max_threads);
    *block = limit > 0 && limit < most ? limit : most;
    *grid = 132 * (2048 / *block);
    return CUDA_OK;
}
API int cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *block, void *f, void *b, size_t s, int limit, unsigned) {
    return cuOccupancyMaxPotentialBlockSize(grid, block, f, b, s, limit);
}
API int cuOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, void *, int, int) { *bytes = MAX_SHARED_OPTIN; return CUDA_OK; }

API int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                       unsigned shared, void *stream, void **params, void **extra) {
    if (!f || !emu_stream_ok(stream)) return CUDA_INVALID_HANDLE;
    if (!current) return CUDA_INVALID_CONTEXT;
    if (extra) return CUDA_NOT_SUPPORTED;
    auto &function = *static_cast<Function *>(f);
    const unsigned long long threads = 1ull * bx * by * bz;
    if (!gx || !gy || !gz || !threads || gx > 2147483647u || gy > 65535 || gz > 65535 || bx > 1024 || by > 1024 ||
        bz > 64 || threads > 1024 || threads > function.max_threads)
        return CUDA_INVALID_VALUE;
    if (shared > unsigned(function.max_dynamic)) return CUDA_INVALID_VALUE;
    const unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
    return emu_launch(function, grid, block, shared, params);
}
API int cuLaunchCooperativeKernel(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **) {
    return CUDA_NOT_SUPPORTED;
}
API int cuProfilerStart() { return CUDA_OK; }
API int cuProfilerStop() { return CUDA_OK; }

namespace {
struct Message { int code; const char *name, *text; };
constexpr Message MESSAGES[] = {
    {0, "CUDA_SUCCESS", "no error"},
    {1, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {3, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {100, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {101, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {201, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {218, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {301, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {400, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {500, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {801, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};
const Message *message(int code) {
    for (auto &m : MESSAGES)
        if (m.code == code) return &m;
    return nullptr;
}
}  // namespace
API int cuGetErrorName(int code, const char **name) {
    auto *m = message(code);
    *name = m ? m->name : "CUDA_ERROR_UNKNOWN";
    return CUDA_OK;
}
API int cuGetErrorString(int code, const char **text) {
    auto *m = message(code);
    *text = m ? m->text : "unknown error";
    return CUDA_OK;
}
