#!/usr/bin/env bash
# Builds, on a machine without a GPU, everything that check.sh runs on one: into tools/gpu/bin, packed as tools/gpu/bin.tar.xz.
# Usage: build.sh [--star | --stand-in]. With --star it also builds `star`, for train.sh; with --stand-in it builds against the stand-in
# for CUDA in emulator/, whose programs run on the CPU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
work=${CARGO_TARGET_DIR:-target}/gpu
mkdir -p "$work"

if [ "${1:-}" = --stand-in ]; then
  tools/gpu/emulator/make.sh "$work/stand-in"
  source "$work/stand-in/env.sh"
else
  tools/gpu/toolkit.sh "$work/toolkit"
  source "$work/toolkit/env.sh"
  LD_LIBRARY_PATH="$CUDA_HOME/lib" python3 tools/gpu/kernels.py "$CUDA_HOME"
fi

export CARGO_INCREMENTAL=0
crates=(star-loss star-model star-predict star-train)
features=star-train/cuda,star-train/cudnn,star-train/nccl
profile=()
if [ "${1:-}" != --stand-in ]; then
  # A thin LTO would take longer than it saves on a card. In a folder of its own: what is built against one toolkit does not fit another.
  export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=none CARGO_PROFILE_RELEASE_STRIP=symbols
  export CARGO_TARGET_DIR="$work/build"
  profile=(--release)
fi

rm -rf tools/gpu/bin tools/gpu/bin.tar.xz
mkdir tools/gpu/bin
cargo test "${profile[@]}" --no-run --message-format=json-render-diagnostics "${crates[@]/#/--package=}" --features "$features" \
  --lib --test card --test golden --test golden_network --test golden_training --test mixed_precision --bench gpu > "$work/artifacts.json"
if [ "${1:-}" = --star ]; then
  cargo build "${profile[@]}" --message-format=json-render-diagnostics --package star-cli --bin star \
    --features star-cli/cudnn,star-train/nccl >> "$work/artifacts.json"
fi

# Each executable under the name of its crate and target, such as star-loss-golden.
python3 - "$work/artifacts.json" <<'PYTHON'
import json, pathlib, shutil, sys
for line in open(sys.argv[1]):
    message = json.loads(line)
    if not message.get("executable"):
        continue
    crate = pathlib.Path(message["manifest_path"]).parent.name
    name = "star" if message["target"]["kind"] == ["bin"] else f"{crate}-{message['target']['name']}"
    shutil.copy(message["executable"], f"tools/gpu/bin/{name}")
PYTHON
if [ "${1:-}" != --stand-in ]; then
  # All hold the same kernels: a dictionary over several of them keeps one copy.
  tar --create --file - --directory tools/gpu bin | xz -T1 --lzma2=preset=6,dict=512MiB > tools/gpu/bin.tar.xz
fi
du -sh tools/gpu/bin*
