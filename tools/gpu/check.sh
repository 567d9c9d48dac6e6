#!/usr/bin/env bash
# Runs on a machine with an NVIDIA card what build.sh made, beside PyTorch, and prints one table: each check, its figure, its bar.
# Usage: check.sh [--photographs DIR] [--profile] [--stand-in]. Exit code 1 where a check failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ -d tools/gpu/bin ] || python3 -m tarfile -e tools/gpu/bin.tar.xz tools/gpu
# One rank needs no network but asks for an interface.
export NCCL_SOCKET_IFNAME=lo
if [[ " $* " = *" --stand-in "* ]]; then
  source "${CARGO_TARGET_DIR:-target}/gpu/stand-in/env.sh"
else
  # The libraries that PyTorch brings along: cuBLAS, cuRAND, NVRTC, cuDNN, NCCL.
  libraries=$(python3 -c 'import pathlib, torch
print(*(pathlib.Path(torch.__file__).parents[1] / "nvidia").glob("*/lib"), sep=":")' || true)
  export LD_LIBRARY_PATH="$libraries:/usr/local/cuda/lib64:/usr/local/nvidia/lib64:${LD_LIBRARY_PATH:-}"
fi
exec python3 tools/gpu/check.py "$@"
