#!/usr/bin/env bash
# Evaluate on several GPUs, or CPU processes where there is no GPU:
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [options of tools/test.py]
set -euo pipefail
[ $# -ge 3 ] || { echo "usage: $0 CONFIG CHECKPOINT GPUS [options]" >&2; exit 2; }
source "$(dirname "$0")/launch.sh"
launch "$3" test.py "$1" "$2" --launcher pytorch "${@:4}"
