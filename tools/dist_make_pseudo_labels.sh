#!/usr/bin/env bash
# Make pseudo labels on several GPUs, or CPU processes without a GPU:
#   tools/dist_make_pseudo_labels.sh CONFIG CHECKPOINT OUT GPUS [options]
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: $0 CONFIG CHECKPOINT OUT GPUS [options]" >&2; exit 2; }
source "$(dirname "$0")/launch.sh"
launch "$4" make_pseudo_labels.py "$1" "$2" "$3" --launcher pytorch "${@:5}"
