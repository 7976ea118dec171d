#!/usr/bin/env bash
# kill -9 of a random rank of 4, at a random moment, 300 times in one run of a model of 1.2 million
# parameters: each death is in the journal within 0.1 s, training goes on within 2 s with no more
# steps made again than a snapshot is old, and the state is that of one process that nobody
# disturbed. killed_ranks.sh SOURCE BINARY [KILLS [SEED]]
set -uo pipefail
source "$(dirname "$0")/../e2e/checks.bash"
kills=${3:-300}
seed=${4:-1}
echo "seed $seed"

recipe=("${llama[@]}" model.layers=4 model.width=160 model.context=64 train.lanes=4
  train.steps=1000000 train.schedule.kind=constant train.checkpoint_every=200
  train.snapshot_every=10 train.log_every=0)
prepare_text 200000
start run --ranks 4
python3 - "$work/run" "$pid" "$kills" "$seed" <<'END'
import json, os, random, re, signal, subprocess, sys, time
run, supervisor, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
random.seed(seed)
def ranks():
    found = subprocess.run(["pgrep", "-f", f"rank --run={run} "], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]
def journal():
    with open(f"{run}/journal.jsonl") as file:
        return [json.loads(line) for line in file.read().splitlines() if line.endswith("}")]
def await_line(event, after):
    limit = time.monotonic() + 30
    while time.monotonic() < limit:
        for line in journal():
            if line["event"] == event and line["ns"] >= after: return line
        time.sleep(0.02)
    sys.exit(f"no '{event}' within 30 s")
while not (os.path.exists(f"{run}/metrics.jsonl") and os.path.getsize(f"{run}/metrics.jsonl")):
    time.sleep(0.1)
detected, recovered, again, alone = [], [], [], 0
for trial in range(kills):
    time.sleep(random.uniform(0, 1.5))  # also before it has quite recovered, and within a save
    pids = ranks()
    if not pids: continue
    victim, now = random.choice(pids), time.monotonic_ns()
    try: os.kill(victim, signal.SIGKILL)
    except ProcessLookupError: continue
    fault = await_line("fault", now)
    back = await_line("recovered", fault["ns"])
    if fault["kind"] != "death": sys.exit(f"seen as {fault}")
    line = [l for l in journal() if l["event"] == "supervisor" and "goes on" in l["what"]][-1]
    detected.append((fault["ns"] - now) * 1e-9)
    recovered.append((back["ns"] - now) * 1e-9)
    again.append(fault["step"] - line["step"])
    alone += "snapshot" in line["what"]
os.kill(supervisor, signal.SIGTERM)
def worst(name, values, unit):
    values.sort()
    print(f"{name}: median {values[len(values) // 2]:.3f}{unit}, worst {values[-1]:.3f}{unit}")
print(f"{len(detected)} of {kills} kills hit; {alone} times the run went on from a snapshot")
worst("seen after", detected, " s")
worst("a new step after", recovered, " s")
worst("steps made again", again, "")
slow = sum(d > 0.1 for d in detected), sum(r > 2 for r in recovered), sum(a > 11 for a in again)
print("beyond the limits:", *slow)
sys.exit(any(slow) or len(detected) < kills * 0.9)
END
check "every death is seen within 0.1 s, and training again within 2 s" test $? -eq 0
wait $pid
check "the run ends as asked" test $? -eq 0
steps=$(steps_made "$work/run")
train undisturbed --steps "$steps"
check "the undisturbed run of $steps steps ends" test $code -eq 0
check "the same state" test "$(state_hash "$work/run")" = "$(state_hash "$work/undisturbed")"
check "nothing is left in shared memory" nothing_left
finish
