#!/usr/bin/env bash
# Run BDL's loop on several GPUs, or CPU processes where there is no GPU:
#   tools/dist_train_bdl.sh CONFIG GPUS [options of tools/train_bdl.py]
# Several nodes: set NNODES, NODE_RANK, MASTER_ADDR and PORT on each.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 CONFIG GPUS [options]" >&2; exit 2; }
source "$(dirname "$0")/launch.sh"
launch "$2" train_bdl.py "$1" --launcher pytorch "${@:3}"
