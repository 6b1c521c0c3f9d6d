#!/usr/bin/env bash
# Install what is needed, check the style and run all the tests:
#   bash tools/run_tests.sh [options of pytest]
set -euo pipefail
source "$(dirname "$0")/environment.sh"
ruff check .
ruff format --check .
exec python -m pytest "$@"
