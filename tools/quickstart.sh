#!/usr/bin/env bash
# Install what is needed, then adapt a network from one drawn town to another:
#   bash tools/quickstart.sh [options of tools/quickstart.py]
set -euo pipefail
source "$(dirname "$0")/environment.sh"
exec python -W ignore::UserWarning -W ignore::DeprecationWarning \
  tools/quickstart.py "$@"
