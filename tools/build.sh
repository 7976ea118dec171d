#!/usr/bin/env bash
# Configures a preset when CMakePresets.json is newer than its build, and builds it:
# tools/build.sh PRESET [TARGET...], by default all targets.
# `release` builds into build/, every other preset into build/PRESET.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=${1:?usage: tools/build.sh PRESET [TARGET...]}
shift
folder=build/$preset
[ "$preset" = release ] && folder=build

if [ ! "$folder/build.ninja" -nt CMakePresets.json ]; then
  mkdir -p "$folder"
  if ! cmake --preset "$preset" >"$folder/configure.log" 2>&1; then
    cat "$folder/configure.log" >&2
    exit 1
  fi
fi
ninja -C "$folder" "$@"
