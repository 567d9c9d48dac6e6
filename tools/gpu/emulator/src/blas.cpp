// cuBLAS: matrix products, column-major, with plain blocked loops.
#include "emu.h"
#include "emu_float16.h"
#include <cstring>
#include <vector>

double emu_load(Type t, const void *p, size_t i) {
    switch (t) {
        case F64: return static_cast<const double *>(p)[i];
        case F32: return double(static_cast<const float *>(p)[i]);
        case F16: return double(emu_h2f(static_cast<const uint16_t *>(p)[i]));
        default: return double(emu_b2f(static_cast<const uint16_t *>(p)[i]));
    }
}
void emu_store(Type t, void *p, size_t i, double v) {
    switch (t) {
        case F64: static_cast<double *>(p)[i] = v; break;
        case F32: static_cast<float *>(p)[i] = float(v); break;
        case F16: static_cast<uint16_t *>(p)[i] = emu_f2h(emu_odd(v)); break;
        default: static_cast<uint16_t *>(p)[i] = emu_f2b(emu_odd(v)); break;
    }
}

#ifdef __x86_64__
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

// C += A B for one panel of A: R rows of A, all of B. `a` holds for each p the
// R values of column p, `b` for each p its n values.
namespace {
constexpr size_t ROWS = 32, COLS = 4;

CLONES void panel(const float *a, const float *b, size_t n, size_t k, float *out, size_t ld, size_t rows) {
    for (size_t j = 0; j < n; j += COLS) {
        float acc[COLS][ROWS] = {};
        for (size_t p = 0; p < k; p++)
            for (size_t c = 0; c < COLS; c++) {
                const float w = b[(j / COLS * k + p) * COLS + c];
                for (size_t i = 0; i < ROWS; i++) acc[c][i] += a[p * ROWS + i] * w;
            }
        for (size_t c = 0; c < COLS && j + c < n; c++)
            for (size_t i = 0; i < rows; i++) out[(j + c) * ld + i] += acc[c][i];
    }
}
CLONES void panel(const double *a, const double *b, size_t n, size_t k, double *out, size_t ld, size_t rows) {
    for (size_t j = 0; j < n; j += COLS) {
        double acc[COLS][ROWS] = {};
        for (size_t p = 0; p < k; p++)
            for (size_t c = 0; c < COLS; c++) {
                const double w = b[(j / COLS * k + p) * COLS + c];
                for (size_t i = 0; i < ROWS; i++) acc[c][i] += a[p * ROWS + i] * w;
            }
        for (size_t c = 0; c < COLS && j + c < n; c++)
            for (size_t i = 0; i < rows; i++) out[(j + c) * ld + i] += acc[c][i];
    }
}
}  // namespace

template <class T>
void emu_gemm(bool ta, bool tb, size_t m, size_t n, size_t k, const T *a, size_t lda, const T *b, size_t ldb, T *c, size_t ldc) {
    const size_t groups = (n + COLS - 1) / COLS;
    std::vector<T> bp(groups * k * COLS), ap(k * ROWS);
    for (size_t g = 0; g < groups; g++)
        for (size_t p = 0; p < k; p++)
            for (size_t q = 0; q < COLS; q++) {
                const size_t j = g * COLS + q;
                bp[(g * k + p) * COLS + q] = j >= n ? T(0) : tb ? b[p * ldb + j] : b[j * ldb + p];
            }
    for (size_t i = 0; i < m; i += ROWS) {
        const size_t rows = m - i < ROWS ? m - i : ROWS;
        for (size_t p = 0; p < k; p++)
            for (size_t r = 0; r < ROWS; r++) ap[p * ROWS + r] = r >= rows ? T(0) : ta ? a[(i + r) * lda + p] : a[p * lda + i + r];
        panel(ap.data(), bp.data(), n, k, c + i, ldc, rows);
    }
}
template void emu_gemm(bool, bool, size_t, size_t, size_t, const float *, size_t, const float *, size_t, float *, size_t);
template void emu_gemm(bool, bool, size_t, size_t, size_t, const double *, size_t, const double *, size_t, double *, size_t);

namespace {
enum { BLAS_OK = 0, BLAS_NOT_INITIALIZED = 1, BLAS_INVALID = 7, BLAS_NOT_SUPPORTED = 15 };
struct Handle { void *stream; int pointer_mode, math_mode; };

Type type_of(int t) { return t == 2 ? F16 : t == 14 ? BF16 : t == 0 ? F32 : t == 1 ? F64 : OTHER; }

double scalar(Type t, const void *p, bool on_device) {
    if (on_device) emu_check_range(p, emu_size(t), "a scalar of a matrix product");
    return emu_load(t, p, 0);
}

template <class T>
void product(bool ta, bool tb, size_t m, size_t n, size_t k, double alpha, Type at, const void *a, size_t lda, Type bt,
             const void *b, size_t ldb, double beta, Type ct, void *c, size_t ldc) {
    const size_t a_cols = ta ? m : k, a_rows = ta ? k : m, b_cols = tb ? k : n, b_rows = tb ? n : k;
    std::vector<T> af(a_rows * a_cols), bf(b_rows * b_cols), cf(m * n, T(0));
    for (size_t j = 0; j < a_cols; j++)
        for (size_t i = 0; i < a_rows; i++) af[j * a_rows + i] = T(emu_load(at, a, j * lda + i));
    for (size_t j = 0; j < b_cols; j++)
        for (size_t i = 0; i < b_rows; i++) bf[j * b_rows + i] = T(emu_load(bt, b, j * ldb + i));
    if (m && n && k) emu_gemm<T>(ta, tb, m, n, k, af.data(), a_rows, bf.data(), b_rows, cf.data(), m);
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < m; i++) {
            // With beta 0, C is not read: it may be NaN.
            T v = T(alpha) * cf[j * m + i];
            if (beta != 0) v += T(beta) * T(emu_load(ct, c, j * ldc + i));
            emu_store(ct, c, j * ldc + i, double(v));
        }
}

int gemm(void *h, int opa, int opb, int m, int n, int k, const void *alpha, const void *a, Type at, int lda, long long sa,
         const void *b, Type bt, int ldb, long long sb, const void *beta, void *c, Type ct, int ldc, long long sc, int batch,
         Type compute) {
    Guard guard(emu_mutex);
    if (!h) return BLAS_NOT_INITIALIZED;
    if (!emu_stream_ok(static_cast<Handle *>(h)->stream)) return BLAS_INVALID;
    if (at == OTHER || bt == OTHER || ct == OTHER || compute == OTHER) return BLAS_NOT_SUPPORTED;
    if (at != bt || (at == F64) != (compute == F64) || (ct == F64) != (compute == F64) || (ct != at && ct != F32)) return BLAS_NOT_SUPPORTED;
    const bool ta = opa != 0, tb = opb != 0;
    if (m < 0 || n < 0 || k < 0 || batch < 0 || opa < 0 || opa > 2 || opb < 0 || opb > 2) return BLAS_INVALID;
    auto at_least_1 = [](int v) { return v > 1 ? v : 1; };
    if (lda < at_least_1(ta ? k : m) || ldb < at_least_1(tb ? n : k) || ldc < at_least_1(m)) return BLAS_INVALID;
    if (!m || !n || !batch) return BLAS_OK;
    if (batch > 1 && sc < (long long)(ldc) * (n - 1) + m) emu_die("a batched product writes overlapping matrices");
    const bool on_device = static_cast<Handle *>(h)->pointer_mode == 1;
    const double al = scalar(compute, alpha, on_device), be = scalar(compute, beta, on_device);
    auto extent = [](int cols, int ld, int rows) { return cols && rows ? size_t(cols - 1) * size_t(ld) + size_t(rows) : 0; };
    for (int i = 0; i < batch; i++) {
        auto *pa = static_cast<const char *>(a) + i * sa * (long long)(emu_size(at));
        auto *pb = static_cast<const char *>(b) + i * sb * (long long)(emu_size(bt));
        auto *pc = static_cast<char *>(c) + i * sc * (long long)(emu_size(ct));
        emu_check_range(pa, extent(ta ? m : k, lda, ta ? k : m) * emu_size(at), "A of a matrix product");
        emu_check_range(pb, extent(tb ? k : n, ldb, tb ? n : k) * emu_size(bt), "B of a matrix product");
        emu_check_range(pc, extent(n, ldc, m) * emu_size(ct), "C of a matrix product");
        const auto M = size_t(m), N = size_t(n), K = size_t(k);
        if (compute == F64) product<double>(ta, tb, M, N, K, al, at, pa, size_t(lda), bt, pb, size_t(ldb), be, ct, pc, size_t(ldc));
        else product<float>(ta, tb, M, N, K, al, at, pa, size_t(lda), bt, pb, size_t(ldb), be, ct, pc, size_t(ldc));
    }
    return BLAS_OK;
}

// 64 and 65: half; 68 to 78: float; 70, 71 and 79: double.
Type compute_of(int c) {
    if (c == 64 || c == 65) return F16;
    if (c == 70 || c == 71 || c == 79) return F64;
    return c == 68 || c == 69 || c == 74 || c == 75 || c == 77 || c == 78 ? F32 : OTHER;
}
}  // namespace

API int cublasCreate_v2(void **h) {
    if (!emu_current_context()) return BLAS_NOT_INITIALIZED;
    *h = new Handle{nullptr, 0, 0};
    return BLAS_OK;
}
API int cublasDestroy_v2(void *h) { delete static_cast<Handle *>(h); return BLAS_OK; }
API int cublasSetStream_v2(void *h, void *stream) { static_cast<Handle *>(h)->stream = stream; return BLAS_OK; }
API int cublasGetStream_v2(void *h, void **stream) { *stream = static_cast<Handle *>(h)->stream; return BLAS_OK; }
API int cublasSetWorkspace_v2(void *, void *p, size_t bytes) { emu_check_range(p, bytes, "a cuBLAS workspace"); return BLAS_OK; }
API int cublasSetMathMode(void *h, int mode) { static_cast<Handle *>(h)->math_mode = mode; return BLAS_OK; }
API int cublasGetMathMode(void *h, int *mode) { *mode = static_cast<Handle *>(h)->math_mode; return BLAS_OK; }
API int cublasSetPointerMode_v2(void *h, int mode) { static_cast<Handle *>(h)->pointer_mode = mode; return BLAS_OK; }
API int cublasGetPointerMode_v2(void *h, int *mode) { *mode = static_cast<Handle *>(h)->pointer_mode; return BLAS_OK; }
API int cublasSetAtomicsMode(void *, int) { return BLAS_OK; }
API int cublasGetVersion_v2(void *, int *v) { *v = 130000; return BLAS_OK; }

API int cublasGemmEx(void *h, int opa, int opb, int m, int n, int k, const void *alpha, const void *a, int at, int lda,
                     const void *b, int bt, int ldb, const void *beta, void *c, int ct, int ldc, int compute, int) {
    return gemm(h, opa, opb, m, n, k, alpha, a, type_of(at), lda, 0, b, type_of(bt), ldb, 0, beta, c, type_of(ct), ldc, 0, 1, compute_of(compute));
}
API int cublasGemmStridedBatchedEx(void *h, int opa, int opb, int m, int n, int k, const void *alpha, const void *a, int at,
                                   int lda, long long sa, const void *b, int bt, int ldb, long long sb, const void *beta,
                                   void *c, int ct, int ldc, long long sc, int batch, int compute, int) {
    return gemm(h, opa, opb, m, n, k, alpha, a, type_of(at), lda, sa, b, type_of(bt), ldb, sb, beta, c, type_of(ct), ldc, sc, batch, compute_of(compute));
}
#define GEMM(LETTER, T, TYPE) \
    API int cublas##LETTER##gemm_v2(void *h, int opa, int opb, int m, int n, int k, const T *alpha, const T *a, int lda, \
                                    const T *b, int ldb, const T *beta, T *c, int ldc) { \
        return gemm(h, opa, opb, m, n, k, alpha, a, TYPE, lda, 0, b, TYPE, ldb, 0, beta, c, TYPE, ldc, 0, 1, TYPE); \
    } \
    API int cublas##LETTER##gemmStridedBatched(void *h, int opa, int opb, int m, int n, int k, const T *alpha, const T *a, \
                                               int lda, long long sa, const T *b, int ldb, long long sb, const T *beta, \
                                               T *c, int ldc, long long sc, int batch) { \
        return gemm(h, opa, opb, m, n, k, alpha, a, TYPE, lda, sa, b, TYPE, ldb, sb, beta, c, TYPE, ldc, sc, batch, TYPE); \
    }
GEMM(S, float, F32)
GEMM(D, double, F64)
#undef GEMM
