#!/usr/bin/env bash
# Train on a Slurm cluster, on one node or several:
#   tools/slurm_train.sh PARTITION CONFIG GPUS [options of tools/train.py]
# GPUS is the number of all; each node runs tools/dist_train.sh.
#   GPUS_PER_NODE    at most (8)
#   CPUS_PER_GPU     cores (6)
#   PORT             where the first node listens (by the job's number)
#   SRUN_ARGS        more options of srun
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 PARTITION CONFIG GPUS [options]" >&2; exit 2; }
partition=$1 config=$2 gpus=$3
shift 3
[[ $gpus =~ ^[1-9][0-9]*$ ]] || { echo "GPUS=$gpus, expected a positive number" >&2; exit 2; }
per_node=${GPUS_PER_NODE:-8}
[ "$gpus" -ge "$per_node" ] || per_node=$gpus
[ $((gpus % per_node)) -eq 0 ] || {
  echo "error: GPUS=$gpus, expected a multiple of GPUS_PER_NODE=$per_node" >&2
  exit 2
}
nodes=$((gpus / per_node))
# In single quotes: each node knows which one it is.
# shellcheck disable=SC2016,SC2086
exec srun --partition="$partition" --job-name="$(basename "$config" .py)" \
  --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 \
  --gres="gpu:$per_node" --cpus-per-task="$((per_node * ${CPUS_PER_GPU:-6}))" \
  --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
  bash -c '
    export NNODES=$SLURM_NNODES NODE_RANK=$SLURM_NODEID
    export PORT=${PORT:-$((20000 + SLURM_JOB_ID % 20000))}
    MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    export MASTER_ADDR
    exec "$0" "$@"' \
  "$(dirname "$0")/dist_train.sh" "$config" "$per_node" "$@"
