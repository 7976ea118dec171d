#!/usr/bin/env bash
# A rank that is slow for a while, by each cause in turn: it is named with that cause, gets fewer
# lanes, gets them back when it is well again, and none of it changes a bit.
# stragglers.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

recipe=("${llama[@]}" model.layers=4 model.width=96 train.steps=110 train.lanes=4
  train.checkpoint_every=50 train.log_every=0)
prepare_text 50000
train_undisturbed

# relieved NAME CAUSE RANK: what the journal must say of it
relieved() {
  python3 - "$work/$1/journal.jsonl" "$2" "$3" <<'END'
import json, sys
journal = [json.loads(line) for line in open(sys.argv[1])]
cause, rank = sys.argv[2], int(sys.argv[3])
def of(event): return [line for line in journal if line["event"] == event and line["rank"] == rank]
slow = [line for line in of("slow") if line["cause"] == cause]
assert slow, of("slow")
slow = slow[0]
well = [line for line in of("well_again") if line["step"] > slow["step"]]
assert slow["ratio"] >= 1.3 and slow["lanes"] < 2, slow
assert 30 + 15 <= slow["step"] <= 30 + 25, slow
assert well and well[0]["lanes"] == 2 and well[0]["step"] >= 30 + 40, well
print(f"  slow ({cause}) at step {slow['step']}, {slow['ratio']:.2f} times, "
      f"{slow['lanes']} lane; well again at step {well[0]['step']}")
END
}

while read -r cause rank; do
  train $cause --ranks 2 --inject "slow:rank=$rank,step=30,factor=3,steps=40,how=$cause"
  same_result $cause
  check "$cause: named, relieved, well again" relieved $cause $cause $rank
  check "$cause: no fault" lacks "$(cat "$work/$cause/journal.jsonl")" '"event":"fault"'
done <<END
compute 1
network 1
input 0
disk 0
END
train refused --ranks 2 --inject slow:rank=1,step=3,how=disk
check "a disk that nobody writes to" has "$err" "only rank 0 writes files"
finish
