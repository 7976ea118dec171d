#!/usr/bin/env bash
# Fuzzes the targets of test/fuzz for the given seconds each, as many at a time as there are cores:
# tools/fuzz.sh SECONDS [TARGET...]. What a target finds stays in build/fuzz/found, the corpus it
# grew in build/fuzz/corpus, its log beside them; the run fails if anything was found.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: tools/fuzz.sh SECONDS [TARGET...]}
shift
targets=("$@")
[ $# -gt 0 ] || for source in test/fuzz/fuzz_*.c; do targets+=("$(basename "$source" .c)"); done

fuzz_one() {
  local seconds=$1 name=$2
  local grown=build/fuzz/corpus/$name seeds=test/fuzz/corpus/${name#fuzz_} log=build/fuzz/$name.log
  mkdir -p "$grown"
  echo "== $name: $seconds s"
  if "build/fuzz/test/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
    -keep_seed=1 -artifact_prefix="build/fuzz/found/$name-" "$grown" "$seeds" \
    >"$log" 2>&1; then
    echo "$name: $(tail -n 1 "$log")"
  else
    tail -n 60 "$log"
    echo "$name: FOUND something, see $log and build/fuzz/found"
    return 1
  fi
}
export -f fuzz_one

tools/build.sh fuzz
mkdir -p build/fuzz/found
printf '%s\n' "${targets[@]}" |
  xargs -P "$(getconf _NPROCESSORS_ONLN)" -I NAME bash -c "fuzz_one $seconds NAME" || {
  echo "fuzz: something was found"
  exit 1
}
echo "fuzz: ${#targets[@]} targets ran clean for $seconds s each"
