#!/usr/bin/env bash
# A run on several machines: whatever kills ranks, machines or the supervisor, the state is that of
# the run of one process, and nothing is left behind. The machines are pretended: each has its own
# processes, name and shared memory (Linux namespaces, which takes root). hosts.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

find_launcher
if [ -z "$library" ]; then
  echo "built without MPI"
  exit 77
fi
if ! unshare --mount --uts --pid --fork --mount-proc true 2>/dev/null; then
  echo "no namespaces to pretend machines with (root has them)"
  exit 77
fi
# up HOST: a machine. Its first process reaps, as it should; with it all others end.
up() {
  unshare --mount --uts --pid --fork --mount-proc --propagation private bash -c "
    hostname $1; mount -t tmpfs none /dev/shm
    while :; do sleep 1000 & wait; done" </dev/null >/dev/null 2>&1 &
  local outer=$!
  disown $outer # so that the shell does not report its end
  for _ in $(seq 100); do
    pgrep -P $outer >"$work/$1.pid" && break
    sleep 0.05
  done
  sleep 0.2
}
down() { kill -9 "$(cat "$work/$1.pid")" 2>/dev/null; }
trap 'for pid in "$work"/*.pid; do down "$(basename "$pid" .pid)"; done; leave' EXIT
# on HOST WORDS...: what ssh would do
cat >"$work/on" <<END
#!/bin/bash
while [[ \$1 == -* ]]; do shift; done
host=\$1
shift
[ -e "$work/\$host.pid" ] || { echo "on: no machine \$host" >&2; exit 255; }
exec nsenter -t "\$(cat "$work/\$host.pid")" -m -u -p -- bash -c "\$*"
END
chmod +x "$work/on"
on() { "$work/on" "$@"; }
case $library in
Open*) launcher+=" --host {hosts} --mca plm_rsh_agent $work/on --mca oob_tcp_if_include lo
  --mca btl tcp,self,vader --mca btl_tcp_if_include lo" ;;
MPICH*) # its transport would take machines of one kernel for one
  launcher+=" -genv UCX_TLS tcp,self -launcher ssh -launcher-exec $work/on -hosts {hosts}" ;;
esac
launcher=$(echo $launcher) # one line
for host in one two three; do up $host; done

steps=300
sized model.width=64 model.context=48
recipe=("${llama[@]}" train.steps=$steps train.checkpoint_every=10000 train.snapshot_every=5
  train.lanes=4 "${size[@]}")
prepare_text 20000
train_undisturbed
cluster=(--launcher "$launcher" --shell "$work/on {host}")
three=(--ranks 4 --hosts one:2,two:2,three:2 "${cluster[@]}")
two=(--ranks 4 --hosts one:2,two:2 "${cluster[@]}")

# as_undisturbed NAME
as_undisturbed() {
  same_result "$1"
  clean "$1"
}
# clean NAME: no process of the run, nothing in any machine's shared memory
clean() {
  check "$1: no rank is left" test -z "$(pgrep -f "rank --run=$work/$1 ")"
  for host in one two three; do
    [ -d "/proc/$(cat "$work/$host.pid")" ] || continue
    check "$1: no agent is left on $host" test -z "$(on $host pgrep -f "'agent --job'")"
    check "$1: nothing is left in the memory of $host" \
      test -z "$(on $host "compgen -G '/dev/shm/godwit-*'")"
  done
}
reaches() {
  for _ in $(seq 1200); do
    [ "$(steps_made "$work/$1")" -ge "$2" ] && return 0
    sleep 0.05
  done
  return 1
}
# rank_pid NAME RANK: as this machine numbers processes; MPI gives ranks no number on their line
agents=
ranks_on() { pgrep -f "rank --run=$work/$1 " --ns "$(cat "$work/$2.pid")" --nslist pid; }

train calm "${three[@]}"
check "three machines, of which two are needed" test $code -eq 0
as_undisturbed calm

train often "${three[@]}" train.checkpoint_every=1
as_undisturbed often
check "what is saved at every step is whole" \
  lacks "$(cat "$work/often/journal.jsonl")" '"event":"fault"'

start killed "${three[@]}"
reaches killed 60
kill -9 "$(ranks_on killed two | head -1)"
wait $pid
check "a rank on another machine is killed: the run goes on" test $? -eq 0
as_undisturbed killed
check "its death is in the journal" grep -q '"event":"fault".*"kind":"death"' \
  "$work/killed/journal.jsonl"
check "snapshots were good enough" lacks "$(cat "$work/killed/journal.jsonl")" '"kind":"copy"'

start stopped "${three[@]}"
reaches stopped 60
kill -STOP "$(ranks_on stopped two | head -1)"
wait $pid
check "a rank on another machine is stopped: it is replaced" test $? -eq 0
as_undisturbed stopped
check "the hang is in the journal" grep -q '"kind":"hang"' "$work/stopped/journal.jsonl"

start silent "${three[@]}"
reaches silent 60
for host in one two; do
  agents+=" $(pgrep -f "agent --job" --ns "$(cat "$work/$host.pid")" --nslist pid)"
done
kill -STOP $agents
sleep 3
kill -CONT $agents
wait $pid
check "nothing is heard of two machines for 3 s: their ranks are not taken to hang" test $? -eq 0
as_undisturbed silent
check "there was no alarm" test -z "$(grep '"event":"fault"' "$work/silent/journal.jsonl" |
  tee /dev/stderr)"

start lost "${three[@]}"
reaches lost 60
down two
wait $pid
check "a machine is lost: the spare one takes its place" test $? -eq 0
as_undisturbed lost
check "the machine is named" grep -q '"kind":"host"' "$work/lost/journal.jsonl"
check "what it held was elsewhere too: the run goes on from memory" \
  grep -q "goes on from the snapshot" "$work/lost/journal.jsonl"
up two

start shrunk "${two[@]}" --inject slow:rank=0,step=70,factor=40,steps=200
reaches shrunk 60
down two
for _ in $(seq 200); do
  grep -q '"kind":"host"' "$work/shrunk/journal.jsonl" && break
  sleep 0.05
done
reaches shrunk $(($(steps_made "$work/shrunk") + 15))
check "what 4 ranks kept goes when 2 have kept something" \
  test -z "$(on one "compgen -G '/dev/shm/godwit-*of4-*'")"
check "and not what these have" test -n "$(on one "compgen -G '/dev/shm/godwit-*of2-*'")"
up two
wait $pid
check "a machine is lost and none to spare: the others go on, and it comes back" test $? -eq 0
as_undisturbed shrunk
check "with fewer ranks" grep -q 'with 2 ranks' "$work/shrunk/journal.jsonl"

start orphaned "${three[@]}"
reaches orphaned 60
kill -9 $pid
wait $pid 2>/dev/null
sleep 1
check "nothing outlives its supervisor" test -z "$(pgrep -f "rank --run=$work/orphaned ")"
for host in one two three; do # each sees its own processes, and not those of other tests
  check "not an agent on $host either" test -z "$(on $host pgrep -f "'agent --job'")"
done
train orphaned --resume "${three[@]}"
check "another one goes on" test $code -eq 0
check "from memory" grep -q "goes on from the snapshot" "$work/orphaned/journal.jsonl"
as_undisturbed orphaned

# refused NAME TEXT ARGUMENTS...: fails with one line that has TEXT
refused() {
  train "$1" "${@:3}"
  check "$1: refused" test $code -ne 0
  check "$1: says '$2'" has "$err" "$2"
  clean "$1"
}
refused absent "host nowhere" --ranks 4 --hosts one:2,nowhere:2 "${cluster[@]}"
refused twice "twice" --ranks 2 --hosts one,one "${cluster[@]}"
refused uneven "same number" --ranks 2 --hosts one:1,two:2 "${cluster[@]}"
refused small "do not take 4" --ranks 4 --hosts one:1,two:1 "${cluster[@]}"
# Another build on one machine, then other data.
cp "$godwit" "$work/other" && echo >>"$work/other"
on two "mount --bind $work/other $godwit"
refused mixed "another build" --ranks 4 --hosts one:2,two:2 "${cluster[@]}"
on two "umount $godwit"
write_text "$work/more.txt" 21000
run prepare --out "$work/more" "$work/more.txt"
on two "mount --bind $work/more $work/data"
refused elsewhere "was started with other data" --ranks 4 --hosts one:2,two:2 "${cluster[@]}"
on two "umount $work/data"
refused misplaced "the launcher has put rank" --ranks 4 --hosts one:2,two:2 \
  --launcher "${launcher//\{hosts\}/two:4}" --shell "$work/on {host}"
check "misplaced: no step was made" test "$(steps_made "$work/misplaced")" = 0
finish
