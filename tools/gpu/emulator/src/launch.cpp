// Launches: block after block; the threads of a block are fibers on one host
// thread. A thread runs until it ends or waits, so a kernel without barriers
// is a plain loop on one stack.
#include "emu.h"
#include "emu_vector.h"
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <vector>
#ifndef __x86_64__
#include <ucontext.h>
#endif

// clang-format off
extern "C" {
__attribute__((visibility("default"))) uint3 threadIdx, blockIdx;
__attribute__((visibility("default"))) dim3 blockDim, gridDim;
}
// clang-format on

namespace {
constexpr size_t STACK = 128 * 1024, PAGE = 4096;
constexpr size_t DYNAMIC_MAX = 227 * 1024, DYNAMIC_GUARD = 4096;
alignas(1024) unsigned char dynamic_shared[DYNAMIC_MAX + DYNAMIC_GUARD];

struct Fiber {
#ifdef __x86_64__
    void *sp;
#else
    ucontext_t context;
#endif
};

enum State : unsigned char { NEW, RUNNING, READY, AT_BLOCK, AT_WARP, DONE };
enum Kind { EXCHANGE, BALLOT, REDUCE };  // REDUCE + n: the operation n

struct Thread {
    State state;
    int kind, from;
    unsigned mask;
    uint64_t value, result;
    Fiber *fiber;
    uint3 index;
};

struct Noted { void *start; size_t bytes; };

const Function *kernel;
void **arguments;
Thread threads[1024];
unsigned warp_waiting[32], warp_done[32];
unsigned count, started, alive, at_block, current;
unsigned block_sum, block_result;
unsigned ready_queue[1024], ready_head, ready_size;
Fiber scheduler;
std::vector<Fiber *> idle;
std::vector<Noted> noted;
bool reversed;

#ifdef __x86_64__
extern "C" void emu_switch(void **save, void *load);
extern "C" void emu_fiber_start();
asm(R"(
.text
.globl emu_switch
.hidden emu_switch
.type emu_switch, @function
emu_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size emu_switch, .-emu_switch
.globl emu_fiber_start
.hidden emu_fiber_start
.type emu_fiber_start, @function
emu_fiber_start:
    movq %r12, %rdi
    call emu_run_fiber
    ud2
.size emu_fiber_start, .-emu_fiber_start
)");
void jump(Fiber *from, Fiber *to) { emu_switch(&from->sp, to->sp); }
#else
void jump(Fiber *from, Fiber *to) { swapcontext(&from->context, &to->context); }
#endif

void make_ready(unsigned t) {
    threads[t].state = READY;
    ready_queue[(ready_head + ready_size++) & 1023] = t;
}

uint64_t reduce(int op, uint64_t a, uint64_t b) {
    switch (op) {
        case 0: return a + b;
        case 1: return int64_t(a) > int64_t(b) ? a : b;
        case 2: return int64_t(a) < int64_t(b) ? a : b;
        case 3: return a & b;
        case 4: return a | b;
        default: return a ^ b;
    }
}

// Lets the lanes of a warp go whose whole mask has arrived.
void check_warp(unsigned warp) {
    const unsigned base = warp * 32, size = count - base < 32 ? count - base : 32;
    unsigned seen = 0;
    for (unsigned lane = 0; lane < size; lane++) {
        Thread &first = threads[base + lane];
        if (first.state != AT_WARP || seen >> lane & 1) continue;
        unsigned group = 0;
        bool whole = true;
        for (unsigned i = 0; i < size && whole; i++) {
            if (!(first.mask >> i & 1)) continue;
            Thread &t = threads[base + i];
            if (t.state == DONE) continue;
            whole = t.state == AT_WARP && t.mask == first.mask && t.kind == first.kind;
            group |= 1u << i;
        }
        seen |= first.mask;
        if (!whole) continue;
        uint64_t all = 0;
        bool any = false;
        for (unsigned i = 0; i < size; i++) {
            if (!(group >> i & 1)) continue;
            Thread &t = threads[base + i];
            if (first.kind == BALLOT) all |= uint64_t(t.value != 0) << i;
            else if (first.kind >= REDUCE) all = any ? reduce(first.kind - REDUCE, all, t.value) : t.value;
            any = true;
        }
        for (unsigned i = 0; i < size; i++) {
            if (!(group >> i & 1)) continue;
            Thread &t = threads[base + i];
            // A lane that does not take part gives poison.
            if (first.kind == EXCHANGE) t.result = t.from < 32 && group >> t.from & 1 ? threads[base + unsigned(t.from)].value : ~0ull;
            else t.result = all;
            warp_waiting[warp]--;
            make_ready(base + i);
        }
    }
}

void check_block() {
    if (!at_block || at_block != alive || started != count) return;
    block_result = block_sum;
    block_sum = 0;
    at_block = 0;
    for (unsigned t = 0; t < count; t++)
        if (threads[t].state == AT_BLOCK) make_ready(t);
}

void run_fiber(Fiber *self) {
    for (;;) {
        while (started < count) {
            current = reversed ? count - 1 - started : started;
            started++;
            Thread &t = threads[current];
            t.fiber = self;
            t.state = RUNNING;
            threadIdx = t.index;
            kernel->entry(arguments);
            // `current` is again this thread, after whatever ran between.
            threads[current].state = DONE;
            alive--;
            const unsigned warp = current / 32;
            warp_done[warp]++;
            if (warp_waiting[warp]) check_warp(warp);
            check_block();
        }
        idle.push_back(self);
        jump(self, &scheduler);
    }
}

extern "C" __attribute__((visibility("hidden"), used)) void emu_run_fiber(Fiber *self) { run_fiber(self); }
#ifndef __x86_64__
void fiber_start(unsigned high, unsigned low) { run_fiber(reinterpret_cast<Fiber *>(uintptr_t(high) << 32 | low)); }
#endif

Fiber *take_fiber() {
    if (!idle.empty()) {
        Fiber *f = idle.back();
        idle.pop_back();
        return f;
    }
    void *area = mmap(nullptr, STACK + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) emu_die("no memory for the stack of a thread");
    mprotect(area, PAGE, PROT_NONE);
    auto *f = new Fiber;
#ifdef __x86_64__
    auto *top = reinterpret_cast<uint64_t *>(static_cast<char *>(area) + PAGE + STACK);
    // The registers that emu_switch pops (r15 first), then its return address.
    *--top = 0;
    *--top = 0;
    *--top = reinterpret_cast<uint64_t>(&emu_fiber_start);
    *--top = 0;                              // rbp
    *--top = 0;                              // rbx
    *--top = reinterpret_cast<uint64_t>(f);  // r12
    *--top = 0;                              // r13
    *--top = 0;                              // r14
    *--top = 0;                              // r15
    f->sp = top;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = static_cast<char *>(area) + PAGE;
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = nullptr;
    const uintptr_t at = reinterpret_cast<uintptr_t>(f);
    makecontext(&f->context, reinterpret_cast<void (*)()>(fiber_start), 2, unsigned(at >> 32), unsigned(at));
#endif
    return f;
}

// Leaves the running thread until it is made ready again.
void wait() {
    const unsigned me = current;
    jump(threads[me].fiber, &scheduler);
}

[[noreturn]] void deadlock() {
    unsigned block = 0, warp = 0;
    for (unsigned t = 0; t < count; t++) {
        block += threads[t].state == AT_BLOCK;
        warp += threads[t].state == AT_WARP;
    }
    emu_die("kernel %s, block (%u, %u, %u): not all threads reach a barrier: %u wait in __syncthreads, %u in a warp "
            "operation, %u of %u have ended",
            kernel->name, blockIdx.x, blockIdx.y, blockIdx.z, block, warp, count - alive, count);
}

void run_block() {
    started = 0;
    alive = count;
    at_block = block_sum = 0;
    ready_head = ready_size = 0;
    noted.clear();
    memset(warp_waiting, 0, sizeof warp_waiting);
    memset(warp_done, 0, sizeof warp_done);
    for (unsigned t = 0; t < count; t++) threads[t].state = NEW;
    for (;;) {
        if (ready_size) {
            current = ready_queue[ready_head];
            ready_head = (ready_head + 1) & 1023;
            ready_size--;
            Thread &t = threads[current];
            t.state = RUNNING;
            threadIdx = t.index;
            jump(&scheduler, t.fiber);
        } else if (started < count) {
            jump(&scheduler, take_fiber());
        } else if (alive) {
            deadlock();
        } else {
            break;
        }
    }
}

void warp_wait(unsigned mask, int kind, uint64_t value, int from) {
    Thread &me = threads[current];
    const unsigned lane = current & 31, warp = current / 32;
    if (!(mask >> lane & 1)) emu_die("kernel %s: lane %u is not in the mask %#x of its warp operation", kernel->name, lane, mask);
    me.mask = mask;
    me.kind = kind;
    me.value = value;
    me.from = from;
    me.state = AT_WARP;
    warp_waiting[warp]++;
    const unsigned base = warp * 32, size = count - base < 32 ? count - base : 32;
    if (mask != 0xffffffffu || warp_waiting[warp] + warp_done[warp] == size) check_warp(warp);
    wait();
}
}  // namespace

API void emu_sync_block() {
    threads[current].state = AT_BLOCK;
    at_block++;
    check_block();
    wait();
}
API unsigned emu_sync_block_count(int predicate) {
    block_sum += predicate != 0;
    emu_sync_block();
    return block_result;
}
API uint64_t emu_warp_exchange(unsigned mask, uint64_t value, int from) {
    warp_wait(mask, EXCHANGE, value, from);
    return threads[current].result;
}
API unsigned emu_warp_ballot(unsigned mask, int predicate) {
    warp_wait(mask, BALLOT, uint64_t(predicate), 0);
    return unsigned(threads[current].result);
}
API uint64_t emu_warp_reduce(unsigned mask, uint64_t value, int kind) {
    warp_wait(mask, REDUCE + kind, value, 0);
    return threads[current].result;
}
API unsigned emu_warp_live() {
    unsigned live = 0, base = current & ~31u;
    for (unsigned i = 0; i < 32 && base + i < count; i++) live |= unsigned(threads[base + i].state != DONE) << i;
    return live;
}
API int emu_lane() { return int(current & 31); }
API void *emu_dynamic_shared() { return dynamic_shared; }
API int emu_shared_note(void *start, size_t bytes) {
    if (!kernel) return 0;
    for (auto &n : noted)
        if (n.start == start) return 0;
    memset(start, 0xFF, bytes);
    noted.push_back({start, bytes});
    return 0;
}
API void emu_trap() { emu_die("kernel %s: __trap()", kernel ? kernel->name : "?"); }

int emu_launch(const Function &f, const unsigned grid[3], const unsigned block[3], unsigned shared, void **params) {
    Guard guard(emu_mutex);
    const char *order = getenv("CUDA_EMU_ORDER");
    reversed = order && !strcmp(order, "reverse");
    kernel = &f;
    arguments = params;
    blockDim = dim3(block[0], block[1], block[2]);
    gridDim = dim3(grid[0], grid[1], grid[2]);
    count = block[0] * block[1] * block[2];
    unsigned t = 0;
    for (unsigned z = 0; z < block[2]; z++)
        for (unsigned y = 0; y < block[1]; y++)
            for (unsigned x = 0; x < block[0]; x++) threads[t++].index = {x, y, z};
    memset(dynamic_shared, 0xFF, shared + DYNAMIC_GUARD);
    for (unsigned z = 0; z < grid[2]; z++)
        for (unsigned y = 0; y < grid[1]; y++)
            for (unsigned x = 0; x < grid[0]; x++) {
                blockIdx = {x, y, z};
                memset(dynamic_shared, 0xFF, shared);
                run_block();
                for (size_t i = 0; i < DYNAMIC_GUARD; i += 8) {
                    uint64_t word;
                    memcpy(&word, dynamic_shared + shared + i, 8);
                    if (word != ~0ull) emu_die("kernel %s wrote past its %u bytes of dynamic shared memory", f.name, shared);
                }
                size_t fixed = 0;
                for (auto &n : noted) fixed += n.bytes;
                if (fixed > 48 * 1024 || fixed + shared > DYNAMIC_MAX)
                    emu_die("kernel %s uses %zu bytes of static and %u of dynamic shared memory", f.name, fixed, shared);
            }
    kernel = nullptr;
    return CUDA_OK;
}
