#!/usr/bin/env bash
# Train on several GPUs, or on several CPU processes where there is no GPU:
#   tools/dist_train.sh CONFIG GPUS [options of tools/train.py]
# Several nodes: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG GPUS [options]" >&2; exit 2; }
source "$(dirname "$0")/launch.sh"
launch "$2" train.py "$1" --launcher pytorch "${@:3}"
