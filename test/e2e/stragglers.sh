#!/usr/bin/env bash
# A rank that is slow for a while, by each cause in turn: it is named with that cause, gets fewer
# lanes, gets them back when it is well again, and none of it changes a bit.
# stragglers.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

# Many steps after the slow ones: beside other work it takes longer until a rank is seen to be well.
sized model.layers=4 model.width=96
recipe=("${llama[@]}" "${size[@]}" train.steps=200 train.lanes=4
  train.checkpoint_every=50 train.log_every=0)
prepare_text 50000
train_undisturbed

# relieved NAME CAUSE RANK: what the journal must say of it
relieved() {
  python3 - "$work/$1/journal.jsonl" "$2" "$3" <<'END'
import json, sys
cause, rank = sys.argv[2], int(sys.argv[3])
said = [line for line in map(json.loads, open(sys.argv[1])) if line.get("rank") == rank]
slow = [line for line in said if line["event"] == "slow" and 30 < line["step"] <= 60]
assert slow and slow[0]["cause"] == cause, said
assert slow[0]["ratio"] >= 1.3 and slow[0]["lanes"] == 1, said
well = said[-1]
assert well["event"] == "well_again" and well["step"] >= 70 and well["lanes"] == 2, said
print(f"  slow ({cause}) at step {slow[0]['step']}, {slow[0]['ratio']:.2f} times, "
      f"one lane; well again at step {well['step']}")
END
}

# Up to three times: where other work makes ranks slow too, the journal has that.
while read -r cause rank; do
  for try in 1 2 3; do
    train $cause$try --ranks 2 --inject "slow:rank=$rank,step=30,factor=6,steps=40,how=$cause"
    same_result $cause$try
    check "$cause: no fault" lacks "$(cat "$work/$cause$try/journal.jsonl")" '"event":"fault"'
    relieved $cause$try $cause $rank && break
  done
  check "$cause: named, relieved, well again" relieved $cause$try $cause $rank >/dev/null
done <<END
compute 1
network 1
input 0
disk 0
END
train refused --ranks 2 --inject slow:rank=1,step=3,how=disk
check "a disk that nobody writes to" has "$err" "only rank 0 writes files"
finish
