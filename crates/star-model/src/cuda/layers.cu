// Layers of networks, forward and backward, each in as few passes over memory as it takes. Maps are [B, C, H, W], contiguous; `plane`
// is H * W. `packed` says that values may be read and written PACK at a time, 16 bytes of floats: sizes and addresses allow it.

constexpr int PACK = sizeof(VALUE) == 2 ? 8 : 4;

struct __align__(PACK * sizeof(VALUE)) Pack {
  VALUE values[PACK];
};

template <int pack> struct Values {
  WORK v[pack];
  __device__ __forceinline__ Values() {}
  __device__ __forceinline__ explicit Values(const VALUE *from) {
    if (pack == PACK) {
      Pack p = *(const Pack *)from;
#pragma unroll
      for (int k = 0; k < pack; k++) v[k] = value_of(p.values[k]);
    } else {
      v[0] = value_of(*from);
    }
  }
  __device__ __forceinline__ void save(VALUE *to) const {
    if (pack == PACK) {
      Pack p;
#pragma unroll
      for (int k = 0; k < pack; k++) store(&p.values[k], v[k]);
      *(Pack *)to = p;
    } else {
      store(to, v[0]);
    }
  }
};

// One pack of `count` values a thread.
#define BY_PACKS(body, ...)                                       \
  int at = blockIdx.x * THREADS + threadIdx.x;                    \
  if (packed) {                                                   \
    if (at < count / PACK) body<PACK>(at * PACK, __VA_ARGS__);    \
  } else if (at < count) {                                        \
    body<1>(at, __VA_ARGS__);                                     \
  }

// 0 for values up to 0; what is not a number stays.
__device__ __forceinline__ WORK cut(WORK x) { return x <= 0 ? (WORK)0 : x; }

// ---- ReLU ----

template <int pack> __device__ void relu_body(int i, const VALUE *x, VALUE *y) {
  Values<pack> a(x + i);
#pragma unroll
  for (int k = 0; k < pack; k++) a.v[k] = cut(a.v[k]);
  a.save(y + i);
}

extern "C" __global__ void relu(const VALUE *x, VALUE *y, int count, int packed) { BY_PACKS(relu_body, x, y) }

template <int pack> __device__ void relu_backward_body(int i, const VALUE *y, const VALUE *by, VALUE *dx) {
  Values<pack> a(y + i), g(by + i);
#pragma unroll
  for (int k = 0; k < pack; k++) g.v[k] = a.v[k] <= 0 ? (WORK)0 : g.v[k];
  g.save(dx + i);
}

extern "C" __global__ void relu_backward(const VALUE *y, const VALUE *by, VALUE *dx, int count, int packed) {
  BY_PACKS(relu_backward_body, y, by, dx)
}

// ---- batch norm, with ReLU behind it where `relu` is set ----
// Statistics are [2, C] in f64: means, and inverses of standard deviations. Parameters have the type that values are worked on in.

struct Norm {
  WORK mean, inverse, scale, shift;
};

__device__ __forceinline__ Norm norm_of(const double *statistics, const WORK *weight, const WORK *bias, int channel, int channels) {
  Norm n;
  n.mean = (WORK)statistics[channel];
  n.inverse = (WORK)statistics[channels + channel];
  n.scale = n.inverse * weight[channel];
  n.shift = bias[channel];
  return n;
}

// Written so that every kernel rounds it alike: whether ReLU cuts it is asked again on the way back.
__device__ __forceinline__ WORK normed(const Norm &n, WORK x) { return fma(x - n.mean, n.scale, n.shift); }

// The values of one channel that one of `slices` blocks works on: `first` to `last` of batch * plane.
struct Slice {
  int channel, first, last;
};

__device__ __forceinline__ Slice slice_of(int batch, int plane, int slices) {
  int all = batch * plane, length = (all + slices - 1) / slices;
  length = (length + PACK - 1) / PACK * PACK;
  Slice s;
  s.channel = blockIdx.x / slices;
  s.first = blockIdx.x % slices * length;
  s.last = min(s.first + length, all);
  return s;
}

// Where the value `j` of a channel lies.
__device__ __forceinline__ long long place_of(int j, int channel, int channels, int plane) {
  int image = j / plane;
  return ((long long)image * channels + channel) * plane + (j - image * plane);
}

// Sums of x - x[0] and of its square: about a value of the channel, so that a large mean costs no digits.
template <int pack>
__device__ void norm_sums_body(const Slice &s, const VALUE *x, int channels, int plane, WORK about, double (&sums)[2]) {
  for (int j = s.first + threadIdx.x * pack; j < s.last; j += THREADS * pack) {
    Values<pack> a(x + place_of(j, s.channel, channels, plane));
    WORK sum = 0, squares = 0;
#pragma unroll
    for (int k = 0; k < pack; k++) {
      WORK d = a.v[k] - about;
      sum += d;
      squares = fma(d, d, squares);
    }
    sums[0] += sum;
    sums[1] += squares;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    norm_sums(const VALUE *x, double *partial, int channels, int batch, int plane, int slices, int packed) {
  __shared__ double scratch[2 * WARPS];
  Slice s = slice_of(batch, plane, slices);
  WORK about = value_of(x[place_of(0, s.channel, channels, plane)]);
  double sums[2] = {0, 0};
  if (packed)
    norm_sums_body<PACK>(s, x, channels, plane, about, sums);
  else
    norm_sums_body<1>(s, x, channels, plane, about, sums);
  total(sums, scratch);
  if (threadIdx.x < 2) partial[2 * blockIdx.x + threadIdx.x] = threadIdx.x ? sums[1] : sums[0];
}

// Statistics from the sums of all slices. Where `momentum` is not 0, running ones move towards them; `unbiased` is count / (count - 1).
extern "C" __global__ void norm_statistics(const double *partial, const VALUE *x, double *statistics, WORK *running_mean,
                                           WORK *running_var, int channels, int batch, int plane, int slices, double eps,
                                           double momentum, double unbiased) {
  int c = blockIdx.x * THREADS + threadIdx.x;
  if (c >= channels) return;
  double sum = 0, squares = 0, count = (double)batch * plane;
  for (int s = 0; s < slices; s++) {
    sum += partial[2 * (c * slices + s)];
    squares += partial[2 * (c * slices + s) + 1];
  }
  double offset = sum / count, variance = squares / count - offset * offset;
  // Negative by rounding alone; what is not a number stays.
  variance = variance < 0 ? 0 : variance;
  double mean = offset + (double)value_of(x[place_of(0, c, channels, plane)]);
  statistics[c] = mean;
  statistics[channels + c] = 1 / sqrt(variance + eps);
  if (momentum != 0) {
    running_mean[c] = (WORK)((1 - momentum) * running_mean[c] + momentum * mean);
    running_var[c] = (WORK)((1 - momentum) * running_var[c] + momentum * unbiased * variance);
  }
}

// Statistics from running ones.
extern "C" __global__ void norm_running(const WORK *running_mean, const WORK *running_var, double *statistics, int channels,
                                        double eps) {
  int c = blockIdx.x * THREADS + threadIdx.x;
  if (c >= channels) return;
  statistics[c] = running_mean[c];
  statistics[channels + c] = 1 / sqrt(running_var[c] + eps);
}

template <int pack>
__device__ void norm_body(int i, const VALUE *x, const double *statistics, const WORK *weight, const WORK *bias, VALUE *y, int channels,
                          int plane, int relu) {
  Values<pack> a(x + i);
  Norm n = norm_of(statistics, weight, bias, i / plane % channels, channels);
#pragma unroll
  for (int k = 0; k < pack; k++) {
    WORK v = normed(n, a.v[k]);
    a.v[k] = relu ? cut(v) : v;
  }
  a.save(y + i);
}

extern "C" __global__ void norm_apply(const VALUE *x, const double *statistics, const WORK *weight, const WORK *bias, VALUE *y, int count,
                                int channels, int plane, int relu, int packed) {
  BY_PACKS(norm_body, x, statistics, weight, bias, y, channels, plane, relu)
}

// Sums of the gradient g behind ReLU, and of g times the normalised value.
template <int pack>
__device__ void norm_backward_sums_body(const Slice &s, const VALUE *x, const VALUE *by, const Norm &n, int channels, int plane,
                                        int relu, double (&sums)[2]) {
  for (int j = s.first + threadIdx.x * pack; j < s.last; j += THREADS * pack) {
    long long i = place_of(j, s.channel, channels, plane);
    Values<pack> a(x + i), g(by + i);
    WORK sum = 0, product = 0;
#pragma unroll
    for (int k = 0; k < pack; k++) {
      WORK gradient = relu && normed(n, a.v[k]) <= 0 ? (WORK)0 : g.v[k];
      sum += gradient;
      product = fma(gradient, (a.v[k] - n.mean) * n.inverse, product);
    }
    sums[0] += sum;
    sums[1] += product;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    norm_backward_sums(const VALUE *x, const VALUE *by, const double *statistics, const WORK *weight, const WORK *bias, double *partial,
                       int channels, int batch, int plane, int slices, int relu, int packed) {
  __shared__ double scratch[2 * WARPS];
  Slice s = slice_of(batch, plane, slices);
  Norm n = norm_of(statistics, weight, bias, s.channel, channels);
  double sums[2] = {0, 0};
  if (packed)
    norm_backward_sums_body<PACK>(s, x, by, n, channels, plane, relu, sums);
  else
    norm_backward_sums_body<1>(s, x, by, n, channels, plane, relu, sums);
  total(sums, scratch);
  if (threadIdx.x < 2) partial[2 * blockIdx.x + threadIdx.x] = threadIdx.x ? sums[1] : sums[0];
}

// Gradients of weight and bias, and the means over the batch, [2, C], that the gradient by x takes off: 0 with running statistics.
extern "C" __global__ void norm_parameters(const double *partial, WORK *by_weight, WORK *by_bias, double *means, int channels,
                                           int slices, double count) {
  int c = blockIdx.x * THREADS + threadIdx.x;
  if (c >= channels) return;
  double sum = 0, product = 0;
  for (int s = 0; s < slices; s++) {
    sum += partial[2 * (c * slices + s)];
    product += partial[2 * (c * slices + s) + 1];
  }
  by_bias[c] = (WORK)sum;
  by_weight[c] = (WORK)product;
  means[c] = count > 0 ? sum / count : 0;
  means[channels + c] = count > 0 ? product / count : 0;
}

template <int pack>
__device__ void norm_backward_body(int i, const VALUE *x, const VALUE *by, const double *statistics, const double *means,
                                   const WORK *weight, const WORK *bias, VALUE *dx, int channels, int plane, int relu) {
  Values<pack> a(x + i), g(by + i);
  int channel = i / plane % channels;
  Norm n = norm_of(statistics, weight, bias, channel, channels);
  WORK mean = (WORK)means[channel], product = (WORK)means[channels + channel];
#pragma unroll
  for (int k = 0; k < pack; k++) {
    WORK gradient = relu && normed(n, a.v[k]) <= 0 ? (WORK)0 : g.v[k];
    g.v[k] = n.scale * (gradient - mean - (a.v[k] - n.mean) * n.inverse * product);
  }
  g.save(dx + i);
}

extern "C" __global__ void norm_backward(const VALUE *x, const VALUE *by, const double *statistics, const double *means,
                                         const WORK *weight, const WORK *bias, VALUE *dx, int count, int channels, int plane, int relu,
                                         int packed) {
  BY_PACKS(norm_backward_body, x, by, statistics, means, weight, bias, dx, channels, plane, relu)
}

// ---- the bias of a convolution ----

template <int pack> __device__ void bias_body(int i, VALUE *y, const VALUE *bias, int channels, int plane) {
  Values<pack> a(y + i);
  WORK b = value_of(bias[i / plane % channels]);
#pragma unroll
  for (int k = 0; k < pack; k++) a.v[k] += b;
  a.save(y + i);
}

extern "C" __global__ void bias_add(VALUE *y, const VALUE *bias, int count, int channels, int plane, int packed) {
  BY_PACKS(bias_body, y, bias, channels, plane)
}

template <int pack>
__device__ void bias_sums_body(const Slice &s, const VALUE *by, int channels, int plane, double (&sums)[1]) {
  for (int j = s.first + threadIdx.x * pack; j < s.last; j += THREADS * pack) {
    Values<pack> g(by + place_of(j, s.channel, channels, plane));
    WORK sum = 0;
#pragma unroll
    for (int k = 0; k < pack; k++) sum += g.v[k];
    sums[0] += sum;
  }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    bias_sums(const VALUE *by, double *partial, int channels, int batch, int plane, int slices, int packed) {
  __shared__ double scratch[WARPS];
  Slice s = slice_of(batch, plane, slices);
  double sums[1] = {0};
  if (packed)
    bias_sums_body<PACK>(s, by, channels, plane, sums);
  else
    bias_sums_body<1>(s, by, channels, plane, sums);
  total(sums, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sums[0];
}

extern "C" __global__ void bias_gradient(const double *partial, VALUE *out, int channels, int slices) {
  int c = blockIdx.x * THREADS + threadIdx.x;
  if (c >= channels) return;
  double sum = 0;
  for (int s = 0; s < slices; s++) sum += partial[c * slices + s];
  store(out + c, (WORK)sum);
}

// ---- changes of resolution; `width` and `height` are those of the coarser map, `count` its values in all ----

struct Block {
  WORK v[4];
  long long first;
  int finer;
};

// The 2x2 block of the finer map under the value i of the coarser one, row by row.
__device__ __forceinline__ Block block_of(const VALUE *x, int i, int height, int width) {
  int row = i / width, column = i - row * width, map = row / height;
  Block b;
  b.finer = 2 * width;
  b.first = ((long long)map * 2 * height + 2 * (row - map * height)) * b.finer + 2 * column;
  for (int k = 0; k < 4; k++) b.v[k] = value_of(x[b.first + k / 2 * b.finer + k % 2]);
  return b;
}

// The first of the largest.
__device__ __forceinline__ int largest_of(const Block &b) {
  int best = 0;
  WORK value = b.v[0];
#pragma unroll
  for (int k = 1; k < 4; k++)
    if (b.v[k] > value) best = k, value = b.v[k];
  return best;
}

extern "C" __global__ void max_pool(const VALUE *x, VALUE *y, int count, int height, int width) {
  int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  Block b = block_of(x, i, height, width);
  WORK best = b.v[0];
#pragma unroll
  for (int k = 1; k < 4; k++) best = b.v[k] > best ? b.v[k] : best;
  store(y + i, best);
}

extern "C" __global__ void max_pool_backward(const VALUE *x, const VALUE *by, VALUE *dx, int count, int height, int width) {
  int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  Block b = block_of(x, i, height, width);
  int best = largest_of(b);
#pragma unroll
  for (int k = 0; k < 4; k++) store(dx + b.first + k / 2 * b.finer + k % 2, k == best ? value_of(by[i]) : (WORK)0);
}

extern "C" __global__ void upsample_add(const VALUE *base, const VALUE *low, VALUE *y, int count, int height, int width) {
  int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  Block b = block_of(base, i, height, width);
#pragma unroll
  for (int k = 0; k < 4; k++) store(y + b.first + k / 2 * b.finer + k % 2, b.v[k] + value_of(low[i]));
}

extern "C" __global__ void upsample_backward(const VALUE *by, VALUE *by_low, int count, int height, int width) {
  int i = blockIdx.x * THREADS + threadIdx.x;
  if (i >= count) return;
  Block b = block_of(by, i, height, width);
  store(by_low + i, (b.v[0] + b.v[1]) + (b.v[2] + b.v[3]));
}
