#!/usr/bin/env bash
# 100,000 steps of 4 ranks on fewer processors, with snapshots and checkpoints and nothing broken:
# no alarm of any kind, and the state of one process. calm.sh SOURCE BINARY [STEPS]
set -uo pipefail
source "$(dirname "$0")/../e2e/checks.bash"
steps=${3:-100000}

recipe=("${llama[@]}" train.steps=$steps train.lanes=4 train.checkpoint_every=1000
  train.snapshot_every=10 train.log_every=0)
prepare_text 200000
train undisturbed
check "the undisturbed run ends" test $code -eq 0
train calm --ranks 4
check "the run of 4 ranks ends" test $code -eq 0
check "the same state" test "$(state_hash "$work/calm")" = "$(state_hash "$work/undisturbed")"
check "the same ledger" cmp -s "$work/calm/ledger.bin" "$work/undisturbed/ledger.bin"
alarms=$(grep -c '"event":"fault"' "$work/calm/journal.jsonl")
check "no false alarm in $steps steps ($alarms)" test "$alarms" -eq 0
check "one launch only" test "$(grep -c 'goes on from' "$work/calm/journal.jsonl")" -eq 1
check "nothing is left in shared memory" nothing_left
finish
