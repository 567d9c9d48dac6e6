// cuRAND: uniform and normal numbers from a counter and a mixing function.
#include "emu.h"
#include <cmath>

namespace {
enum { RAND_OK = 0, RAND_NOT_INITIALIZED = 101, RAND_LENGTH = 105 };
struct Generator { uint64_t seed, offset; void *stream; };

uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15ull;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ x >> 27) * 0x94D049BB133111EBull;
    return x ^ x >> 31;
}
uint64_t next(Generator *g) { return mix(mix(g->seed) ^ g->offset++); }
// In (0, 1]: zero is never given, one may be.
double uniform(Generator *g) { return double((next(g) >> 11) + 1) * 0x1p-53; }
float uniform32(Generator *g) { return float((next(g) >> 40) + 1) * 0x1p-24f; }

template <class T> int normal(Generator *g, T *out, size_t n, T mean, T deviation) {
    Guard guard(emu_mutex);
    if (!g) return RAND_NOT_INITIALIZED;
    // The pseudo-random generators make pairs.
    if (n % 2) return RAND_LENGTH;
    emu_check_range(out, n * sizeof(T), "random numbers");
    for (size_t i = 0; i < n; i += 2) {
        const double r = std::sqrt(-2.0 * std::log(uniform(g))), angle = 6.283185307179586477 * uniform(g);
        out[i] = mean + deviation * T(r * std::cos(angle));
        out[i + 1] = mean + deviation * T(r * std::sin(angle));
    }
    return RAND_OK;
}
}  // namespace

API int curandCreateGenerator(Generator **g, int) { *g = new Generator{0, 0, nullptr}; return RAND_OK; }
API int curandDestroyGenerator(Generator *g) { delete g; return RAND_OK; }
API int curandSetPseudoRandomGeneratorSeed(Generator *g, unsigned long long seed) { g->seed = seed; g->offset = 0; return RAND_OK; }
API int curandSetGeneratorOffset(Generator *g, unsigned long long offset) { g->offset = offset; return RAND_OK; }
API int curandSetStream(Generator *g, void *stream) { g->stream = stream; return RAND_OK; }
API int curandGenerate(Generator *g, unsigned *out, size_t n) {
    Guard guard(emu_mutex);
    emu_check_range(out, n * 4, "random numbers");
    for (size_t i = 0; i < n; i++) out[i] = unsigned(next(g) >> 32);
    return RAND_OK;
}
API int curandGenerateUniform(Generator *g, float *out, size_t n) {
    Guard guard(emu_mutex);
    emu_check_range(out, n * sizeof(float), "random numbers");
    for (size_t i = 0; i < n; i++) out[i] = uniform32(g);
    return RAND_OK;
}
API int curandGenerateUniformDouble(Generator *g, double *out, size_t n) {
    Guard guard(emu_mutex);
    emu_check_range(out, n * sizeof(double), "random numbers");
    for (size_t i = 0; i < n; i++) out[i] = uniform(g);
    return RAND_OK;
}
API int curandGenerateNormal(Generator *g, float *out, size_t n, float mean, float dev) { return normal(g, out, n, mean, dev); }
API int curandGenerateNormalDouble(Generator *g, double *out, size_t n, double mean, double dev) { return normal(g, out, n, mean, dev); }
