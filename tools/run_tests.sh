#!/usr/bin/env bash
# Install what is needed, check the style and run all the tests:
#   bash tools/run_tests.sh [--stack maintained|openmmlab] [options of pytest]
set -euo pipefail
if [ "${1:-}" = --stack ]; then
  STACK=${2:?--stack: expected maintained or openmmlab}
  shift 2
fi
source "$(dirname "$0")/environment.sh"
ruff check .
ruff format --check .
exec python -m pytest "$@"
