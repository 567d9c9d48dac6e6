// Many tensors in one launch: a block works on one piece of one of them. Steps of optimisers, the moving average of the weights, and
// the sum of squares of gradients. Each element is worked out as on the CPU: in f64, rounded once.
// The root and the quotient of Adam alone are in the type of the values, since many cards take long over those in f64; they are
// correctly rounded, so that a step differs from the CPU's in its last bits.

#define PIECE 16384

typedef unsigned long long wide;

__device__ __forceinline__ float root_of(float x) { return sqrtf(x); }
__device__ __forceinline__ double root_of(double x) { return sqrt(x); }

// What a block works on. The table has four numbers a tensor: where its values are, where what is kept beside them is, where what is
// read is, and its length. Then follows one number a block: the tensor in its upper half, the piece of it in the lower.
struct Piece {
  VALUE *values, *kept;
  const VALUE *from;
  wide first, end, length;
};
__device__ __forceinline__ Piece piece_of_block(const wide *table, int tensors) {
  wide place = table[4 * (wide)tensors + blockIdx.x];
  const wide *row = table + 4 * (place >> 32);
  wide first = (place & 0xffffffff) * PIECE, length = row[3];
  Piece piece = {(VALUE *)row[0], (VALUE *)row[1], (const VALUE *)row[2], first, 0, length};
  piece.end = length - first < PIECE ? length : first + PIECE;
  return piece;
}

// Kept are the means of gradients and of their squares, one after the other.
extern "C" __global__ void adam(const wide *table, int tensors, double beta1, double beta2, double eps, double keep, double rate,
                                double root, double scale) {
  Piece piece = piece_of_block(table, tensors);
  VALUE *__restrict__ values = piece.values, *__restrict__ first = piece.kept, *__restrict__ second = first + piece.length;
  const VALUE *__restrict__ from = piece.from;
  WORK work_rate = (WORK)rate, work_root = (WORK)root, work_eps = (WORK)eps;
#pragma unroll 4
  for (wide i = piece.first + threadIdx.x; i < piece.end; i += THREADS) {
    double g = value_of(from[i]) * scale;
    WORK m = (WORK)(value_of(first[i]) * beta1 + g * (1.0 - beta1));
    WORK v = (WORK)(value_of(second[i]) * beta2 + g * g * (1.0 - beta2));
    WORK delta = work_rate * m / (root_of(v) / work_root + work_eps);
    store(first + i, m);
    store(second + i, v);
    store(values + i, (WORK)(value_of(values[i]) * keep - delta));
  }
}

// Kept is the direction.
extern "C" __global__ void momentum(const wide *table, int tensors, double share, double decay, double rate, double scale,
                                    int nesterov, int start) {
  Piece piece = piece_of_block(table, tensors);
  VALUE *__restrict__ values = piece.values, *__restrict__ kept = piece.kept;
  const VALUE *__restrict__ from = piece.from;
#pragma unroll 4
  for (wide i = piece.first + threadIdx.x; i < piece.end; i += THREADS) {
    double value = value_of(values[i]);
    double pull = value_of(from[i]) * scale + value * decay;
    WORK direction = (WORK)(start ? pull : value_of(kept[i]) * share + pull);
    double ahead = nesterov ? pull + direction * share : direction;
    store(kept + i, direction);
    store(values + i, (WORK)(value - rate * ahead));
  }
}

extern "C" __global__ void blend(const wide *table, int tensors, double keep) {
  Piece piece = piece_of_block(table, tensors);
  VALUE *__restrict__ values = piece.values;
  const VALUE *__restrict__ from = piece.from;
  double take = 1.0 - keep;
#pragma unroll 4
  for (wide i = piece.first + threadIdx.x; i < piece.end; i += THREADS)
    store(values + i, (WORK)(value_of(values[i]) * keep + value_of(from[i]) * take));
}

// One sum a block.
extern "C" __global__ void squares(const wide *table, int tensors, double *sums) {
  __shared__ double scratch[WARPS];
  Piece piece = piece_of_block(table, tensors);
  const VALUE *__restrict__ from = piece.from;
  double sum[1] = {0};
#pragma unroll 4
  for (wide i = piece.first + threadIdx.x; i < piece.end; i += THREADS) {
    double g = value_of(from[i]);
    sum[0] += g * g;
  }
  total<1>(sum, scratch);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum[0];
}
