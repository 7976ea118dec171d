#!/usr/bin/env bash
# Every class of injected fault, then a random mix of them: each must be seen for what it is and
# whose it is, and the run must end in the state of one that nobody disturbed.
# chaos.sh SOURCE BINARY [FAULTS [SEED]]
set -uo pipefail
source "$(dirname "$0")/checks.bash"
faults=${3:-20}
seed=${4:-1}
echo "seed $seed"

recipe=("${llama[@]}" train.steps=24 train.checkpoint_every=5 train.lanes=4)
prepare_text 20000
train_undisturbed

# seen NAME EVENT RANK: that the fault was seen as EVENT, of RANK unless that is -, and nothing else
seen() {
  python3 - "$work/$1" "$2" "$3" <<'END'
import json, sys
run, event, rank = sys.argv[1:]
def lines(name): return [json.loads(line) for line in open(f"{run}/{name}.jsonl")]
fault, = lines("injected")
after = [line for line in lines("journal") if line["ns"] >= fault["ns"]]
faults = [line for line in after if line["event"] == "fault"]
def happened(name): return [line for line in after if line["event"] == name]
if event == "none":
    ok = not faults
elif event == "unsaved":
    ok = not faults and happened("checkpoint_failed") and happened("checkpoint")
elif event == "node":
    kinds = [fault["kind"] for fault in faults]  # its snapshots are gone, those of the last steps
    ok = kinds[:1] == ["death"] and set(kinds[1:]) <= {"copy"}
    ok = ok and happened("recovered")
elif event == "older":
    ok = len(faults) == 1 and happened("resume")[0]["step"] < fault["step"]
    ok = ok and happened("recovered")
else:
    ok = len(faults) == 1 and faults[0]["kind"] == event and happened("recovered")
    ok = ok and (rank == "-" or faults[0]["rank"] == int(rank) == fault["rank"])
    if event == "lie":
        ok = ok and faults[0]["step"] == fault["step"] - 1  # in the step itself
    if ok: print(f"  seen after {(faults[0]['ns'] - fault['ns']) * 1e-9:.3f} s, "
                 f"recovered after {(happened('recovered')[0]['ns'] - fault['ns']) * 1e-9:.3f} s")
sys.exit(0 if ok else f"{fault} was seen as {after}")
END
}

# suffers SPEC EVENT RANK ARGUMENTS...; without snapshots where a checkpoint is damaged
number=0
suffers() {
  number=$((number + 1))
  local name=run$number
  local more=("${@:4}")
  [ "$2" = older ] && more+=(train.snapshot_every=0)
  echo "$1"
  train $name --ranks 3 --inject "$1" "${more[@]}"
  if [ "$2" = takeover ]; then
    check "$1: the supervisor is killed" test $code -eq 137
    train $name --ranks 3 --inject "$1" --resume
  fi
  check "$1: the run ends" test $code -eq 0
  same_result $name
  check "$1: seen as $2 of $3" seen $name "$2" "$3"
}

while read -r spec event rank; do
  suffers "$spec" "$event" "$rank"
done <<'END'
kill:rank=1,step=12 death 1
kill:rank=0,step=13,op=9 death 0
exit:rank=2,step=12 death 2
exit:rank=1,step=12,op=20 death 1
stop:rank=0,step=12 hang 0
spin:rank=2,step=12,op=30 hang 2
lock:rank=1,step=12,op=0 hang 1
slow:rank=1,step=12,factor=20,steps=5 none -
flip:rank=0,step=12 lie 0
flip:rank=1,step=12,tensor=m,bit=0 lie 1
flip:rank=2,step=12,tensor=v,bit=31 lie 2
flip:rank=1,step=12,bit=30 lie 1
flip:rank=0,step=12,bit=3,how=every32 lie 0
gradient:rank=1,step=12,bit=0 lie 1
gradient:rank=2,step=13 lie 2
payload:rank=0,step=12 lie 0
payload:rank=1,step=12,how=lost lie 1
payload:rank=0,step=12,how=twice lie 0
payload:rank=1,step=12,how=swapped lie 1
payload:rank=2,step=12,how=cut lie 2
reduce:rank=2,step=12 lie 2
reduce:rank=1,step=12,how=twice lie 1
reduce:rank=0,step=12,how=alone lie 0
reduce:rank=2,step=12,how=tail lie 2
reduce:rank=1,step=12,how=half lie 1
reduce-all:step=12 lie -
reduce-all:step=12,how=half lie -
nan:rank=1,step=12 lie 1
nan:rank=2,step=12,how=inf lie 2
torn:step=12 older -
byte:step=12 older -
full:step=4 unsaved -
full:step=4,how=error unsaved -
full:step=4,how=readonly unsaved -
supervisor:step=12 takeover -
node:rank=1,step=12 node -
END
train patient --ranks 2 --hang-after 2.5 --inject spin:rank=1,step=12
check "a hang is one after as long as was said" \
  grep -q "hangs in step 12.*: no progress for [23]\.[0-9] s" "$work/patient/journal.jsonl"
same_result patient
check "a hang names the op" grep -q 'rank 2 .*hangs in step 12, op 30 ([a-z_]*)' \
  "$work/run6/journal.jsonl"
find_launcher # between nodes there is MPI
while read -r spec event rank; do
  [ -z "$launcher" ] ||
    suffers "$spec" "$event" "$rank" --launcher "$launcher" --ranks-per-node 1
done <<END
copy:rank=1,step=12 lie 1
END
for class in $(sed -n 's/^  X([A-Z_]*, "\([a-z-]*\)",.*/\1/p' "$source/include/godwit/faults.h"); do
  check "$class was tried" grep -q "^$class:" "$0"
done

# A random mix, one fault in 30 steps of some milliseconds: a checkpoint that a fault is to damage
# must be saved before the next fault comes.
sized model.width=64 model.context=64
mix=("${recipe[@]}" "${size[@]}" "train.steps=$((faults * 30))"
  --data "$work/data" --run "$work/mix" --ranks 4)
run chaos "${mix[@]}" --faults "$faults" --seed "$seed" --json
cp "$work/out" "$work/mix.json"
check "chaos succeeds" test $code -eq 0
check "chaos --json says all of it" python3 - "$work/mix.json" "$faults" <<'END'
import json, sys
report, faults = json.load(open(sys.argv[1])), int(sys.argv[2])
assert report["hash"] == report["undisturbed_hash"]
counts = [report[key] for key in ("injected", "detected", "recovered")]
assert counts == [faults] * 3, report
assert report["unexplained"] == 0 and 0 < report["useful_time"] <= 1
for key in "injected", "detected", "recovered", "steps_lost":
    assert report[key] == sum(one[key] for one in report["classes"].values()), key
for name, one in report["classes"].items():
    assert 0 < one["detection_seconds_median"] <= one["detection_seconds_worst"], name
    print(f"  {name}: {one['injected']} times, seen after {one['detection_seconds_worst']:.3f} s, "
          f"recovered {one['recovery_seconds_worst']:.3f} s later, at worst")
print(f"  useful time {report['useful_time']:.3f}")
END
run chaos "${mix[@]}" --faults 2
check "a run that is there is not run again" test $code -eq 1
check "a run that is there: said so" has "$err" "is there already"
rm -r "$work/mix"
run chaos "${mix[@]}" train.checkpoint_every=7 --faults 2
check "the undisturbed run serves again, with other faults" test $code -eq 0
check "and for what is asked now" grep -q "checkpoint_every: 7$" "$work/mix/recipe.yaml"
run chaos "${recipe[@]}" --data "$work/data" --run "$work/dense" --ranks 2 --faults 20
check "too many faults are refused" test $code -eq 2
check "too many faults: one error line" one_error
check "no process is left" test -z "$(pgrep -f "run=$work/")"

run train "${recipe[@]}" --data "$work/data" --run "$work/refused" --inject kill:rank=0,step=1
check "without ranks there is nobody to hurt" test $code -eq 2
run train "${recipe[@]}" --data "$work/data" --run "$work/refused" --hang-after 2
check "without ranks nobody watches" has "$err" "--hang-after and --inject go with --ranks"
train refused --ranks 2 --hang-after 0
check "a hang after nothing" has "$err" "hang-after"
train refused --ranks 2 --inject kill:rank=2,step=1
check "a rank that is not there" has "$err" "ranks are 0 to 1"
train refused --ranks 2 --inject kil:rank=1,step=1
check "an unknown class" test $code -eq 2
check "an unknown class: one error line" one_error
check "an unknown class: what was meant" has "$err" "did you mean 'kill'"
finish
