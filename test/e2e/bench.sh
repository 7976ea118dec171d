#!/usr/bin/env bash
# The benchmarks run and say what they should, on a model that takes no time and without peers.
# bench.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

# measure COMMAND...: as `run`, for another program
measure() {
  "$@" >"$work/out" 2>"$work/err" </dev/null
  code=$?
  out=$(cat "$work/out")
  err=$(cat "$work/err")
}

if [ ! -x "$binary/bench_train" ]; then
  echo "built without benchmarks"
  exit 77
fi

measure python3 "$source/bench/bench_train.py" --programs "$binary" --quick --dtypes f32 \
  --peers one-thread --pairs 3 --out "$work/train.json"
check "bench_train.py succeeds" test $code -eq 0
check "it has a row of godwit" has "$out" "  godwit  "
check "it has a row of its peer" has "$out" "  godwit, 1 thread  "
check "it writes as many pairs as asked for" python3 - "$work/train.json" <<'END'
import json, sys
comparison = json.load(open(sys.argv[1]))["cases"][0]["comparisons"][0]
times = comparison["ours_ns"] + comparison["peer_ns"]
sys.exit(not (len(times) == 6 and min(times) > 0 and comparison["ratio"] > 0))
END

measure python3 "$source/bench/bench_train.py" --programs "$binary" --models nothing
check "an unknown model is refused" test $code -ne 0
check "the known ones are named" has "$err" "tiny"

"$binary/bench_train" 1 model.width=banana >"$work/out" 2>"$work/err" </dev/null
code=$?
err=$(cat "$work/err")
check "a bad key is refused" test $code -eq 2
check "the key is named" has "$err" "banana"

measure "$binary/bench_generate" --quick "$work/generate.json"
check "bench_generate succeeds" test $code -eq 0
check "it times tokens" has "$out" "a token"
check "it times the prompt" has "$out" "128-token prompt"
check "it writes its results" grep -q token_ns "$work/generate.json"

measure python3 "$source/bench/bench_serve.py" "$binary/godwit" --quick
check "bench_serve.py succeeds" test $code -eq 0
check "it serves many at once" has "$out" "serve, 16 at once"

finish
