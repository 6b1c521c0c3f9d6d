#!/usr/bin/env bash
# Translate the source on several GPUs, or CPU processes without a GPU:
#   tools/dist_translate.sh CONFIG CHECKPOINT OUT GPUS [options]
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: $0 CONFIG CHECKPOINT OUT GPUS [options]" >&2; exit 2; }
config=$1 checkpoint=$2 out=$3 gpus=$4
shift 4
[[ $gpus =~ ^[0-9]+$ ]] || { echo "GPUS=$gpus, expected a number" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
[ "$gpus" -gt 0 ] || { gpus=1; export CUDA_VISIBLE_DEVICES=; }
exec python -m torch.distributed.run \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  --nproc_per_node="$gpus" \
  "$root/tools/translate.py" "$config" "$checkpoint" "$out" \
  --launcher pytorch "$@"
