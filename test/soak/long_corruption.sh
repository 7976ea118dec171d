#!/usr/bin/env bash
# One byte changed at sixty random places of each file of a checkpoint.
# long_corruption.sh SOURCE BINARY
exec bash "$1/test/e2e/corruption.sh" "$1" "$2" 60
