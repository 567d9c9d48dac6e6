// The STAR loss on a CUDA card: what fused/map.rs and fused/keypoint.rs compute, a map a block or a keypoint a thread.
// Compiled by NVRTC when it is first used, so without any header. Sums and everything of a keypoint are in f64, as on the CPU.

#define THREADS 256
#define WARPS (THREADS / 32)
// Loads of a thread that are under way at once.
#define AHEAD 8

typedef unsigned short half_bits;
typedef unsigned int word;

// Of f16 and bf16 the bits alone are known here.
struct f16 { half_bits bits; };
struct bf16 { half_bits bits; };

__device__ __forceinline__ float value_of(float x) { return x; }
__device__ __forceinline__ double value_of(double x) { return x; }
__device__ __forceinline__ float value_of(bf16 x) { return __uint_as_float((word)x.bits << 16); }
__device__ __forceinline__ float value_of(f16 x) {
  word sign = (word)(x.bits & 0x8000) << 16, rest = x.bits & 0x7fff;
  // The exponent in place, its bias corrected by a product, which is exact and takes subnormal numbers along.
  float magnitude = rest < 0x7c00 ? __uint_as_float(rest << 13) * 5.192296858534828e33f
                                  : __uint_as_float(0x7f800000 | (rest & 0x3ff) << 13);
  return __uint_as_float(__float_as_uint(magnitude) | sign);
}

__device__ __forceinline__ void store(float *to, float x) { *to = x; }
__device__ __forceinline__ void store(double *to, double x) { *to = x; }
__device__ __forceinline__ void store(bf16 *to, float x) {
  word bits = __float_as_uint(fminf(fmaxf(x, -3.38e38f), 3.38e38f));
  to->bits = x != x ? 0x7fc0 : (half_bits)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
__device__ __forceinline__ void store(f16 *to, float x) {
  word sign = __float_as_uint(x) >> 16 & 0x8000;
  float magnitude = fminf(fabsf(x), 65504.f);
  word bits = __float_as_uint(magnitude), rounded;
  if (magnitude < 6.103515625e-5f) {
    // Subnormal: a unit is 2^-24. The sum with 0.5 puts the units into the last bits, rounded to even.
    rounded = __float_as_uint(magnitude + 0.5f) - 0x3f000000;
  } else {
    rounded = (bits - 0x38000000 + 0xfff + (bits >> 13 & 1)) >> 13;
  }
  to->bits = x != x ? 0x7e00 : (half_bits)(sign | rounded);
}

// The type a map is worked on in, its largest value and the mass that counts as none.
template <typename T> struct Work { typedef float type; };
template <> struct Work<double> { typedef double type; };
__device__ __forceinline__ double largest(float) { return 3.4028234663852886e38; }
__device__ __forceinline__ double largest(double) { return 1.7976931348623157e308; }
__device__ __forceinline__ float tiny(float) { return 1e-30f; }
__device__ __forceinline__ double tiny(double) { return 1e-290; }

// Of all maps of a batch; GridAxis and Activation of the crate.
struct Geometry {
  int height, width, relu, reserved;
  double centre_x, step_x, centre_y, step_y;
};

// StarLossConfig. form: 0 per axis, 1 whitened. distance: 0 L1, 1 L2, 2 smooth-L1 (scale p), 3 Wing (omega p, epsilon q).
// restriction: 0 value, 1 detach, 2 none.
struct Settings {
  int form, distance, restriction, reserved;
  double p, q, weight, eps;
};

#define MASS_FLOOR 1e-6
#define MASS_EPS 1e-5
#define DIVISOR_FLOOR (0.5 * MASS_EPS)
#define SQUARED_FLOOR 1e-6
#define ISOTROPIC 1e-6
#define ROUNDING 1e-6

enum { MASS, X, Y, XX, XY, YY, SQUARES, SUMS };

// MapMoments: mean x, y and covariance xx, xy, yy; and what their derivative needs.
struct Moments {
  double mean[2], covariance[3];
  double inverse_mass, mass, squares, offset[2], divisor;
};
#define MOMENTS 5
#define SAVED 6

__device__ __forceinline__ bool is_finite(double x) { return fabs(x) <= 1.7976931348623157e308; }

// ---- sums over one map by the threads of a block ----

// Every thread gets the total of all threads. `scratch` holds WARPS * count values.
template <int count> __device__ void total(double (&sums)[count], double *scratch) {
#pragma unroll
  for (int k = 0; k < count; k++)
    for (int offset = 16; offset > 0; offset /= 2) sums[k] += __shfl_down_sync(0xffffffff, sums[k], offset);
  int warp = threadIdx.x / 32;
  __syncthreads();
  if (threadIdx.x % 32 == 0)
    for (int k = 0; k < count; k++) scratch[warp * count + k] = sums[k];
  __syncthreads();
#pragma unroll
  for (int k = 0; k < count; k++) {
    sums[k] = 0;
    for (int w = 0; w < WARPS; w++) sums[k] += scratch[w * count + k];
  }
}

__device__ __forceinline__ void add_pixel(double (&s)[SUMS], double h, double u, double v) {
  double hu = h * u, hv = h * v;
  s[MASS] += h;
  s[X] += hu;
  s[Y] += hv;
  s[XX] = fma(hu, u, s[XX]);
  s[XY] = fma(hu, v, s[XY]);
  s[YY] = fma(hv, v, s[YY]);
  s[SQUARES] = fma(h, h, s[SQUARES]);
}

__device__ __forceinline__ double positive(double h, int relu) { return relu && h < 0 ? 0 : h; }

// Calls `each(pixel, value)` for every pixel of this thread.
template <typename T, typename Each> __device__ __forceinline__ void for_pixels(const T *map, int area, Each each) {
  for (int first = threadIdx.x; first < area; first += AHEAD * THREADS) {
    typename Work<T>::type values[AHEAD];
#pragma unroll
    for (int j = 0; j < AHEAD; j++) values[j] = first + j * THREADS < area ? value_of(map[first + j * THREADS]) : 0;
#pragma unroll
    for (int j = 0; j < AHEAD; j++)
      if (first + j * THREADS < area) each(first + j * THREADS, values[j]);
  }
}

template <typename T>
__device__ void sums_of(const T *map, const Geometry &g, double over, double (&s)[SUMS], double *scratch) {
  for (int k = 0; k < SUMS; k++) s[k] = 0;
  double middle_x = 0.5 * (g.width - 1), middle_y = 0.5 * (g.height - 1);
  for_pixels(map, g.height * g.width, [&](int i, double h) {
    int y = i / g.width, x = i - y * g.width;
    add_pixel(s, positive(h / over, g.relu), x - middle_x, y - middle_y);
  });
  total(s, scratch);
}

// `peak` is what the map was divided by before it was summed.
__device__ Moments moments_of(const double (&raw)[SUMS], double peak, const Geometry &g) {
  double norm = fmax(raw[MASS], MASS_FLOOR);
  Moments m;
  m.mass = raw[MASS] / norm;
  m.squares = raw[SQUARES] / norm / norm;
  double mx = raw[X] / norm, my = raw[Y] / norm;
  double rest_x = fma(-mx, raw[MASS], raw[X]), rest_y = fma(-my, raw[MASS], raw[Y]);
  double xx = (fma(-mx, raw[X], raw[XX]) - mx * rest_x) / norm;
  double xy = (fma(-mx, raw[Y], raw[XY]) - my * rest_x) / norm;
  double yy = (fma(-my, raw[Y], raw[YY]) - my * rest_y) / norm;
  double v1 = m.mass + MASS_EPS;
  m.divisor = fmax(v1 - (m.squares + MASS_EPS) / v1, DIVISOR_FLOOR);
  m.mean[0] = g.centre_x + g.step_x * mx;
  m.mean[1] = g.centre_y + g.step_y * my;
  m.covariance[0] = fmax(xx * g.step_x * g.step_x / m.divisor, 0.0);
  m.covariance[1] = xy * g.step_x * g.step_y / m.divisor;
  m.covariance[2] = fmax(yy * g.step_y * g.step_y / m.divisor, 0.0);
  m.inverse_mass = 1.0 / norm / peak;
  m.offset[0] = mx;
  m.offset[1] = my;
  return m;
}

__device__ __forceinline__ bool summable(const double (&s)[SUMS]) {
  return is_finite(s[SQUARES]) && is_finite(s[XX]) && is_finite(s[YY]);
}

// Only f64 maps above 1e150 come here: the largest value is brought to 1.
template <typename T>
__device__ Moments moments_of_large(const T *map, const Geometry &g, double (&s)[SUMS], double *scratch) {
  double peak = 1;
  for_pixels(map, g.height * g.width, [&](int, double h) { peak = fmax(peak, h); });
  __syncthreads();
  for (int offset = 16; offset > 0; offset /= 2) peak = fmax(peak, __shfl_down_sync(0xffffffff, peak, offset));
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = peak;
  __syncthreads();
  for (int w = 0; w < WARPS; w++) peak = fmax(peak, scratch[w]);
  sums_of(map, g, peak, s, scratch);
  return moments_of(s, peak, g);
}

// ---- one keypoint ----

// Frame of eigen2/scalar.rs.
struct Frame {
  double mean, radius, direction[2], major[2];
};

__device__ Frame frame_of(const double *covariance) {
  double a = covariance[0], b = covariance[1], c = covariance[2];
  Frame f;
  f.mean = 0.5 * (a + c);
  double d = 0.5 * (a - c);
  f.radius = hypot(d, b);
  bool round = !(f.radius > 0);
  f.direction[0] = round ? 1 : d / f.radius;
  f.direction[1] = round ? 0 : b / f.radius;
  double cosine = f.direction[0], sine = f.direction[1];
  double x = cosine >= 0 ? 1 + cosine : sine, y = cosine >= 0 ? sine : 1 - cosine;
  double norm = hypot(x, y);
  f.major[0] = x / norm;
  f.major[1] = y / norm;
  return f;
}

__device__ double inverse_radius(const Frame &f, double eps) {
  double unit = ISOTROPIC * (fabs(f.mean) + eps), q = f.radius / unit;
  if (q > 1) {
    double i = 1 / q;
    return i / (1 + i * i * i * i) / unit;
  }
  return q * q * q / (1 + q * q * q * q) / unit;
}

// Value and derivative of the distance at one squared norm, and at one number.
__device__ void at_squared(const Settings &s, double r2, double (&d)[2]) {
  double r = sqrt(fmax(r2, SQUARED_FLOOR)), by_root = r2 >= SQUARED_FLOOR ? 0.5 / r : 0;
  bool near = s.distance == 2 ? r2 < s.p * s.p : r < s.p;
  if (s.distance == 0) {
    d[0] = r, d[1] = by_root;
  } else if (s.distance == 1) {
    d[0] = r2, d[1] = 1;
  } else if (s.distance == 2) {
    d[0] = near ? 0.5 / s.p * r2 : r - 0.5 * s.p;
    d[1] = near ? 0.5 / s.p : by_root;
  } else {
    d[0] = near ? s.p * log1p(r / s.q) : r - (s.p - s.p * log1p(s.p / s.q));
    d[1] = near ? s.p / (s.q + r) * by_root : by_root;
  }
}

__device__ void at(const Settings &s, double x, double (&d)[2]) {
  if (s.distance == 0) {
    d[0] = fabs(x), d[1] = x > 0 ? 1 : x < 0 ? -1 : 0;
    return;
  }
  at_squared(s, x * x, d);
  d[1] *= 2 * x;
}

__device__ __forceinline__ double root(double l, double eps) { return sqrt(fmax(l, 0.0) + eps); }

struct Terms { double distance, restriction; };

__device__ Terms terms_of(const Settings &s, const double *e, const double *covariance) {
  Frame f = frame_of(covariance);
  double l1 = f.mean - f.radius, l2 = f.mean + f.radius;
  Terms t;
  t.restriction = s.restriction == 0 ? s.weight * (fabs(l1) + fabs(l2)) : 0;
  if (!is_finite(e[0]) || !is_finite(e[1])) {
    t.distance = __longlong_as_double(0x7ff8000000000000ll);
    return t;
  }
  double x = f.major[0], y = f.major[1], e1 = x * e[1] - y * e[0], e2 = x * e[0] + y * e[1];
  double s1 = root(l1, s.eps), s2 = root(l2, s.eps), d1[2], d2[2];
  if (s.form == 0) {
    at(s, e1, d1), at(s, e2, d2);
    t.distance = d1[0] / s1 + d2[0] / s2;
  } else if (s.distance < 2) {
    at(s, e1 / s1, d1), at(s, e2 / s2, d2);
    t.distance = 0.5 * (d1[0] + d2[0]);
  } else {
    at_squared(s, e1 / s1 * (e1 / s1) + e2 / s2 * (e2 / s2), d1);
    t.distance = d1[0];
  }
  return t;
}

struct Derivative { double residual[2], covariance[3]; };

// Of `by.distance * distance + by.restriction * restriction`.
__device__ Derivative derivative_of(const Settings &s, const double *e, const double *covariance, Terms by) {
  Frame f = frame_of(covariance);
  double l[2] = {f.mean - f.radius, f.mean + f.radius};
  double by_value[2] = {0, 0}, by_rotation = 0;
  Derivative d = {{0, 0}, {0, 0, 0}};
  if (s.restriction == 0)
    for (int i = 0; i < 2; i++) by_value[i] = by.restriction * s.weight * (l[i] < -ROUNDING ? -1 : 1);
  if (by.distance != 0 && is_finite(e[0]) && is_finite(e[1])) {
    double x = f.major[0], y = f.major[1];
    double p[2] = {x * e[1] - y * e[0], x * e[0] + y * e[1]}, r[2] = {root(l[0], s.eps), root(l[1], s.eps)};
    // u_i = dF/de_i / c_i with the factors c of the axes, and dF/dl_i.
    double u[2], values[2], factors[2], difference, at_i[2];
    if (s.form == 0) {
      for (int i = 0; i < 2; i++) {
        at(s, p[i], at_i);
        u[i] = at_i[1], factors[i] = 1 / r[i];
        values[i] = -0.5 * at_i[0] / (r[i] * r[i] * r[i]);
      }
      difference = -1 / (r[0] * r[1] * (r[0] + r[1]));
    } else {
      for (int i = 0; i < 2; i++) factors[i] = 1 / (r[i] * r[i]);
      difference = -1 / (r[0] * r[1] * (r[0] * r[1]));
      if (s.distance < 2) {
        for (int i = 0; i < 2; i++) {
          at(s, p[i] / r[i], at_i);
          u[i] = 0.5 * at_i[1] * r[i];
          values[i] = -0.25 * at_i[1] * p[i] / (r[i] * r[i] * r[i]);
        }
      } else {
        double w[2] = {p[0] / r[0], p[1] / r[1]};
        at_squared(s, w[0] * w[0] + w[1] * w[1], at_i);
        for (int i = 0; i < 2; i++) {
          u[i] = 2 * at_i[1] * p[i];
          values[i] = -at_i[1] * (w[i] / r[i]) * (w[i] / r[i]);
        }
      }
    }
    if (s.restriction != 1)
      for (int i = 0; i < 2; i++) by_value[i] += by.distance * values[i];
    double a = p[0] * u[1], b = p[1] * u[0];
    double singular = 0.25 * (a - b) * (factors[0] + factors[1]) * inverse_radius(f, s.eps);
    by_rotation = by.distance * (0.5 * (a + b) * difference + singular);
    double along[2] = {by.distance * u[0] * factors[0], by.distance * u[1] * factors[1]};
    d.residual[0] = x * along[1] - y * along[0];
    d.residual[1] = y * along[1] + x * along[0];
  }
  double cosine = f.direction[0], sine = f.direction[1];
  double by_mean = by_value[0] + by_value[1], by_radius = by_value[1] - by_value[0];
  double by_difference = cosine * by_radius - sine * by_rotation;
  d.covariance[0] = 0.5 * (by_mean + by_difference);
  d.covariance[1] = sine * by_radius + cosine * by_rotation;
  d.covariance[2] = 0.5 * (by_mean - by_difference);
  return d;
}

// ---- the gradient of one map ----

// Quadratic of fused/sweep: k + kx dx + ky dy + kxx dx^2 + kxy dx dy + kyy dy^2 + kp p.
enum { K, KX, KY, KXX, KXY, KYY, KP, TERMS };
struct Quadratic { double offset[2], scale, k[TERMS]; };

__device__ Quadratic quadratic_of(const Moments &m, const double *by, const Geometry &g, double limit) {
  bool flat = !(m.divisor > DIVISOR_FLOOR);
  double ga = flat ? 0 : by[2], gb = flat ? 0 : by[3], gc = flat ? 0 : by[4];
  double sx = g.step_x, sy = g.step_y, mx = m.offset[0], my = m.offset[1];
  double t = ga * m.covariance[0] + gb * m.covariance[1] + gc * m.covariance[2];
  double v1 = m.mass + MASS_EPS, over = 1 / m.divisor;
  double gxx = ga * sx * sx * over, gxy = gb * sx * sy * over, gyy = gc * sy * sy * over;
  double gx = by[0] * sx, gy = by[1] * sy;
  Quadratic q = {{mx, my}, m.inverse_mass, {0, gx, gy, gxx, gxy, gyy, 2 * t * over / v1}};
  q.k[K] = -t - q.k[KP] * m.squares;
  if (m.inverse_mass >= 1.0 / MASS_FLOOR) {
    double excess = 2 * m.mass - 2, mean_x = gxx * mx + 0.5 * gxy * my, mean_y = 0.5 * gxy * mx + gyy * my;
    q.k[KX] += excess * mean_x;
    q.k[KY] += excess * mean_y;
    double v2 = m.squares + MASS_EPS;
    q.k[K] = gx * mx + gy * my + excess * (mean_x * mx + mean_y * my) - t * over * (1 + v2 / (v1 * v1));
  }
  for (int i = 0; i < TERMS; i++) q.k[i] *= m.inverse_mass;
  // Shrunk as a whole where an entry could leave the range of its type.
  double x = g.width, y = g.height;
  double linear = fmax(fabs(q.k[KX]), fmax(fabs(q.k[KXX]) * x, fabs(q.k[KXY]) * y));
  double most = linear * x + fabs(q.k[K]) + fabs(q.k[KP]) + y * (fabs(q.k[KY]) + y * fabs(q.k[KYY]));
  double bound = 0.125 * limit;
  if (!(most <= bound))
    for (int i = 0; i < TERMS; i++) q.k[i] *= bound / fmin(most, 1.7976931348623157e308);
  return q;
}

// The gradient at the pixel (x, y) of value h.
template <typename W>
__device__ __forceinline__ W gradient_at(const Quadratic &q, W h, int x, int y, const Geometry &g) {
  double dy = y - 0.5 * (g.height - 1) - q.offset[1];
  W dx = (W)(x - 0.5 * (g.width - 1) - q.offset[0]);
  W constant = (W)(q.k[K] + dy * (q.k[KY] + dy * q.k[KYY])), linear = (W)(q.k[KX] + dy * q.k[KXY]);
  W mass = h > tiny(h) || h < -tiny(h) ? h : (W)0;
  W gradient = (W)q.k[KP] * (mass * (W)q.scale) + (dx * (dx * (W)q.k[KXX] + linear) + constant);
  return g.relu && h <= 0 ? (W)0 : gradient;
}

// ---- kernels ----

template <typename T>
__device__ void moments_kernel(const T *maps, double *moments, double *saved, const Geometry &g) {
  __shared__ double scratch[WARPS * SUMS];
  const T *map = maps + (long long)blockIdx.x * g.height * g.width;
  double s[SUMS];
  sums_of(map, g, 1.0, s, scratch);
  Moments m = summable(s) ? moments_of(s, 1.0, g) : moments_of_large(map, g, s, scratch);
  if (threadIdx.x != 0) return;
  double *out = moments + (long long)blockIdx.x * MOMENTS, *rest = saved + (long long)blockIdx.x * SAVED;
  out[0] = m.mean[0], out[1] = m.mean[1];
  for (int i = 0; i < 3; i++) out[2 + i] = m.covariance[i];
  rest[0] = m.inverse_mass, rest[1] = m.mass, rest[2] = m.squares;
  rest[3] = m.offset[0], rest[4] = m.offset[1], rest[5] = m.divisor;
}

template <typename T>
__device__ void gradient_kernel(const T *maps, const double *moments, const double *saved, const double *by, T *out,
                                const Geometry &g) {
  typedef typename Work<T>::type W;
  const double *at = moments + (long long)blockIdx.x * MOMENTS, *rest = saved + (long long)blockIdx.x * SAVED;
  Moments m = {{at[0], at[1]}, {at[2], at[3], at[4]}, rest[0], rest[1], rest[2], {rest[3], rest[4]}, rest[5]};
  Quadratic q = quadratic_of(m, by + (long long)blockIdx.x * MOMENTS, g, largest((W)0));
  int area = g.height * g.width;
  const T *map = maps + (long long)blockIdx.x * area;
  T *to = out + (long long)blockIdx.x * area;
  for_pixels(map, area, [&](int i, W h) {
    int y = i / g.width;
    store(to + i, gradient_at(q, h, i - y * g.width, y, g));
  });
}

// Loss and gradient at once. With `kept`, room for a map in shared memory, the map is read once. `factors` are what multiplies the
// loss of each keypoint.
template <typename T, typename W>
__device__ void fused_kernel(const T *maps, const double *targets, const double *factors, double *losses, T *out,
                             const Geometry &g, const Settings &settings, W *kept) {
  __shared__ double scratch[WARPS * SUMS];
  __shared__ Quadratic shared;
  int area = g.height * g.width;
  const T *map = maps + (long long)blockIdx.x * area;
  T *to = out + (long long)blockIdx.x * area;
  double middle_x = 0.5 * (g.width - 1), middle_y = 0.5 * (g.height - 1), s[SUMS] = {0, 0, 0, 0, 0, 0, 0};
  for_pixels(map, area, [&](int i, W h) {
    int y = i / g.width, x = i - y * g.width;
    add_pixel(s, positive(h, g.relu), x - middle_x, y - middle_y);
    if (kept) kept[i] = h;
  });
  total(s, scratch);
  Moments m = summable(s) ? moments_of(s, 1.0, g) : moments_of_large(map, g, s, scratch);
  if (threadIdx.x == 0) {
    const double *target = targets + 2ll * blockIdx.x;
    double residual[2] = {target[0] - m.mean[0], target[1] - m.mean[1]};
    double by_keypoint = factors[blockIdx.x];
    Terms weights = {by_keypoint, by_keypoint};
    Derivative d = derivative_of(settings, residual, m.covariance, weights);
    double by[MOMENTS] = {-d.residual[0], -d.residual[1], d.covariance[0], d.covariance[1], d.covariance[2]};
    shared = quadratic_of(m, by, g, largest((W)0));
    Terms t = terms_of(settings, residual, m.covariance);
    losses[blockIdx.x] = by_keypoint == 0 ? 0 : by_keypoint * (t.distance + t.restriction);
  }
  __syncthreads();
  Quadratic q = shared;
  auto write = [&](int i, W h) {
    int y = i / g.width;
    store(to + i, gradient_at(q, h, i - y * g.width, y, g));
  };
  if (!kept) return for_pixels(map, area, write);
  // Each thread finds what it kept itself.
  for (int i = threadIdx.x; i < area; i += THREADS) write(i, kept[i]);
}

// The type of the maps is said when this is compiled: -DMAP=f32, f64, f16 or bf16.
typedef float f32;
typedef double f64;

extern "C" __global__ void __launch_bounds__(THREADS) star_moments(const MAP *maps, double *moments, double *saved, Geometry g) {
  moments_kernel(maps, moments, saved, g);
}

extern "C" __global__ void __launch_bounds__(THREADS) star_gradient(const MAP *maps, const double *moments, const double *saved,
                                                                    const double *by, MAP *out, Geometry g) {
  gradient_kernel(maps, moments, saved, by, out, g);
}

// `keep` says whether the launch gave shared memory for a map. Three blocks a multiprocessor: while one thread of one of them works
// on its keypoint, the others move pixels.
extern "C" __global__ void __launch_bounds__(THREADS, 3)
    star_fused(const MAP *maps, const double *targets, const double *factors, double *losses, MAP *out, Geometry g, Settings settings,
               int keep) {
  extern __shared__ double room[];
  typedef Work<MAP>::type W;
  fused_kernel(maps, targets, factors, losses, out, g, settings, keep ? (W *)room : (W *)0);
}

extern "C" __global__ void star_terms(const double *moments, const double *targets, double *out, int count, Settings settings) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const double *m = moments + (long long)i * MOMENTS;
  double residual[2] = {targets[2ll * i] - m[0], targets[2ll * i + 1] - m[1]};
  Terms t = terms_of(settings, residual, m + 2);
  out[2ll * i] = t.distance, out[2ll * i + 1] = t.restriction;
}

extern "C" __global__ void star_terms_backward(const double *moments, const double *targets, const double *by, double *by_moments,
                                               double *by_targets, int count, Settings settings) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const double *m = moments + (long long)i * MOMENTS;
  double residual[2] = {targets[2ll * i] - m[0], targets[2ll * i + 1] - m[1]};
  Terms weights = {by[2ll * i], by[2ll * i + 1]};
  Derivative d = derivative_of(settings, residual, m + 2, weights);
  double *out = by_moments + (long long)i * MOMENTS;
  for (int k = 0; k < 2; k++) by_targets[2ll * i + k] = d.residual[k], out[k] = -d.residual[k];
  for (int k = 0; k < 3; k++) out[2 + k] = d.covariance[k];
}

// The sum of `count` numbers, by one block, in an order that does not change.
extern "C" __global__ void __launch_bounds__(THREADS) star_total(const double *losses, double *out, int count) {
  __shared__ double scratch[WARPS];
  double sum[1] = {0};
  for (int i = threadIdx.x; i < count; i += THREADS) sum[0] += losses[i];
  total(sum, scratch);
  if (threadIdx.x == 0) *out = sum[0];
}
