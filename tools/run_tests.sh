#!/usr/bin/env bash
# Install what is needed, check the style and run all the tests:
#   bash tools/run_tests.sh [--stack maintained|openmmlab] [options of pytest]
#   WORKERS  processes that share the tests (default: 2; 0 for pytest's --pdb)
set -euo pipefail
if [ "${1:-}" = --stack ]; then
  STACK=${2:?--stack: expected maintained or openmmlab}
  shift 2
fi
source "$(dirname "$0")/environment.sh"
ruff check .
ruff format --check .
# A thread each: more of them would wait for one another.
export OMP_NUM_THREADS=1
exec python -m pytest -n "${WORKERS:-2}" --dist loadfile "$@"
