#!/usr/bin/env bash
# 1,000 faults in one run, one in 20 steps of about 0.22 s on two processors: the state of the run
# that nobody disturbed, every fault seen and got over, and 90 % of the time useful. No op takes
# more than some hundredths of a second here, so that 0.4 s are enough to call it a hang. Two and a
# half hours, without AVX-512 five; what is there of the undisturbed run in FOLDER is gone on with.
# useful_chaos.sh SOURCE BINARY [FAULTS [SEED [FOLDER]]]
set -uo pipefail
source "$(dirname "$0")/../e2e/checks.bash"
faults=${3:-1000}
seed=${4:-1}
folder=${5:-$work}
echo "seed $seed"

recipe=("$source/recipes/demo.yaml" dtype=f32 model.context=288
  train.lanes=4 train.lane_batch=3
  train.validate_every=0 train.validate_tokens=4096 train.snapshot_every=1
  train.checkpoint_every=4 train.log_every=100 "train.steps=$((faults * 20))")
prepare_text 200000
run chaos "${recipe[@]}" --data "$work/data" --run "$folder/useful" --ranks 4 \
  --hang-after 0.4 --faults "$faults" --seed "$seed" --json
cp "$work/out" "$work/report.json"
check "chaos succeeds" test $code -eq 0
check "every fault was got over, and the time was useful" python3 - "$work/report.json" \
  "$faults" <<'END'
import json, sys
report, faults = json.load(open(sys.argv[1])), int(sys.argv[2])
print(f"{faults} faults, {report['steps']} steps, {report['steps_lost']} made again, "
      f"{report['seconds']:.0f} s, useful time {report['useful_time']:.3f}")
assert report["hash"] == report["undisturbed_hash"]
assert report["injected"] == report["detected"] == report["recovered"] == faults
assert report["unexplained"] == 0 and report["useful_time"] >= 0.9
END
check "nothing is left in shared memory" nothing_left
finish
