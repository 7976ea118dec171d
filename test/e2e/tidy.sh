#!/usr/bin/env bash
# Tidy finds every fault it is there for, and none in the tree. Arguments: source, binary folder.
set -euo pipefail
export PYTHONDONTWRITEBYTECODE=1
python3 "$1/tools/tidy_test.py"
python3 "$1/tools/tidy.py" "$1"
