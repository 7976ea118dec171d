#!/usr/bin/env bash
# N3 of the numbers contract: a run that is killed at random moments and resumed ends in the state
# of the run that was never disturbed, and so does one that was stopped and went on by the book.
# crash.sh SOURCE BINARY [KILLS [SEED]]
set -uo pipefail
source "$(dirname "$0")/checks.bash"
kills=${3:-4}
seed_random "${4:-$((RANDOM + 1))}"

steps=$((15 * kills))
recipe=("${llama[@]}" train.steps=$steps train.checkpoint_every=3 --threads 2)
prepare_text 20000
train_undisturbed
echo "$steps steps, undisturbed: $expected"

# as_undisturbed NAME: state and records are those of the undisturbed run
as_undisturbed() {
  local run=$work/$1
  same_result "$1"
  check "$1: metrics of every step once" python3 -c "
import json, sys
def losses(path): return [(line['step'], line['loss']) for line in map(json.loads, open(path))]
ours, theirs = losses(sys.argv[1] + '/metrics.jsonl'), losses(sys.argv[2] + '/metrics.jsonl')
assert [step for step, loss in ours] == list(range(1, len(theirs) + 1)) and ours == theirs
" "$run" "$work/undisturbed"
  check "$1: every journal line is whole" python3 -c "
import json, sys
for line in open(sys.argv[1]): json.loads(line)" "$run/journal.jsonl"
}

is_saving() { compgen -G "$1/checkpoints/.*step-*" >/dev/null; }
running() { kill -0 "$pid" 2>/dev/null; }

# wait_for CONDITION...: until it holds; fails when the process ended before
wait_for() {
  until "$@"; do
    running || return 1
  done
}
made_more_than() { [ "$(steps_made "$1")" -gt "$2" ]; }

# A kill at a random moment soon after a random step; every other one, and all until one did hit,
# while a checkpoint is written. Writing takes milliseconds: nothing that forks may wait for it.
done_steps=0
killed=0
torn=0
attempts=0
while [ $killed -lt "$kills" ] && [ $attempts -lt $((4 * kills)) ]; do
  attempts=$((attempts + 1))
  start crashed --resume
  below $(((steps - done_steps) / (kills - killed + 1) + 1))
  moment=$((done_steps + random))
  wait_for made_more_than "$work/crashed" $moment
  if [ $torn -eq 0 ] || [ $((killed % 2)) -eq 0 ]; then
    wait_for is_saving "$work/crashed"
  else
    below 20
    sleep "0.0$(printf %02d "$random")"
  fi
  kill -9 "$pid" 2>/dev/null
  wait "$pid" 2>/dev/null
  code=$?
  [ $code -eq 137 ] || continue # it was faster than the kill
  killed=$((killed + 1))
  is_saving "$work/crashed" && torn=$((torn + 1))
  done_steps=$(steps_made "$work/crashed")
done
echo "$killed kills, $torn while a checkpoint was written"
check "all kills hit" test $killed -eq "$kills"
check "some kills hit a checkpoint" test $torn -gt 0
train crashed --resume
check "the crashed run ends" test $code -eq 0
as_undisturbed crashed
check "nothing half-written is left" test -z "$(find "$work/crashed" -name '.*' -type d)"

train crashed --resume
check "resuming a finished run succeeds" test $code -eq 0
check "resuming a finished run says so" has "$out" "is finished at step $steps"
as_undisturbed crashed

train portions --steps 10
check "a run stops at --steps" test $code -eq 0
check "where it stopped is said" has "$out" "done at step 10"
check "the run is at step 10" has "$("$godwit" hash "$work/portions" --json)" '"step":10,'
train portions --resume --steps 17
check "a run is resumed" test $code -eq 0
train portions --resume
check "a resumed run is resumed" test $code -eq 0
as_undisturbed portions

start stopped
wait_for made_more_than "$work/stopped" 5
kill -TERM "$pid"
wait "$pid"
code=$? out=$(cat "$work/out") err=$(cat "$work/err")
check "SIGTERM ends a run with success" test $code -eq 0
check "SIGTERM: how to go on is said" has "$out" "--resume"
check "SIGTERM: the last step made is saved" \
  test -d "$work/stopped/checkpoints/step-$(printf %08d "$(steps_made "$work/stopped")")"
train stopped --resume
check "a stopped run goes on" test $code -eq 0
as_undisturbed stopped

start warned --steps 1000000
wait_for made_more_than "$work/warned" 5
kill -USR1 "$pid"
wait "$pid"
check "SIGUSR1 ends a run with the code for going on" test $? -eq 75
check "SIGUSR1: the last step made is saved" \
  test -d "$work/warned/checkpoints/step-$(printf %08d "$(steps_made "$work/warned")")"

train longer --steps $((steps + 7))
check "--steps goes beyond the end" test $code -eq 0
train undisturbed --resume --steps $((steps + 7))
check "a finished run goes on beyond its end" test $code -eq 0
check "beyond the end: the same state" \
  test "$(state_hash "$work/longer")" = "$(state_hash "$work/undisturbed")"
check "beyond the end: another state" test "$(state_hash "$work/longer")" != "$expected"
finish
