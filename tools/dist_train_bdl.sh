#!/usr/bin/env bash
# Run BDL's loop on several GPUs, or CPU processes where there is no GPU:
#   tools/dist_train_bdl.sh CONFIG GPUS [options of tools/train_bdl.py]
# Several nodes: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG GPUS [options]" >&2; exit 2; }
config=$1 gpus=$2
shift 2
[[ $gpus =~ ^[0-9]+$ ]] || { echo "GPUS=$gpus, expected a number" >&2; exit 2; }
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# GPUS=0 asks for one process on the CPU.
[ "$gpus" -gt 0 ] || { gpus=1; export CUDA_VISIBLE_DEVICES=; }
exec python -m torch.distributed.run \
  --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
  --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
  --nproc_per_node="$gpus" \
  "$root/tools/train_bdl.py" "$config" --launcher pytorch "$@"
