#!/usr/bin/env bash
# Makes in DIR a stand-in for the CUDA toolkit that runs everything on the CPU.
# Usage: make.sh DIR; then source DIR/env.sh.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -eq 1 ] || { echo "usage: make.sh DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
cxx=${CUDA_EMU_CXX:-g++}
mkdir -p "$dir/bin" "$dir/lib64" "$dir/include/cuda/std" "$dir/obj"

# Everything that the result depends on.
stamp=$( (cat "$here"/make.sh "$here"/nvcc.py "$here"/src/* "$here"/include/*.h "$here"/include/cuda/std/*
    "$cxx" --version; echo "$dir") | sha256sum | cut -d' ' -f1)
exec 9>"$dir/lock"
flock 9
if [ "$(cat "$dir/stamp" 2>/dev/null || true)" = "$stamp" ]; then
    echo "$dir is up to date; source $dir/env.sh"
    exit 0
fi
rm -f "$dir/stamp"
rm -rf "$dir/cache"
cp -R "$here"/include/. "$dir/include/"
install -m 755 "$here/nvcc.py" "$dir/bin/nvcc"

# Functions that exist only to be linked: each gives its library's "not supported".
awk '/^#/ { next } { kind = $1 == "text" ? "const char *" : "int "; value = $1 == "text" ? "\"\"" : $1
    for (i = 2; i <= NF; i++)
        printf "extern \"C\" __attribute__((weak)) %s%s() { return %s; }\n", kind, $i, value }' \
    "$here/src/stubs.txt" > "$dir/obj/stubs.cpp"

objects=()
jobs=0
for source in "$here"/src/*.cpp "$dir/obj/stubs.cpp"; do
    object="$dir/obj/$(basename "$source" .cpp).o"
    objects+=("$object")
    level=-O2
    case "$source" in */blas*.cpp | */dnn*.cpp) level=-O3 ;; esac
    # An object is made again when it is older than any source or header.
    key="$level $(cat "$source" "$here"/src/*.h "$here"/include/*.h | sha256sum)"
    if [ -f "$object" ] && [ "$(cat "$object.key" 2>/dev/null || true)" = "$key" ]; then continue; fi
    rm -f "$object.key"
    ( "$cxx" -std=c++20 "$level" -fPIC -Wall -Wextra -fno-strict-aliasing -fno-exceptions \
        -I "$here/include" -c -o "$object" "$source" && echo "$key" > "$object.key" ) &
    jobs=$((jobs + 1))
    if [ $((jobs % $(nproc))) -eq 0 ]; then wait; fi
done
wait
for object in "${objects[@]}"; do [ -f "$object.key" ] || { echo "$object was not made" >&2; exit 1; }; done
"$cxx" -shared -Wl,-soname,libcuda_emu.so -Wl,-Bsymbolic-functions -o "$dir/lib64/libcuda_emu.so.new" "${objects[@]}" -ldl -lpthread
mv "$dir/lib64/libcuda_emu.so.new" "$dir/lib64/libcuda_emu.so"
for name in cuda nvrtc curand cublas cublasLt cudart cudnn nccl; do
    ln -sf libcuda_emu.so "$dir/lib64/lib$name.so"
done
ln -sfn lib64 "$dir/lib"

cat > "$dir/env.sh" <<ENV
# The environment for building and running with the stand-in.
export CUDA_HOME="$dir" CUDA_PATH="$dir" CUDA_ROOT="$dir"
export CUDA_COMPUTE_CAP=90 CUDARC_CUDA_VERSION=13000
export NVCC="$dir/bin/nvcc"
export PATH="$dir/bin:\$PATH"
export LD_LIBRARY_PATH="$dir/lib64\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
ENV
echo "$stamp" > "$dir/stamp"
echo "made $dir; source $dir/env.sh"
