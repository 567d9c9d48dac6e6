// NCCL for a world of one: collectives copy.
#include "emu.h"
#include <cstdio>
#include <cstring>

namespace {
enum { NCCL_OK = 0, NCCL_INVALID_ARGUMENT = 4, NCCL_INVALID_USAGE = 5 };
struct Id { char bytes[128]; };
struct Comm { bool aborted; };

size_t size_of(int type) {
    static const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
    return type >= 0 && type < 12 ? sizes[type] : 0;
}
int copy(const void *from, void *to, size_t n, int type, Comm *comm, const void *stream) {
    Guard guard(emu_mutex);
    if (!comm || comm->aborted || !size_of(type) || !emu_stream_ok(stream)) return NCCL_INVALID_ARGUMENT;
    emu_check_range(from, n * size_of(type), "the source of a collective");
    emu_check_range(to, n * size_of(type), "the target of a collective");
    if (n) memmove(to, from, n * size_of(type));
    return NCCL_OK;
}
}  // namespace

API int ncclGetVersion(int *v) { *v = 23000; return NCCL_OK; }
API int ncclGetUniqueId(Id *id) {
    Guard guard(emu_mutex);
    static unsigned serial = 0;
    memset(id, 0, sizeof *id);
    snprintf(id->bytes, sizeof id->bytes, "cuda-emu-%u", serial++);
    return NCCL_OK;
}
API int ncclCommInitRank(Comm **comm, int ranks, Id, int rank) {
    if (ranks != 1 || rank != 0) {
        fprintf(stderr, "cuda emulator: NCCL works with one rank only, not %d\n", ranks);
        return NCCL_INVALID_USAGE;
    }
    *comm = new Comm{false};
    return NCCL_OK;
}
API int ncclCommInitRankConfig(Comm **comm, int ranks, Id id, int rank, void *) { return ncclCommInitRank(comm, ranks, id, rank); }
API int ncclCommInitAll(Comm **comms, int n, const int *) { return ncclCommInitRank(comms, n, Id{}, 0); }
API int ncclCommSplit(Comm *, int color, int, Comm **comm, void *) { *comm = color < 0 ? nullptr : new Comm{false}; return NCCL_OK; }
API int ncclCommFinalize(Comm *) { return NCCL_OK; }
API int ncclCommDestroy(Comm *comm) { delete comm; return NCCL_OK; }
API int ncclCommAbort(Comm *comm) { delete comm; return NCCL_OK; }
API int ncclCommCount(Comm *, int *n) { *n = 1; return NCCL_OK; }
API int ncclCommCuDevice(Comm *, int *dev) { *dev = 0; return NCCL_OK; }
API int ncclCommUserRank(Comm *, int *rank) { *rank = 0; return NCCL_OK; }
API int ncclCommGetAsyncError(Comm *, int *error) { *error = NCCL_OK; return NCCL_OK; }
API int ncclGroupStart() { return NCCL_OK; }
API int ncclGroupEnd() { return NCCL_OK; }
API int ncclAllReduce(const void *s, void *d, size_t n, int type, int, Comm *c, void *q) { return copy(s, d, n, type, c, q); }
API int ncclReduce(const void *s, void *d, size_t n, int type, int, int root, Comm *c, void *q) { return root ? NCCL_INVALID_ARGUMENT : copy(s, d, n, type, c, q); }
API int ncclBroadcast(const void *s, void *d, size_t n, int type, int root, Comm *c, void *q) { return root ? NCCL_INVALID_ARGUMENT : copy(s, d, n, type, c, q); }
API int ncclAllGather(const void *s, void *d, size_t n, int type, Comm *c, void *q) { return copy(s, d, n, type, c, q); }
API int ncclReduceScatter(const void *s, void *d, size_t n, int type, int, Comm *c, void *q) { return copy(s, d, n, type, c, q); }
API int ncclSend(const void *, size_t, int, int, Comm *, void *) { return NCCL_INVALID_USAGE; }
API int ncclRecv(void *, size_t, int, int, Comm *, void *) { return NCCL_INVALID_USAGE; }
API const char *ncclGetErrorString(int code) { return code == NCCL_OK ? "no error" : code == NCCL_INVALID_USAGE ? "invalid usage" : "invalid argument"; }
API const char *ncclGetLastError(Comm *) { return ""; }
