// Versions for build scripts.
#define NCCL_MAJOR 2
#define NCCL_MINOR 30
