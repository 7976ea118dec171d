#!/usr/bin/env bash
# N3 with twenty kills. long_crash.sh SOURCE BINARY
exec bash "$1/test/e2e/crash.sh" "$1" "$2" 20
