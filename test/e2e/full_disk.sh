#!/usr/bin/env bash
# A full disk: a run goes on, says what it could not write and keeps the older checkpoint; with room
# again it ends in the state of a run that never lacked any. The disk is a small tmpfs in a mount
# namespace of its own; where that is not allowed the script skips. full_disk.sh SOURCE BINARY
set -uo pipefail
if [ "${3:-}" != inside ]; then
  if ! unshare -rm mount -t tmpfs none /tmp 2>/dev/null; then
    echo "skipped: a tmpfs cannot be mounted here (it takes user namespaces, or root)"
    exit 77
  fi
  exec unshare -rm bash "$0" "$1" "$2" inside
fi
source "$(dirname "$0")/checks.bash"

disk=$work/disk
mkdir "$disk"
mount -t tmpfs -o size=1m none "$disk"
resize() { mount -o "remount,size=$1" none "$disk"; }

write_text "$work/text.txt" 300000
mkdir "$work/texts"
split -b 30000 --additional-suffix=.txt "$work/text.txt" "$work/texts/"

# Preparing: several shards, of which the first ones fit.
prepare() { run prepare --out "$1" --shard-tokens 60000 "$work/texts"; }
prepare "$work/data"
check "prepare succeeds with room" test $code -eq 0
resize 400k
prepare "$disk/data"
check "prepare fails on a full disk" test $code -eq 1
check "prepare: one error line" test "$(grep -c '^error: ' "$work/err")" -eq 1
check "prepare: it says why" has "$err" "no space left"
check "prepare: no corpus that looks whole" test ! -e "$disk/data/manifest.json"
run train "${llama[@]}" --data "$disk/data" --run "$work/none"
check "an unfinished corpus is refused" test $code -eq 1
check "an unfinished corpus: one error line" one_error
check "an unfinished corpus: what to do" has "$err" "run the same \`godwit prepare\` again"
resize 2m
prepare "$disk/data"
check "with room, the same command goes on" test $code -eq 0
check "and makes the same corpus" \
  diff -r -x manifest.json -x prepare.lock "$disk/data" "$work/data"
rm -r "$disk/data"

# Training: room for one checkpoint and a half.
recipe=("${llama[@]}" train.steps=24 train.checkpoint_every=4)
train() { run train "${recipe[@]}" --data "$work/data" --run "$1" --threads 1 "${@:2}"; }
train "$work/undisturbed"
check "the undisturbed run ends" test $code -eq 0
expected=$(state_hash "$work/undisturbed")
size=$(du -s --block-size=1k "$work/undisturbed/checkpoints/step-00000024" | cut -f 1)

resize $((size * 3 / 2 + 100))k
train "$disk/run"
check "without its last checkpoint a run fails" test $code -eq 1
check "the last line is the error" has "$(tail -n 1 "$work/err")" "error: "
check "the error says why" has "$(tail -n 1 "$work/err")" "no space left"
check "what is not saved is said" has "$err" "no checkpoint at step 8, the older one is kept"
check "the run went on all the same" test "$(grep -c '' "$disk/run/metrics.jsonl")" -eq 24
check "the older checkpoint is there and no other" \
  test "$(ls -A "$disk/run/checkpoints")" = step-00000004
check "the older checkpoint is whole" test -n "$(state_hash "$disk/run")"

# Not a byte left: records are lost too.
cat /dev/zero >"$disk/filler" 2>/dev/null
train "$disk/run" --resume
check "on a full disk the run goes on to its end" has "$err" "step 24/24"
check "and fails for its last checkpoint" test $code -eq 1
check "the older checkpoint is still whole" test -n "$(state_hash "$disk/run")"

rm "$disk/filler"
resize 8m
train "$disk/run" --resume
check "with room the run ends" test $code -eq 0
check "in the same state" test "$(state_hash "$disk/run")" = "$expected"
check "every line of its records is whole" python3 -c "
import json, sys
for name in 'journal', 'metrics':
    for line in open(f'{sys.argv[1]}/{name}.jsonl'): json.loads(line)" "$disk/run"
umount "$disk"
finish
