#!/usr/bin/env bash
# N2 and N3 of the numbers contract under the supervisor: however many ranks a run has, whoever
# starts them, and whatever kills, stops or resizes them, it ends in the state of the run of one
# process that nobody disturbed. And what cannot work is refused in one line. ranks.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

steps=200
recipe=("${llama[@]}" train.steps=$steps train.checkpoint_every=25 train.lanes=4)
prepare_text 20000
train_undisturbed
echo "$steps steps, undisturbed: $expected"

# as_undisturbed NAME
as_undisturbed() {
  same_result "$1"
  check "$1: no process is left" test -z "$(pgrep -f "rank --run=$work/$1 ")"
}

for ranks in 1 2 3 4; do
  train "ranks$ranks" --ranks $ranks
  check "$ranks ranks" test $code -eq 0
  as_undisturbed "ranks$ranks"
done

# With a launcher of MPI, also as if on several nodes.
find_launcher
if [ -n "$launcher" ]; then
  for per_node in 4 2 1; do
    train "mpi$per_node" --ranks 4 --launcher "$launcher" --ranks-per-node $per_node
    check "4 ranks by $library, $per_node per node" test $code -eq 0
    as_undisturbed "mpi$per_node"
  done
else
  echo "built without MPI: no launcher of it is tried"
fi

reaches() {
  for _ in $(seq 600); do
    [ "$(steps_made "$work/$1")" -ge "$2" ] && return 0
    sleep 0.05
  done
  return 1
}
rank_pid() { pgrep -f "rank --run=$work/$1 .*--rank=$2( |\$)" | head -1; }

# Every rank once: killed, or stopped until it is missed.
start hurt --ranks 3
for rank in 0 1 2; do
  reaches hurt $((rank * 60 + 15))
  kill -9 "$(rank_pid hurt $rank)" 2>/dev/null
done
wait $pid
check "ranks that are killed are started again" test $? -eq 0
as_undisturbed hurt
deaths=$(grep -c '"event":"fault".*SIGKILL' "$work/hurt/journal.jsonl")
check "each death is in the journal ($deaths)" test "$deaths" -ge 2

start stopped --ranks 2
reaches stopped 60
stopped=$(rank_pid stopped 1)
kill -STOP "$stopped"
wait $pid
check "a rank that is stopped is replaced" test $? -eq 0
as_undisturbed stopped
check "it is named" grep -q 'rank 1 .*hangs in step [0-9]*.*stopped by a signal' \
  "$work/stopped/journal.jsonl"

# The supervisor killed, the run resumed with other numbers of ranks: 4, 3, 1, 4.
start resized --ranks 4
reaches resized 40
kill -9 $pid
wait $pid 2>/dev/null
sleep 0.5
check "ranks do not outlive their supervisor" test -z "$(pgrep -f "rank --run=$work/resized ")"
train resized --ranks 3 --resume --steps 80
check "4 ranks, then 3" test $code -eq 0
train resized --ranks 1 --resume --steps 105
check "then 1" test $code -eq 0
train resized --resume --steps 130
check "then one process alone" test $code -eq 0
train resized --ranks 4 --resume
check "then 4 again" test $code -eq 0
as_undisturbed resized

# An end by the book, of runs that are slow enough to be met before their last step.
slow=(--inject slow:rank=0,step=4,factor=30,steps=30)
start ended --ranks 2 "${slow[@]}"
reaches ended 6
kill -TERM $pid
wait $pid
check "a run that is asked to end does so" test $? -eq 0
check "it says how to go on" grep -q -- "--resume" "$work/out"
train ended --ranks 2 --resume
as_undisturbed ended

# A batch system signals all processes of a job, and again.
start warned --ranks 2 "${slow[@]}"
reaches warned 6
kill -TERM "$(rank_pid warned 0)" "$(rank_pid warned 1)"
kill -USR1 $pid "$(rank_pid warned 0)" "$(rank_pid warned 1)"
kill -USR1 $pid
wait $pid
check "one that is warned says that it is to be gone on with" test $? -eq 75
check "no rank died of it" lacks "$(cat "$work/err")" SIG
train warned --ranks 2 --resume
as_undisturbed warned
train printed --ranks 2 --print-slurm
check "a script for Slurm is printed" has "$out" "#SBATCH --ntasks=2"
check "nothing is run" test ! -e "$work/printed"

# refused NAME TEXT ARGUMENTS...: fails with one line that has TEXT
refused() {
  train "$1" "${@:3}"
  check "$1: refused" test $code -ne 0
  check "$1: says '$2'" has "$err" "$2"
  check "$1: no process is left" test -z "$(pgrep -f "rank --run=$work/$1 ")"
}
refused too_many "more than the recipe's 4 lanes" --ranks 5
refused no_launcher "no-such-launcher" --ranks 2 --launcher "no-such-launcher -n {ranks}"
check "that is said once, and no run is begun" \
  test "$(wc -l <"$work/err")" -eq 1 -a ! -e "$work/no_launcher"
refused bad_launcher "launcher" --ranks 2 --launcher "false {ranks}"
check "nothing is left in shared memory" nothing_left
finish
