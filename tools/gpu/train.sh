#!/usr/bin/env bash
# Trains the default model's recipe on a card and scores it on the validation portraits beside the weights in the program.
# Usage: train.sh DATA OUT [EPOCHS]. DATA holds faces/ and heads/ (recipes/README.md); a run in OUT that was stopped goes on.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: train.sh DATA OUT [EPOCHS]" >&2; exit 2; }
data=$(realpath "$1") out=$(realpath -m "$2") epochs=${3:-58}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
star=${STAR:-tools/gpu/bin/star}
# Beside the recipe, whose paths are relative.
config=recipes/default-68.on-a-card.tmp
trap 'rm -f "$config"' EXIT
sed -e '1a device = "cuda"' -e "s|^epochs = .*|epochs = $epochs|" -e "s|\"\.\./data/|\"$data/|" recipes/default-68.toml > "$config"
resume=()
[ ! -d "$out" ] || resume=(--resume)
"$star" train --config "$config" --out "$out" "${resume[@]}"
for weights in "$out/best" builtin; do
  "$star" eval --weights "$weights" --format tsv --annotations "$data/faces/valid.tsv" --images "$data/faces"
done
