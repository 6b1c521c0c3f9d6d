#!/usr/bin/env bash
# Evaluate on several GPUs, or CPU processes where there is no GPU:
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 CONFIG CHECKPOINT GPUS [options]" >&2; exit 2; }
config=$1 checkpoint=$2 gpus=$3
shift 3
[[ $gpus =~ ^[0-9]+$ ]] || { echo "GPUS=$gpus, expected a number" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
[ "$gpus" -gt 0 ] || { gpus=1; export CUDA_VISIBLE_DEVICES=; }
exec python -m torch.distributed.run \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  --nproc_per_node="$gpus" \
  "$root/tools/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
