#!/usr/bin/env bash
# Install what is needed, then adapt a network from one drawn town to another:
#   bash tools/quickstart.sh [options of tools/quickstart.py]
set -euo pipefail
source "$(dirname "$0")/environment.sh"
# Threads that spin while they wait lose much beside busy neighbours.
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE}
exec python -W ignore::UserWarning -W ignore::DeprecationWarning \
  tools/quickstart.py "$@"
