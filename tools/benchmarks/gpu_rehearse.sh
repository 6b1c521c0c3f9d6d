#!/usr/bin/env bash
# Rehearse gpu_day.sh as on the machine with the GPU: a Python that has torch,
# of packages only these wheels besides, and no network:
#   bash tools/benchmarks/gpu_rehearse.sh PYTHON WHEELS [options of gpu_day.sh]
set -euo pipefail
expected='expected: gpu_rehearse.sh PYTHON WHEELS [options of gpu_day.sh]'
python=${1:?$expected} wheels=${2:?$expected}
shift 2
day=$(dirname "${BASH_SOURCE[0]}")/gpu_day.sh
alone=(unshare --map-root-user --net)
if ! "${alone[@]}" ip link set lo up 2> /dev/null; then
  echo 'No network namespace is allowed here: the network stays' >&2
  alone=()
fi
# Nothing of this shell's Python comes along.
exec env -u PYTHONPATH -u VIRTUAL_ENV PYTHONNOUSERSITE=1 PYTHON="$python" \
  WHEELS="$wheels" "${alone[@]}" bash -c '
    ip link set lo up 2> /dev/null || true
    exec bash "$@"' gpu_rehearse "$day" --rehearse "$@"
