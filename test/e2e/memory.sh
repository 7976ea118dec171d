#!/usr/bin/env bash
# The peak memory of a run is within 5 % + 32 MiB of what `godwit program` printed, from a model of
# a few kilobytes to one of some hundred megabytes, and however large the corpus is.
# Under train.memory_limit it stays there, with the same bits; a limit may change under a run, and
# one that is too low is refused.
# memory.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"
if sanitized; then
  echo "skipped: sanitizers take memory of their own"
  exit 77
fi
mib=$((1 << 20))
steps=0

# peak_of ARGUMENTS...: runs godwit; its largest resident set, in bytes, goes to $peak
peak_of() {
  python3 -c '
import resource, subprocess, sys
code = subprocess.run(sys.argv[2:], stdout=subprocess.DEVNULL).returncode
open(sys.argv[1], "w").write(str(1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(code)' "$work/peak" "$godwit" "$@" 2>"$work/err"
  code=$? out= err=$(cat "$work/err")
  peak=$(cat "$work/peak")
}

# as_printed WHAT DATA RECIPE...: two steps, a checkpoint, a validation, and a resume
as_printed() {
  local what=$1 data=$2
  shift 2
  run program "$@" --data "$data" --threads 2
  check "$what: the program is printed" test $code -eq 0
  cp "$work/out" "$work/printed"
  printed=$(awk '$2 " " $3 == "peak memory" && $4 ~ /^[0-9]+$/ { print $4 }' "$work/out")
  for step in 2 3; do
    peak_of train "$@" --data "$data" --run "$work/run" --threads 2 --resume --steps $step
    check "$what: it trains" test $code -eq 0
    local tolerance=$((printed / 20 + 32 * mib)) difference=$((peak - printed))
    echo "$what, to step $step: printed $((printed / mib)) MiB, took $((peak / mib)) MiB"
    check "$what: peak memory as printed" test ${difference#-} -le $tolerance
  done
  hash=$(state_hash "$work/run")
  rm -rf "$work/run"
}

prepare_text 40000
as_printed "tiny llama" "$work/data" "${llama[@]}" train.checkpoint_every=1

large=(model.layers=4 model.width=512 model.heads=8 model.context=128 train.lane_batch=6
  train.lanes=2 train.checkpoint_every=1)
as_printed "large gpt2" "$work/data" "${gpt2[@]}" "${large[@]}"
unlimited=$hash
as_printed "large gpt2, lower limit" "$work/data" "${gpt2[@]}" "${large[@]}" \
  train.memory_limit=340MiB
check "large gpt2: the limit is kept" test $printed -le $((340 * mib))
check "large gpt2: the limit changes no bit" test "$hash" = "$unlimited"
as_printed "large llama" "$work/data" "${llama[@]}" "${large[@]}"
unlimited=$hash
as_printed "large llama, lower limit" "$work/data" "${llama[@]}" "${large[@]}" \
  train.memory_limit=290MiB
check "large llama: the limit is kept" test $printed -le $((290 * mib))
check "large llama: something is computed again" grep -q '^; .*more time' "$work/printed"
check "large llama: the limit changes no bit" test "$hash" = "$unlimited"

# The limit is no part of what a run is.
for limit in 0 300MiB 280MiB; do
  run train "${llama[@]}" "${large[@]}" --data "$work/data" --run "$work/run" --resume \
    --steps $((++steps)) train.memory_limit=$limit
  check "a run goes on under the limit $limit" test $code -eq 0
done
rm -rf "$work/run"
run train "${llama[@]}" "${large[@]}" --data "$work/data" --run "$work/low" train.memory_limit=150MB
check "a limit that is too low is refused" test $code -eq 1
check "a limit that is too low: one error line" one_error
check "a limit that is too low: what is possible" has "$err" "takes at least"
check "a limit that is too low leaves no run" test ! -e "$work/low"
least=$(grep -o 'takes at least [0-9]*' <<<"$err" | tr -dc 0-9)
run program "${llama[@]}" "${large[@]}" --data "$work/data" train.memory_limit="$least"
check "the limit that is named is enough" test $code -eq 0
run program "${llama[@]}" "${large[@]}" --data "$work/data" train.memory_limit=$((least - 1))
check "a byte less is refused" has "$err" "takes at least $least:"

# 120 MB of shards, all of which are verified.
for i in $(seq 1500); do cat "$work/text.txt"; done >"$work/long.txt"
run prepare --out "$work/long" --val-fraction 0.001 "$work/long.txt"
check "prepare succeeds on a long text" test $code -eq 0
rm "$work/long.txt"
as_printed "tiny llama, long text" "$work/long" "${llama[@]}"
finish
