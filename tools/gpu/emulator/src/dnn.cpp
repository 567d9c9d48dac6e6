// cuDNN: descriptors and 2-D convolutions, by im2col and matrix products.
#include "emu.h"
#include <algorithm>
#include <cstring>
#include <vector>

namespace {
enum { DNN_OK = 0, DNN_NOT_INITIALIZED = 1001, DNN_BAD_PARAM = 2000, DNN_NULL = 2002, DNN_SIZE = 2006, DNN_SHAPE = 2008, DNN_NOT_SUPPORTED = 3000 };
constexpr size_t WORKSPACE = 256;

struct Handle { void *stream; };
// Dimensions are N, C, H, W (for a filter K, C, R, S) whatever the layout.
struct Tensor { bool set = false; Type type = OTHER; int dim[4] = {}; long stride[4] = {}; };
struct Conv { bool set = false; int pad[2], stride[2], dilation[2], mode, groups = 1, math = 0; Type type = OTHER; };

Type type_of(int t) { return t == 0 ? F32 : t == 1 ? F64 : t == 2 ? F16 : t == 9 ? BF16 : OTHER; }

void dense(Tensor *t, bool nhwc) {
    const int *d = t->dim;
    if (nhwc) {
        t->stride[1] = 1, t->stride[3] = d[1], t->stride[2] = long(d[3]) * d[1], t->stride[0] = long(d[2]) * d[3] * d[1];
    } else {
        t->stride[3] = 1, t->stride[2] = d[3], t->stride[1] = long(d[2]) * d[3], t->stride[0] = long(d[1]) * d[2] * d[3];
    }
}
int describe(Tensor *t, int format, int type, int n, int c, int h, int w) {
    if (!t) return DNN_NULL;
    if (n <= 0 || c <= 0 || h <= 0 || w <= 0 || format < 0 || format > 1) return DNN_BAD_PARAM;
    if (type_of(type) == OTHER) return DNN_NOT_SUPPORTED;
    *t = Tensor{true, type_of(type), {n, c, h, w}, {}};
    dense(t, format == 1);
    return DNN_OK;
}
size_t extent(const Tensor &t) {
    size_t last = 0;
    for (int i = 0; i < 4; i++) last += size_t(t.dim[i] - 1) * size_t(t.stride[i]);
    return (last + 1) * emu_size(t.type);
}

// One convolution: y = x * w, and the sizes that follow.
struct Problem {
    const Tensor *x, *w, *y;
    const Conv *conv;
    int groups, cg, kg;  // groups; channels and filters of each
    int R, S, P, Q;
};

int check(const Tensor *x, const Tensor *w, const Tensor *y, const Conv *conv, Problem *out) {
    if (!x || !w || !y || !conv) return DNN_NULL;
    if (!x->set || !w->set || !y->set || !conv->set) return DNN_BAD_PARAM;
    if (x->type != w->type || x->type != y->type) return DNN_BAD_PARAM;
    if ((x->type == F64) != (conv->type == F64)) return DNN_NOT_SUPPORTED;
    if (conv->type == F16 && x->type != F16) return DNN_NOT_SUPPORTED;
    if (conv->type == BF16) return DNN_NOT_SUPPORTED;
    const int g = conv->groups;
    if (g < 1 || x->dim[1] != w->dim[1] * g || w->dim[0] % g || y->dim[1] != w->dim[0] || y->dim[0] != x->dim[0]) return DNN_BAD_PARAM;
    for (int i = 0; i < 2; i++) {
        const int span = (w->dim[2 + i] - 1) * conv->dilation[i] + 1, room = x->dim[2 + i] + 2 * conv->pad[i] - span;
        if (room < 0 || y->dim[2 + i] != room / conv->stride[i] + 1) return DNN_BAD_PARAM;
    }
    *out = Problem{x, w, y, conv, g, w->dim[1], w->dim[0] / g, w->dim[2], w->dim[3], y->dim[2], y->dim[3]};
    return DNN_OK;
}

template <class T> std::vector<T> load(const Tensor &t, const void *p) {
    emu_check_range(p, extent(t), "a tensor of a convolution");
    std::vector<T> out(size_t(t.dim[0]) * size_t(t.dim[1]) * size_t(t.dim[2]) * size_t(t.dim[3]));
    size_t at = 0;
    for (int n = 0; n < t.dim[0]; n++)
        for (int c = 0; c < t.dim[1]; c++)
            for (int h = 0; h < t.dim[2]; h++)
                for (int w = 0; w < t.dim[3]; w++)
                    out[at++] = T(emu_load(t.type, p, size_t(n * t.stride[0] + c * t.stride[1] + h * t.stride[2] + w * t.stride[3])));
    return out;
}
template <class T> void store(const Tensor &t, void *p, const std::vector<T> &values, T alpha, T beta) {
    emu_check_range(p, extent(t), "the result of a convolution");
    size_t at = 0;
    for (int n = 0; n < t.dim[0]; n++)
        for (int c = 0; c < t.dim[1]; c++)
            for (int h = 0; h < t.dim[2]; h++)
                for (int w = 0; w < t.dim[3]; w++) {
                    const auto i = size_t(n * t.stride[0] + c * t.stride[1] + h * t.stride[2] + w * t.stride[3]);
                    T v = alpha * values[at++];
                    // With beta 0 the old value is not read: it may be NaN.
                    if (beta != T(0)) v += beta * T(emu_load(t.type, p, i));
                    emu_store(t.type, p, i, double(v));
                }
}

// Calls f(index in the columns, index in the image or -1) for one image and group.
template <class F> void columns(const Problem &d, F f) {
    const int H = d.x->dim[2], W = d.x->dim[3];
    size_t at = 0;
    for (int c = 0; c < d.cg; c++)
        for (int r = 0; r < d.R; r++)
            for (int s = 0; s < d.S; s++) {
                // Mode 0 is a true convolution: the filter is turned.
                const int fr = d.conv->mode == 0 ? d.R - 1 - r : r, fs = d.conv->mode == 0 ? d.S - 1 - s : s;
                for (int p = 0; p < d.P; p++) {
                    const int h = p * d.conv->stride[0] - d.conv->pad[0] + fr * d.conv->dilation[0];
                    for (int q = 0; q < d.Q; q++) {
                        const int w = q * d.conv->stride[1] - d.conv->pad[1] + fs * d.conv->dilation[1];
                        const bool in = h >= 0 && h < H && w >= 0 && w < W;
                        f(at++, in ? (long(c) * H + h) * W + w : -1);
                    }
                }
            }
}

enum What { FORWARD, DATA, FILTER };

template <class T> void convolve(const Problem &d, What what, const void *px, const void *pw, const void *py, void *out, T alpha, T beta) {
    std::vector<T> x, w, y;
    const auto C = size_t(d.cg), K = size_t(d.kg), G = size_t(d.groups), N = size_t(d.x->dim[0]);
    const size_t image = size_t(d.x->dim[2]) * size_t(d.x->dim[3]), PQ = size_t(d.P) * size_t(d.Q), CRS = C * size_t(d.R) * size_t(d.S);
    if (what == DATA) x.assign(N * G * C * image, T(0)); else x = load<T>(*d.x, px);
    if (what == FILTER) w.assign(G * K * CRS, T(0)); else w = load<T>(*d.w, pw);
    if (what == FORWARD) y.assign(N * G * K * PQ, T(0)); else y = load<T>(*d.y, py);
    std::vector<T> col(CRS * PQ);
    for (size_t n = 0; n < N; n++)
        for (size_t g = 0; g < G; g++) {
            T *xs = &x[(n * G + g) * C * image], *ws = &w[g * K * CRS], *ys = &y[(n * G + g) * K * PQ];
            if (what != DATA) columns(d, [&](size_t i, long j) { col[i] = j < 0 ? T(0) : xs[j]; });
            if (what == FORWARD) {
                emu_gemm<T>(false, false, PQ, K, CRS, col.data(), PQ, ws, CRS, ys, PQ);
            } else if (what == FILTER) {
                emu_gemm<T>(true, false, CRS, K, PQ, col.data(), PQ, ys, PQ, ws, CRS);
            } else {
                std::fill(col.begin(), col.end(), T(0));
                emu_gemm<T>(false, true, PQ, CRS, K, ys, PQ, ws, CRS, col.data(), PQ);
                columns(d, [&](size_t i, long j) { if (j >= 0) xs[j] += col[i]; });
            }
        }
    if (what == FORWARD) store<T>(*d.y, out, y, alpha, beta);
    else if (what == DATA) store<T>(*d.x, out, x, alpha, beta);
    else store<T>(*d.w, out, w, alpha, beta);
}

int run(void *h, What what, const void *alpha, const Tensor *x, const void *px, const Tensor *w, const void *pw, const Tensor *y,
        const void *py, const Conv *conv, void *workspace, size_t bytes, const void *beta, void *out) {
    Guard guard(emu_mutex);
    if (!h) return DNN_NOT_INITIALIZED;
    if (!emu_stream_ok(static_cast<Handle *>(h)->stream)) return DNN_BAD_PARAM;
    Problem d;
    if (int status = check(x, w, y, conv, &d)) return status;
    if (!alpha || !beta || !out) return DNN_NULL;
    if (!workspace || bytes < WORKSPACE) return DNN_BAD_PARAM;
    // A workspace is written: it must be memory that nothing else uses.
    emu_check_range(workspace, bytes, "a workspace of cuDNN");
    memset(workspace, 0xFF, WORKSPACE);
    // The scalars are double for double tensors, else float.
    if (x->type == F64) convolve<double>(d, what, px, pw, py, out, *static_cast<const double *>(alpha), *static_cast<const double *>(beta));
    else convolve<float>(d, what, px, pw, py, out, *static_cast<const float *>(alpha), *static_cast<const float *>(beta));
    return DNN_OK;
}

struct Perf { int algo, status; float time; size_t memory; int determinism, math, reserved[3]; };
int pick(const Tensor *x, const Tensor *w, const Tensor *y, const Conv *conv, int asked, int *given, Perf *perf) {
    Problem d;
    if (int status = check(x, w, y, conv, &d)) return status;
    if (asked < 1 || !given || !perf) return DNN_BAD_PARAM;
    // Algorithm 1 exists for all three, and is deterministic.
    perf[0] = Perf{1, DNN_OK, 1.0f, WORKSPACE, 1, conv->math, {0, 0, 0}};
    *given = 1;
    return DNN_OK;
}
int size(const Tensor *x, const Tensor *w, const Tensor *y, const Conv *conv, int algo, int algos, size_t *bytes) {
    Problem d;
    if (int status = check(x, w, y, conv, &d)) return status;
    if (algo < 0 || algo >= algos) return DNN_BAD_PARAM;
    *bytes = WORKSPACE;
    return DNN_OK;
}
template <class D> int create(D **p) {
    if (!p) return DNN_NULL;
    *p = new D;
    return DNN_OK;
}
template <class D> int destroy(D *p) {
    delete p;
    return DNN_OK;
}
}  // namespace

API size_t cudnnGetVersion() { return 92100; }
API size_t cudnnGetCudartVersion() { return 13000; }
API const char *cudnnGetErrorString(int code) { return code ? "CUDNN_STATUS (stand-in): not successful" : "CUDNN_STATUS_SUCCESS"; }
#define VERSION_CHECK(NAME) API int cudnn##NAME##VersionCheck() { return DNN_OK; }
VERSION_CHECK(Ops) VERSION_CHECK(OpsInfer) VERSION_CHECK(OpsTrain)
VERSION_CHECK(Cnn) VERSION_CHECK(CnnInfer) VERSION_CHECK(CnnTrain)
VERSION_CHECK(Adv) VERSION_CHECK(AdvInfer) VERSION_CHECK(AdvTrain)

API int cudnnCreate(Handle **h) {
    if (!emu_current_context()) return DNN_NOT_INITIALIZED;
    *h = new Handle{nullptr};
    return DNN_OK;
}
API int cudnnDestroy(Handle *h) { return destroy(h); }
API int cudnnSetStream(Handle *h, void *stream) { h->stream = stream; return emu_stream_ok(stream) ? DNN_OK : DNN_BAD_PARAM; }
API int cudnnGetStream(Handle *h, void **stream) { *stream = h->stream; return DNN_OK; }

API int cudnnCreateTensorDescriptor(Tensor **t) { return create(t); }
API int cudnnDestroyTensorDescriptor(Tensor *t) { return destroy(t); }
API int cudnnSetTensor4dDescriptor(Tensor *t, int format, int type, int n, int c, int h, int w) { return describe(t, format, type, n, c, h, w); }
API int cudnnSetTensor4dDescriptorEx(Tensor *t, int type, int n, int c, int h, int w, int ns, int cs, int hs, int ws) {
    if (int status = describe(t, 0, type, n, c, h, w)) return status;
    if (ns < 0 || cs < 0 || hs < 0 || ws < 0) return DNN_BAD_PARAM;
    t->stride[0] = ns, t->stride[1] = cs, t->stride[2] = hs, t->stride[3] = ws;
    return DNN_OK;
}
API int cudnnSetTensorNdDescriptor(Tensor *t, int type, int count, const int *dim, const int *stride) {
    if (count != 4) return DNN_NOT_SUPPORTED;
    return cudnnSetTensor4dDescriptorEx(t, type, dim[0], dim[1], dim[2], dim[3], stride[0], stride[1], stride[2], stride[3]);
}
API int cudnnCreateFilterDescriptor(Tensor **t) { return create(t); }
API int cudnnDestroyFilterDescriptor(Tensor *t) { return destroy(t); }
API int cudnnSetFilter4dDescriptor(Tensor *t, int type, int format, int k, int c, int h, int w) { return describe(t, format, type, k, c, h, w); }
API int cudnnSetFilterNdDescriptor(Tensor *t, int type, int format, int count, const int *dim) {
    return count == 4 ? describe(t, format, type, dim[0], dim[1], dim[2], dim[3]) : int(DNN_NOT_SUPPORTED);
}
API int cudnnCreateConvolutionDescriptor(Conv **c) { return create(c); }
API int cudnnDestroyConvolutionDescriptor(Conv *c) { return destroy(c); }
API int cudnnSetConvolution2dDescriptor(Conv *c, int ph, int pw, int sh, int sw, int dh, int dw, int mode, int type) {
    if (!c) return DNN_NULL;
    if (ph < 0 || pw < 0 || sh <= 0 || sw <= 0 || dh <= 0 || dw <= 0 || mode < 0 || mode > 1) return DNN_BAD_PARAM;
    if (type_of(type) == OTHER) return DNN_NOT_SUPPORTED;
    *c = Conv{true, {ph, pw}, {sh, sw}, {dh, dw}, mode, 1, 0, type_of(type)};
    return DNN_OK;
}
API int cudnnSetConvolutionNdDescriptor(Conv *c, int n, const int *pad, const int *stride, const int *dilation, int mode, int type) {
    if (n != 2) return DNN_NOT_SUPPORTED;
    return cudnnSetConvolution2dDescriptor(c, pad[0], pad[1], stride[0], stride[1], dilation[0], dilation[1], mode, type);
}
API int cudnnSetConvolutionMathType(Conv *c, int math) { c->math = math; return math >= 0 && math <= 3 ? DNN_OK : DNN_BAD_PARAM; }
API int cudnnSetConvolutionGroupCount(Conv *c, int groups) { c->groups = groups; return groups > 0 ? DNN_OK : DNN_BAD_PARAM; }
API int cudnnGetConvolution2dForwardOutputDim(Conv *c, Tensor *x, Tensor *w, int *n, int *k, int *p, int *q) {
    *n = x->dim[0], *k = w->dim[0];
    *p = (x->dim[2] + 2 * c->pad[0] - (w->dim[2] - 1) * c->dilation[0] - 1) / c->stride[0] + 1;
    *q = (x->dim[3] + 2 * c->pad[1] - (w->dim[3] - 1) * c->dilation[1] - 1) / c->stride[1] + 1;
    return DNN_OK;
}

API int cudnnGetConvolutionForwardAlgorithm_v7(void *, Tensor *x, Tensor *w, Conv *c, Tensor *y, int asked, int *given, Perf *perf) {
    return pick(x, w, y, c, asked, given, perf);
}
API int cudnnGetConvolutionBackwardDataAlgorithm_v7(void *, Tensor *w, Tensor *dy, Conv *c, Tensor *dx, int asked, int *given, Perf *perf) {
    return pick(dx, w, dy, c, asked, given, perf);
}
API int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void *, Tensor *x, Tensor *dy, Conv *c, Tensor *dw, int asked, int *given, Perf *perf) {
    return pick(x, dw, dy, c, asked, given, perf);
}
API int cudnnGetConvolutionForwardWorkspaceSize(void *, Tensor *x, Tensor *w, Conv *c, Tensor *y, int algo, size_t *bytes) {
    return size(x, w, y, c, algo, 8, bytes);
}
API int cudnnGetConvolutionBackwardDataWorkspaceSize(void *, Tensor *w, Tensor *dy, Conv *c, Tensor *dx, int algo, size_t *bytes) {
    return size(dx, w, dy, c, algo, 6, bytes);
}
API int cudnnGetConvolutionBackwardFilterWorkspaceSize(void *, Tensor *x, Tensor *dy, Conv *c, Tensor *dw, int algo, size_t *bytes) {
    return size(x, dw, dy, c, algo, 7, bytes);
}
API int cudnnConvolutionForward(void *h, const void *alpha, Tensor *x, const void *px, Tensor *w, const void *pw, Conv *c, int,
                                void *space, size_t bytes, const void *beta, Tensor *y, void *py) {
    return run(h, FORWARD, alpha, x, px, w, pw, y, nullptr, c, space, bytes, beta, py);
}
API int cudnnConvolutionBackwardData(void *h, const void *alpha, Tensor *w, const void *pw, Tensor *dy, const void *pdy, Conv *c,
                                     int, void *space, size_t bytes, const void *beta, Tensor *dx, void *pdx) {
    return run(h, DATA, alpha, dx, nullptr, w, pw, dy, pdy, c, space, bytes, beta, pdx);
}
API int cudnnConvolutionBackwardFilter(void *h, const void *alpha, Tensor *x, const void *px, Tensor *dy, const void *pdy, Conv *c,
                                       int, void *space, size_t bytes, const void *beta, Tensor *dw, void *pdw) {
    return run(h, FILTER, alpha, x, px, dw, nullptr, dy, pdy, c, space, bytes, beta, pdw);
}
