// Versions for build scripts.
#define CUDNN_MAJOR 9
#define CUDNN_MINOR 21
