#!/usr/bin/env bash
# From text to a trained run, and then what is asked of it: hash, eval, generate.
# infer.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"
recipe=$source/recipes/shakespeare-cpu.yaml

# json KEY: a member of the object in $out
json() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$out" "$1"; }

for i in $(seq 3000); do
  echo "Line $i of the text: $((i * 7919 % 1009)) birds, $((i * 104729 % 997)) miles — no landing."
done >"$work/text.txt"
run prepare --out "$work/data" --tokenizer byte --json "$work/text.txt"
check "prepare succeeds" test $code -eq 0
held=$(json val_bytes)
check "a tenth of the text is held out" test "$held" -gt 10000
tail -c "$held" "$work/text.txt" >"$work/held-out.txt"

sizes="model.layers=3 model.width=192 model.heads=6 model.context=128 train.lane_batch=8"
sanitized && sizes="model.layers=2 model.width=96 model.heads=3 model.context=64 train.lane_batch=8"
run train "$recipe" $sizes --data "$work/data" --run "$work/run" --steps 3 --threads 2 --json
check "train succeeds" test $code -eq 0
state=$(json state_hash)
bits=$(json bits_per_byte)

for place in "$work/run" "$work/run/checkpoints/step-00000003"; do
  run hash "$place"
  check "hash succeeds" test $code -eq 0
  check "hash is the state's" test "$(tail -n 1 "$work/out")" = "$state"
done

run eval "$work/run" --data "$work/data" --json
check "eval of the corpus succeeds" test $code -eq 0
check "eval agrees with the end of training" test "$(json bits_per_byte)" = "$bits"
run eval "$work/run" --text "$work/held-out.txt" --json --threads 1
check "eval of the text agrees with the corpus" test "$(json bits_per_byte)" = "$bits"
check "eval counts the bytes" test "$(json bytes)" = "$held"
run eval "$work/run" --text "$work/nothing.txt"
check "eval of a missing file fails" test $code -eq 1
check "eval of a missing file names it" has "$err" "nothing.txt"
run eval "$work/run"
check "eval of nothing is misuse" test $code -eq 2

run generate "$work/run" --prompt "Line 3" --tokens 150 --seed 5
check "generate succeeds" test $code -eq 0
check "generate begins with the prompt" test "${out:0:6}" = "Line 3"
text=$(md5sum <"$work/out")
printf 'Line 3' | "$godwit" generate "$work/run" --prompt - --tokens 150 --seed 5 --isa generic \
  --threads 1 >"$work/again" 2>/dev/null
check "the same from standard input, with other kernels" test "$(md5sum <"$work/again")" = "$text"
"$godwit" generate "$work/run" --tokens 20 >/dev/full 2>"$work/err"
code=$?
err=$(cat "$work/err")
check "a full output fails" test $code -eq 1
check "a full output says so" has "$err" "cannot write to standard output"

printf X | dd of="$work/run/checkpoints/step-00000003/adam_v.safetensors" bs=1 seek=999 \
  conv=notrunc 2>/dev/null
run hash "$work/run"
check "a damaged checkpoint is refused" test $code -eq 1
check "a damaged checkpoint is named" has "$err" "adam_v.safetensors"
check "nothing is set aside by looking" test -d "$work/run/checkpoints/step-00000003"

finish
