#!/usr/bin/env bash
# Install what is needed, check the style and run the tests:
#   bash tools/run_tests.sh [--stack maintained|openmmlab] [--all] [options]
#   --all    with the tests that are marked as long, as .ci/run does
#   options  are pytest's
#   WORKERS  processes that share the tests (default: 2; 0 for pytest's --pdb)
set -euo pipefail
chosen=(-m 'not long')
while :; do
  case "${1:-}" in
    --stack)
      STACK=${2:?--stack: expected maintained or openmmlab}
      shift 2
      ;;
    --all)
      chosen=()
      shift
      ;;
    *) break ;;
  esac
done
source "$(dirname "$0")/environment.sh"
ruff check .
ruff format --check .
# A thread each: more of them would wait for one another.
export OMP_NUM_THREADS=1
exec python -m pytest -n "${WORKERS:-2}" --dist loadfile "${chosen[@]}" "$@"
