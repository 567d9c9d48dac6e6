#!/usr/bin/env bash
# Makes in DIR a CUDA toolkit to build with on a machine without a GPU: nvcc and headers from PyPI, and libraries to link with.
# Usage: toolkit.sh DIR; then source DIR/env.sh. Needs python3, gcc and PyPI; about 1.2 GB.
set -euo pipefail
[ $# -eq 1 ] || { echo "usage: toolkit.sh DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
version=13.0

if [ ! -e "$dir/ready" ]; then
  python3 -m venv "$dir/venv"
  packages=()
  for name in cuda-nvcc cuda-runtime cuda-cccl cuda-crt nvvm cuda-nvrtc; do packages+=("nvidia-$name==$version.*"); done
  # Libraries that programs are linked with; at run time those of the machine with the GPU are used.
  "$dir/venv/bin/pip" install --quiet "${packages[@]}" "nvidia-cublas==$version.*" nvidia-curand
fi
toolkit=$(echo "$dir"/venv/lib/python3*/site-packages/nvidia/cu13)
lib=$toolkit/lib
ln -sfn lib "$toolkit/lib64"
for library in "$lib"/lib*.so.*; do
  name=${library##*/}
  ln -sf "$name" "$lib/${name%%.so.*}.so"
done

# The driver, cuDNN and NCCL as names alone: every function that cudarc could call, none of which is ever run here.
cudarc=$(cargo metadata --quiet --format-version 1 --all-features --manifest-path "$(dirname "${BASH_SOURCE[0]}")/../../Cargo.toml" |
  python3 -c 'import json, sys; print(next(p["manifest_path"] for p in json.load(sys.stdin)["packages"] if p["name"] == "cudarc"))')
stub() { # NAME SONAME FOLDER PREFIX
  grep -ohE "pub unsafe fn $4[A-Za-z0-9_]+" "${cudarc%/*}/src/$3/sys/mod.rs" | sort -u | sed 's/pub unsafe fn \(.*\)/void \1(void) {}/' > "$dir/$1.c"
  gcc -shared -fPIC -Wl,-soname,"$2" -o "$lib/lib$1.so" "$dir/$1.c"
}
stub cuda libcuda.so.1 driver cu
stub cudnn libcudnn.so.9 cudnn cudnn
stub nccl libnccl.so.2 nccl nccl

cat > "$dir/env.sh" <<ENV
export CUDA_HOME="$toolkit" CUDA_PATH="$toolkit" CUDA_ROOT="$toolkit"
export PATH="$toolkit/bin:\$PATH" NVCC="$toolkit/bin/nvcc"
# Hopper, unless said otherwise: there is no card here to ask.
export CUDA_COMPUTE_CAP="\${CUDA_COMPUTE_CAP:-90}"
ENV
touch "$dir/ready"
echo "CUDA $version is in $dir: source $dir/env.sh"
