#!/usr/bin/env bash
# Fuzzes every target of test/fuzz for the given seconds, one after the other, on all cores:
# tools/fuzz.sh SECONDS. What a target finds stays in build/fuzz/found, the corpus it grew in
# build/fuzz/corpus; the run fails if anything was found.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: tools/fuzz.sh SECONDS}
tools/build.sh fuzz
mkdir -p build/fuzz/found
clean=0
broken=()
for source in test/fuzz/fuzz_*.c; do
  name=$(basename "$source" .c)
  corpus=build/fuzz/corpus/$name
  seeds=test/fuzz/corpus/${name#fuzz_}
  mkdir -p "$corpus"
  echo "== $name: $seconds s"
  if "build/fuzz/test/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -fork="$(getconf _NPROCESSORS_ONLN)" -ignore_crashes=0 \
    -artifact_prefix="build/fuzz/found/$name-" "$corpus" "$seeds" \
    >"build/fuzz/$name.log" 2>&1; then
    tail -n 1 "build/fuzz/$name.log"
    clean=$((clean + 1))
  else
    tail -n 60 "build/fuzz/$name.log" >&2
    broken+=("$name")
  fi
done
echo "$clean clean, ${#broken[@]} with findings${broken[*]:+: ${broken[*]}}"
[ ${#broken[@]} -eq 0 ]
