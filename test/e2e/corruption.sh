#!/usr/bin/env bash
# What the disk may do to a run: one byte changed anywhere in the newest checkpoint, files cut short
# or lost. It is noticed, said, and the run ends in the same state all the same.
# corruption.sh SOURCE BINARY [PLACES [SEED]]
set -uo pipefail
source "$(dirname "$0")/checks.bash"
places=${3:-2} # per file
seed_random "${4:-$((RANDOM + 1))}"

recipe=("${gpt2[@]}" model.layers=1 train.steps=24 train.checkpoint_every=6 --threads 1)
prepare_text 20000
train_undisturbed
train stopped --steps 20
check "a run stops at step 20" test $code -eq 0
newest=checkpoints/step-00000020
before=$(state_hash "$work/stopped/checkpoints/step-00000018")

# a fresh copy of the stopped run, in $copy
renew() {
  rm -rf "$work/copy"
  cp -r "$work/stopped" "$work/copy"
  copy=$work/copy
}
# goes_on WHAT: the run is resumed and ends in the expected state
goes_on() {
  train copy --resume
  check "$1: the run goes on" test $code -eq 0
  check "$1: the same state" test "$(state_hash "$copy")" = "$expected"
}

# bad_checkpoint WHAT FILE: the newest checkpoint of $copy is bad, because of FILE
bad_checkpoint() {
  run hash "$copy/$newest"
  check "$1: hash fails" test $code -eq 1
  check "$1: hash says one line" one_error
  check "$1: hash names the file" has "$err" "$2"
  run hash "$copy"
  check "$1: the run's hash is that before" test "$(tail -n 1 "$work/out")" = "$before"
  check "$1: and says so" has "$err" "trying the checkpoint before it"
  check "$1: looking changes nothing" diff -r "$copy/checkpoints" "$work/copy-of-bad"
  train copy --resume
  check "$1: the run goes on" test $code -eq 0
  check "$1: resuming names the file" has "$err" "$2"
  check "$1: resuming says what it does" has "$err" "set aside as"
  check "$1: the bad one is kept" test -d "$copy/checkpoints/bad-step-00000020"
  check "$1: the same state" test "$(state_hash "$copy")" = "$expected"
}
keep_bad() {
  rm -rf "$work/copy-of-bad"
  cp -r "$copy/checkpoints" "$work/copy-of-bad"
}

for path in "$work/stopped/$newest"/*; do
  file=$(basename "$path")
  for ((i = 0; i < places; i++)); do
    renew
    below "$(stat -c %s "$path")"
    flip "$copy/$newest/$file" "$random"
    keep_bad
    bad_checkpoint "$file, byte $random changed" "$file"
  done
done

renew
flip "$copy/$newest/params.safetensors" 5000
run eval "$copy/$newest" --text "$work/text.txt"
check "eval of a bad checkpoint fails" test $code -eq 1
check "eval of a bad checkpoint: one line" one_error
check "eval of a bad checkpoint: the file" has "$err" "params.safetensors"
run generate "$copy/$newest" --tokens 4
check "generate from a bad checkpoint fails" test $code -eq 1
check "generate from a bad checkpoint: one line" one_error
check "generate from a bad checkpoint: nothing printed" test -z "$out"

renew
truncate -s -1 "$copy/$newest/adam_v.safetensors"
keep_bad
bad_checkpoint "a file cut short" adam_v.safetensors
renew
rm "$copy/$newest/adam_m.safetensors"
keep_bad
bad_checkpoint "a file lost" adam_m.safetensors
renew
rm "$copy/$newest/manifest.json"
keep_bad
run hash "$copy"
check "no manifest: the one before" test "$(tail -n 1 "$work/out")" = "$before"
goes_on "no manifest"

renew
for path in "$copy"/checkpoints/step-*; do flip "$path/params.safetensors" 5000; done
train copy --resume
check "all bad: the run does not go on" test $code -eq 1
check "all bad: the last line is the error" grep -q '^error: ' <(tail -n 1 "$work/err")
check "all bad: it says so" has "$err" "checkpoints are corrupt"
goes_on "all bad, from the start"

# The run's records.
renew
truncate -s -5 "$copy/ledger.bin"
goes_on "a torn ledger"
check "a torn ledger: what is lost is said" has "$err" "the records of steps 20 to 20 are lost"
renew
truncate -s 300 "$copy/ledger.bin"
goes_on "a ledger cut short"
check "a ledger cut short: it says so" has "$err" "ledger.bin"
check "a ledger cut short: later records stand in their places" \
  cmp -s <(tail -c 200 "$copy/ledger.bin") <(tail -c 200 "$work/undisturbed/ledger.bin")
renew
flip "$copy/ledger.bin" 9
train copy --resume
check "another ledger's header: refused" test $code -eq 1
check "another ledger's header: the file and the remedy" has "$err" "ledger.bin: its header"
rm "$copy/ledger.bin"
goes_on "no ledger"

# Step 19 is computed again after the loss of checkpoint 20: its record must be that of before.
renew
rm -r "$copy/$newest"
flip "$copy/ledger.bin" $((64 + 18 * 64 + 20)) # records of 64 bytes, with two lanes
train copy --resume
check "a damaged record is noticed" test $code -eq 1
check "a damaged record: which, and the remedy" has "$err" "ledger.bin: the record of step 19"

for file in metrics.jsonl journal.jsonl; do
  renew
  truncate -s -5 "$copy/$file"
  goes_on "$file torn"
  check "$file torn: every line is whole" python3 -c "
import json, sys
for line in open(sys.argv[1]): json.loads(line)" "$copy/$file"
done
finish
