// Adaptive Wing on a CUDA card: what fused/awing.rs computes, a map a block. Compiled behind star.cu.

// AwingConfig.
struct Wing {
  double omega, theta, epsilon, alpha, weight, threshold;
};

// The line above theta at one exponent.
template <typename W> struct Line {
  W exponent, derivative, offset;
};

template <typename W> __device__ Line<W> line_of(const Wing &wing, W exponent) {
  W ratio = (W)(wing.theta / wing.epsilon), power = pow(ratio, exponent);
  Line<W> line;
  line.exponent = exponent;
  line.derivative = (W)wing.omega / (1 + power) * exponent * pow(ratio, exponent - 1) / (W)wing.epsilon;
  line.offset = (W)wing.theta * line.derivative - (W)wing.omega * log1p(power);
  return line;
}

// Calls `each(pixel, residual, weight, line)` for every pixel of this thread whose residual is not 0, and `none(pixel)` for the others.
template <typename T, typename W, typename Each, typename None>
__device__ void for_residuals(const T *output, const T *target, int height, int width, const Wing &wing, W, Each each, None none) {
  // Nearly every pixel of a target is 0 and shares its line.
  Line<W> zero = line_of(wing, (W)wing.alpha);
  W threshold = (W)wing.threshold;
  for (int i = threadIdx.x; i < height * width; i += THREADS) {
    W t = value_of(target[i]), residual = value_of(output[i]) - t;
    if (residual == 0) {
      none(i);
      continue;
    }
    int row = i / width, column = i - row * width;
    bool peak = false;
    for (int r = max(row - 1, 0); r <= min(row + 1, height - 1); r++)
      for (int c = max(column - 1, 0); c <= min(column + 1, width - 1); c++)
        peak |= value_of(target[r * width + c]) >= threshold;
    each(i, residual, peak ? (W)(wing.weight + 1) : (W)1, t == 0 ? zero : line_of(wing, (W)wing.alpha - t));
  }
}

extern "C" __global__ void __launch_bounds__(THREADS)
    awing_means(const MAP *outputs, const MAP *targets, double *means, int height, int width, Wing wing) {
  typedef Work<MAP>::type W;
  __shared__ double scratch[WARPS];
  long long first = (long long)blockIdx.x * height * width;
  double sum[1] = {0};
  auto add = [&](int, W residual, W weight, const Line<W> &line) {
    W distance = residual < 0 ? -residual : residual;
    W loss = distance < (W)wing.theta ? (W)wing.omega * log1p(pow(distance / (W)wing.epsilon, line.exponent))
                                      : line.derivative * distance - line.offset;
    sum[0] += (double)(loss * weight);
  };
  for_residuals(outputs + first, targets + first, height, width, wing, (W)0, add, [](int) {});
  total(sum, scratch);
  if (threadIdx.x == 0) means[blockIdx.x] = sum[0] / ((double)height * width);
}

// `by` is the gradient by the means.
extern "C" __global__ void __launch_bounds__(THREADS) awing_gradient(const MAP *outputs, const MAP *targets, const double *by, MAP *out,
                                                                     int height, int width, Wing wing) {
  typedef Work<MAP>::type W;
  long long first = (long long)blockIdx.x * height * width;
  MAP *to = out + first;
  W scale = (W)(by[blockIdx.x] / ((double)height * width));
  auto write = [&](int i, W residual, W weight, const Line<W> &line) {
    W distance = residual < 0 ? -residual : residual, derivative = line.derivative;
    if (distance < (W)wing.theta) {
      W ratio = distance / (W)wing.epsilon, lower = pow(ratio, line.exponent - 1);
      derivative = (W)(wing.omega / wing.epsilon) * lower * line.exponent / (1 + lower * ratio);
    }
    store(to + i, (residual < 0 ? -scale : scale) * weight * derivative);
  };
  for_residuals(outputs + first, targets + first, height, width, wing, (W)0, write, [&](int i) { store(to + i, (W)0); });
}
