#!/usr/bin/env bash
# Builds each preset and runs its tests: tools/run-tests.sh PRESET... Ends with "N passed, N failed"
# over all of them, from ctest's own closing lines; a test that skips itself counts as neither.
set -euo pipefail
cd "$(dirname "$0")/.."

jobs=$(getconf _NPROCESSORS_ONLN)
passed=0
failed=0
for preset in "$@"; do
  echo "== $preset"
  targets=()
  tests=()
  if [ "$preset" = mpich ]; then # the other MPI: only what differs
    targets=(world_ranks)
    tests=(-L mpi)
  fi
  tools/build.sh "$preset" ${targets[@]+"${targets[@]}"}
  log=build/$preset/ctest.log
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$jobs" \
    ${tests[@]+"${tests[@]}"} | tee "$log" ||
    true # counted below
  closing=$(grep -E '^[0-9]+% tests passed, [0-9]+ tests failed out of [0-9]+' "$log") || {
    echo "$preset: ctest ended without its closing line" >&2
    exit 1
  }
  read -r failures total <<<"$(sed -E 's/.*passed, ([0-9]+) tests failed out of ([0-9]+).*/\1 \2/' \
    <<<"$closing")"
  skipped=$(grep -cE '\*\*\*Skipped' "$log" || true)
  failed=$((failed + failures))
  passed=$((passed + total - failures - skipped))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
