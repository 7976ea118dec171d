#!/usr/bin/env bash
# Training on from a model that is there: a run of our own or an import, with its own tokenizer.
# init_from.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

# json KEY: a member of the object in $out
json() { python3 -c 'import json, sys; print(json.loads(sys.argv[1])[sys.argv[2]])' "$out" "$1"; }
# first_loss RUN: of step 1
first_loss() {
  python3 -c 'import json, sys; print(json.loads(open(sys.argv[1]).readline())["loss"])' \
    "$work/$1/metrics.jsonl"
}
below_two() { python3 -c 'import sys; sys.exit(float(sys.argv[1]) >= 2)' "$1"; }

write_text "$work/text.txt" 60000
run prepare --out "$work/own-data" --tokenizer bpe --vocab-size 300 "$work/text.txt"
check "prepare succeeds" test $code -eq 0
quick=(model.kv_heads=2 model.tie_embeddings=false model.context=32 train.lanes=2)
run train "${llama[@]}" "${quick[@]}" train.steps=60 train.optimizer.lr=1e-2 \
  --data "$work/own-data" --run "$work/own"
check "train succeeds" test $code -eq 0
run export "$work/own" --to hf "$work/hf"
run import "$work/hf" --run "$work/import"
check "import succeeds" test $code -eq 0
imported=$(state_hash "$work/import")

# Data prepared with the import's tokenizer, the recipe that it brings.
run prepare --out "$work/data" --tokenizer "$work/import/tokenizer.json" "$work/text.txt"
check "prepare with its tokenizer succeeds" test $code -eq 0
recipe=("$work/import/recipe.yaml" train.steps=8 train.lanes=2 train.lane_batch=4
  train.checkpoint_every=3 train.validate_every=0 train.schedule.warmup_steps=0)
train none --init-from "$work/import" --steps 0 --json
check "no step at all succeeds" test $code -eq 0
loss=$(json validation_loss)
run eval "$work/import" --data "$work/data" --json
check "the loss before any step is the import's" test "$(json nats_per_token)" = "$loss"

train tuned --init-from "$work/import"
check "it trains on" test $code -eq 0
check "where it begins is said" has "$err" "beginning with"
check "the first loss is that of a trained model ($(first_loss tuned))" \
  below_two "$(first_loss tuned)"
tuned=$(state_hash "$work/tuned")
check "where it began is kept" grep -q "\"init_state_hash\": \"$imported\"" \
  "$work/tuned/manifest.json"
check "the import stays what it was" test "$(state_hash "$work/import")" = "$imported"
train from-own --init-from "$work/own"
check "a run of our own does as well, to the bit" test "$(state_hash "$work/from-own")" = "$tuned"
train from-checkpoint --init-from "$work/own/checkpoints/step-00000060"
check "and so does a checkpoint" test "$(state_hash "$work/from-checkpoint")" = "$tuned"
train ranks --init-from "$work/import" --ranks 2
check "ranks do the same" test "$(state_hash "$work/ranks")" = "$tuned"
train random
random=$(state_hash "$work/random")
check "without it another model is made" test "$random" != "$tuned"

# In parts; before the first checkpoint there is that of step 0.
train parts --init-from "$work/import" --steps 2
rm -r "$work/parts/checkpoints/step-00000002"
train parts --init-from "$work/import" --resume --steps 5
check "it is resumed with the same command" test $code -eq 0
mv "$work/import" "$work/import.aside"
run train "$work/parts/recipe.yaml" --run "$work/parts" --resume
check "what it began with is no longer needed" test "$(state_hash "$work/parts")" = "$tuned"
mv "$work/import.aside" "$work/import"
rm -r "$work"/parts/checkpoints/*
train parts --resume
check "without any checkpoint it does not begin at random" has "$err" "holds no checkpoint"
train random --init-from "$work/import" --resume
check "a run that began otherwise is not resumed so" has "$err" "began without --init-from"

# A start that was cut short before the manifest has no say in the next one.
cp -r "$work/none" "$work/cut"
rm "$work/cut/manifest.json"
train cut
check "what a failed start left is not begun with" test "$(state_hash "$work/cut")" = "$random"

# What does not fit is named.
refused() { # refused WHAT MESSAGE ARGUMENTS...
  local what=$1 message=$2
  shift 2
  run train "${recipe[@]}" --data "$work/data" --run "$work/refused" --init-from "$@"
  check "$what is refused" test $code -eq 1
  check "$what is one error" test "$(grep -c '^error: ' "$work/err")" -eq 1
  check "$what is named" has "$err" "$message"
  check "$what: no run is left" test ! -e "$work/refused/manifest.json"
}
refused "another width" "give model.width=32" "$work/import" model.width=64
refused "another number of layers" "give model.layers=2" "$work/import" model.layers=3
refused "another base of rotations" "model.rope_theta is 500000" "$work/import" \
  model.rope_theta=500000
refused "another vocabulary" "give model.vocab_size=300" "$work/import" model.vocab_size=310
refused "a missing run" "nothing: does not exist" "$work/nothing"
train longer --init-from "$work/import" model.context=48
check "a longer context has no parameters" test $code -eq 0
run prepare --out "$work/bytes" --tokenizer byte "$work/text.txt"
run train "${recipe[@]}" --data "$work/bytes" --run "$work/refused" --init-from "$work/import"
check "another tokenizer is refused" has "$err" "made with another tokenizer"
run train "${recipe[@]}" --data "$work/data" --run "$work/import"
check "an import is not trained over" has "$err" "give --init-from $work/import"
check "its state is untouched" test "$(state_hash "$work/import")" = "$imported"
run eval "$work/import" --data "$work/data"
check "nor is anything else of it" test $code -eq 0
finish
