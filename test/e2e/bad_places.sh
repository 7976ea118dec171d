#!/usr/bin/env bash
# Ranks where a run cannot be: a folder that cannot be written to, a disk that is full, too little
# shared memory, and what others have left there. One clear line, nothing lost, no process left.
# All in a mount namespace of its own; where that is not allowed the script skips.
# bad_places.sh SOURCE BINARY
set -uo pipefail
if [ "${3:-}" != inside ]; then
  if ! unshare -rm mount -t tmpfs none /dev/shm 2>/dev/null; then
    echo "skipped: a tmpfs cannot be mounted here (it takes user namespaces, or root)"
    exit 77
  fi
  exec unshare -rm bash "$0" "$1" "$2" inside
fi
mount -t tmpfs none /dev/shm
source "$(dirname "$0")/checks.bash"

steps=60
recipe=("${llama[@]}" train.steps=$steps train.checkpoint_every=10 train.snapshot_every=5
  train.lanes=4)
prepare_text 20000
train_undisturbed

no_process() { test -z "$(pgrep -f "rank --run=$work/$1")"; }
# refused NAME TEXT: `train` has failed with one error line that has TEXT, and nothing is left
refused() {
  check "$1: exit code 1" test $code -eq 1
  check "$1: says '$2'" has "$(grep '^error: ' "$work/err")" "$2"
  check "$1: in one line" test "$(grep -c '^error: ' "$work/err")" -eq 1
  check "$1: no process is left" no_process "$1"
  # but for snapshots, which are all that there is of steps that could not be saved
  check "$1: no shared memory is left" test -z "$(areas | grep -v -- -snap-)"
}
trap 'umount "$work/disk"; leave' EXIT

mkdir "$work/disk"
mount -t tmpfs -o size=8m none "$work/disk"
mount -o remount,ro "$work/disk"
train disk/readonly --ranks 2
refused disk/readonly "ead-only"
mount -o remount,rw "$work/disk"
train disk/readonly --ranks 2
check "where one can write it goes on" test "$(state_hash "$work/disk/readonly")" = "$expected"
rm -r "$work/disk/readonly"

# Room for one checkpoint and a half.
size=$(du -s --block-size=1k "$work/undisturbed/checkpoints/step-00000060" | cut -f 1)
mount -o "remount,size=$((size * 3 / 2 + 100))k" "$work/disk"
train disk/full --ranks 2
refused disk/full "no space left"
check "what is not saved is said" has "$err" "the older one is kept"
check "the run went on all the same" test "$(steps_made "$work/disk/full")" -eq $steps
mount -o remount,size=8m "$work/disk"
train disk/full --ranks 2 --resume
check "with room it ends" test $code -eq 0
check "in the same state" test "$(state_hash "$work/disk/full")" = "$expected"

mount -o remount,size=120k /dev/shm
train small --ranks 2
refused small "shared memory"
check "it is not tried again and again" test "$(grep -c 'goes on from' "$work/err")" -le 1
mount -o remount,size=100m /dev/shm
train small --ranks 2 --resume
check "with more it goes on" test "$(state_hash "$work/small")" = "$expected"

# What a supervisor and its ranks leave when all are killed at once, and worse.
reaches() {
  for _ in $(seq 600); do
    [ "$(steps_made "$work/$1")" -ge "$2" ] && return 0
    sleep 0.02
  done
  return 1
}
for damage in none flipped cut empty; do
  name=stale_$damage
  start $name --ranks 3 --inject slow:rank=0,step=20,factor=20,steps=60
  reaches $name 25
  kill -9 $pid $(pgrep -f "rank --run=$work/$name")
  wait $pid 2>/dev/null
  sleep 0.2
  check "$name: something is left" test -n "$(areas)"
  for area in $(areas); do
    case $damage in
    flipped)
      flip "/dev/shm/$area" 20
      [ "$(stat -c %s "/dev/shm/$area")" -le 4200 ] || flip "/dev/shm/$area" 4200
      ;;
    cut) truncate -s 100 "/dev/shm/$area" ;;
    empty) truncate -s 0 "/dev/shm/$area" ;;
    esac
  done
  train $name --ranks 3 --resume
  check "$name: the run goes on" test $code -eq 0
  check "$name: to the same state" test "$(state_hash "$work/$name")" = "$expected"
  check "$name: and takes away what was left" test -z "$(areas)"
done
finish
