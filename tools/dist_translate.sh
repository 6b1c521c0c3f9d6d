#!/usr/bin/env bash
# Translate the source on several GPUs, or CPU processes without a GPU:
#   tools/dist_translate.sh CONFIG CHECKPOINT OUT GPUS [options]
set -euo pipefail
[ $# -ge 4 ] || { echo "usage: $0 CONFIG CHECKPOINT OUT GPUS [options]" >&2; exit 2; }
source "$(dirname "$0")/launch.sh"
launch "$4" translate.py "$1" "$2" "$3" --launcher pytorch "${@:5}"
