#!/usr/bin/env bash
# What `godwit train --print-slurm` prints, as jobs of a Slurm of our own with two nodes (pretended,
# by namespaces): warned, cancelled and on several nodes, a run ends in the state of the one that
# nobody disturbed. Needs root. slurm.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

skip() {
  echo "skipped: $1"
  exit 77
}
! sanitized || skip "ranks.sh has the sanitizers"
[ "$(id -u)" -eq 0 ] || skip "slurmd has to be started by root"
unshare --mount --uts true 2>/dev/null || skip "no namespaces to pretend nodes with"
PATH=$PATH:/usr/sbin
for command in munged slurmctld slurmd sbatch salloc srun scancel squeue scontrol; do
  command -v $command >/dev/null || skip "no $command (Debian: slurmctld slurmd slurm-client munge)"
done

# ---- a cluster ----

export SLURM_CONF=$work/slurm.conf # its programs look here, and pass it on: so we find ours

# Every process that has our cluster in its environment, but for this script's.
ours() {
  local file
  for file in $(grep -lsz "^SLURM_CONF=$SLURM_CONF\$" /proc/[0-9]*/environ); do
    file=${file#/proc/}
    echo "${file%/environ}"
  done
}
take_down() {
  scancel --user=root 2>/dev/null
  for _ in $(seq 50); do
    [ -n "$(squeue --noheader 2>/dev/null)" ] || break
    sleep 0.1
  done
  local processes
  processes=$(ours)
  [ -z "$processes" ] || kill -9 $processes 2>/dev/null
  umount --lazy "$work"/n{1,2}-shm 2>/dev/null
  leave
}
trap take_down EXIT

write_configuration() {
  local ports host
  host=$(hostname -s)
  ports=($(python3 -c '
import socket
sockets = [socket.socket() for _ in range(3)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))'))
  cat >"$SLURM_CONF" <<END_OF_FILE
ClusterName=godwit
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=${ports[0]}
SlurmctldPidFile=$work/slurmctld.pid
SlurmctldLogFile=$work/slurmctld.log
StateSaveLocation=$work/state
SlurmUser=root
SlurmdUser=root
SlurmdPidFile=$work/%n.pid
SlurmdLogFile=$work/%n.log
SlurmdSpoolDir=$work/%n
TmpFS=$work/%n-tmp
SlurmdParameters=config_overrides
# cred_expire: so many seconds pass until a job that was requeued runs again
AuthInfo=socket=$work/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,sched_interval=1
KillWait=20
NodeName=n1 NodeHostname=n1 NodeAddr=127.0.0.1 Port=${ports[1]} CPUs=2
NodeName=n2 NodeHostname=n2 NodeAddr=127.0.0.1 Port=${ports[2]} CPUs=2
PartitionName=all Nodes=ALL Default=YES
END_OF_FILE
}

nodes_are_up() { [ "$(sinfo --noheader --format=%D --states=idle 2>/dev/null)" = 2 ]; }
# wait_for CONDITION...: for two minutes, and so that all is over before the test's own time is
wait_for() {
  local end=$((SECONDS + 120))
  until "$@"; do
    [ $SECONDS -lt $end ] && [ $SECONDS -lt 500 ] || return 1
    sleep 0.1
  done
}
bring_up() {
  mkdir "$work/state" "$work"/n{1,2} "$work"/n{1,2}-tmp
  write_configuration
  head -c 128 /dev/urandom >"$work/munge.key"
  chmod 600 "$work/munge.key"
  munged --force --num-threads=1 --key-file="$work/munge.key" --socket="$work/munge.socket" \
    --pid-file="$work/munge.pid" --seed-file="$work/munge.seed" --log-file="$work/munge.log" \
    2>/dev/null # says that the folder is not open to all
  slurmctld
  for node in n1 n2; do # with a name and shared memory of their own, as machines have
    mkdir "$work/$node-shm"
    mount -t tmpfs none "$work/$node-shm"
    unshare --mount --uts --propagation private bash -c "hostname $node
      mount --bind $work/$node-shm /dev/shm && exec slurmd -N $node"
  done
  wait_for nodes_are_up && return
  tail -n 5 "$work"/*.log
  return 1
}

# ---- jobs ----

# job NAME ARGUMENTS...: the script of the run $work/NAME; options of sbatch are in $options
job() {
  local name=$1
  shift
  train "$name" --ranks 2 --threads 1 "$@" --print-slurm
  check "$name: a script is printed" test $code -eq 0
  cp "$work/out" "$work/$name.sh"
  id=$(sbatch --parsable --chdir="$work" --output="$work/$name.log" ${options[@]+"${options[@]}"} \
    "$work/$name.sh")
  check "$name: it is taken ($id)" test -n "$id"
}
shown() { scontrol --oneliner show job "$id" | grep -o "$1=[A-Z0-9_]*" | cut -d= -f2; }
state() { shown JobState; }
turns() { shown Restarts; } # but for the first
is() { [ "$(state)" = "$1" ]; }
has_ended() { [[ "$(state)" =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL)$ ]]; }
steps_made() { grep -cs '' "$work/$1/metrics.jsonl" || true; }
has_made() { [ "$(steps_made "$1")" -ge "$2" ] 2>/dev/null; }

# ends_well NAME: as the run that nobody disturbed
ends_well() {
  wait_for has_ended
  err=$(cat "$work/$1.log" 2>/dev/null) out=$(state)
  check "$1: the job ends" is COMPLETED
  check "$1: the same state" test "$(state_hash "$work/$1")" = "$expected"
  check "$1: the same ledger" cmp -s "$work/$1/ledger.bin" "$work/undisturbed/ledger.bin"
}

stops() { grep -c '"event":"stop"' "$work/$1/journal.jsonl"; }

recipe=("${llama[@]}" train.steps=4000 train.checkpoint_every=100000 train.lanes=4)
prepare_text 20000
train_undisturbed
echo "undisturbed: $expected"
bring_up || {
  check "a Slurm of our own is up" false
  finish
}

# The ranks are the supervisor's own; the warning comes as it does before the end of the time.
job warned
wait_for has_made warned 200
scancel --signal=USR1 --batch "$id"
ends_well warned
check "warned: it was requeued" test "$(turns)" -eq 1
check "warned: it had stopped, with a checkpoint" has "$err" "stopped at step"
check "warned: once" test "$(stops warned)" -eq 1

# All processes get a SIGTERM, and the job is left alone after that.
job cancelled
wait_for has_made cancelled 200
scancel "$id"
wait_for has_ended
err=$(cat "$work/cancelled.log") out=$(state)
check "cancelled: it stays so" is CANCELLED
check "cancelled: it was not requeued" test "$(turns)" -eq 0
check "cancelled: it had stopped, with a checkpoint" has "$err" "stopped at step"
check "cancelled: no rank died" lacks "$err" "SIGTERM"
job cancelled
ends_well cancelled

library=$("$godwit" doctor 2>/dev/null | grep -o "Open MPI" | head -1)
if [ -n "$library" ]; then
  export ASAN_OPTIONS=detect_leaks=0 # MPI libraries keep memory to the end
  job pmix --launcher "srun --mpi=pmix -n {ranks}"
  ends_well pmix

  options=(--nodes=2)
  export OMPI_MCA_btl_tcp_if_include=lo # the network of these nodes
  job nodes
  wait_for has_made nodes 200
  scancel --signal=USR1 --batch "$id"
  ends_well nodes
  check "nodes: it was requeued" test "$(turns)" -eq 1
  check "nodes: it had stopped, with a checkpoint" has "$err" "stopped at step"

  err=$(salloc --quiet --nodes=2 --ntasks=2 "$godwit" train "${recipe[@]}" train.steps=200 \
    --data "$work/data" --run "$work/inside" --ranks 2 --threads 1 2>&1)
  code=$? out=""
  check "inside an allocation, without a script" test $code -eq 0
  check "it ends" has "$err" "done at step 200"
  check "its nodes are found" has "$err" "the nodes of this Slurm job: n1:1,n2:1"
else
  echo "built without Open MPI: srun starts no ranks"
fi
check "nothing is left in shared memory" test -z "$(ls "$work"/n{1,2}-shm | grep godwit)"
finish
