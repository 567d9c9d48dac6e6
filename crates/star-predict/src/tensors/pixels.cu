// Batches on a CUDA card: bytes as they were loaded become a network's input, and f32 its type of values.

// RGB bytes [B, plane, 3] as planes [B, 3, plane]: what `normalize_on_host` computes, by the same subtraction and division in f32.
extern "C" __global__ void planes(const unsigned char *bytes, VALUE *out, long long pixels, int plane, int reversed,
                                  float mean0, float mean1, float mean2, float std0, float std1, float std2) {
  long long pixel = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (pixel >= pixels) return;
  long long image = pixel / plane;
  const unsigned char *rgb = bytes + 3 * pixel;
  VALUE *to = out + 3 * image * plane + (pixel - image * plane);
  float first = reversed ? rgb[2] : rgb[0], last = reversed ? rgb[0] : rgb[2], second = rgb[1];
  store(to, (first - mean0) / std0);
  store(to + plane, (second - mean1) / std1);
  store(to + 2 * (long long)plane, (last - mean2) / std2);
}

extern "C" __global__ void values(const float *from, VALUE *out, long long count) {
  long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
  if (i < count) store(out + i, from[i]);
}
