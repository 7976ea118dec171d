#!/usr/bin/env bash
# Runs seen from outside: every state is told from the files alone, what is broken is listed as
# such, Prometheus gets its format. runs.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

recipe=("${llama[@]}" train.validate_every=20 train.checkpoint_every=20)
prepare_text 20000
mkdir "$work/runs"
train runs/whole
train runs/part --steps 25
train runs/other train.optimizer.lr=1e-3
check "three runs are made" test $code -eq 0

# One that is at work: a rank that is slowed down, so that it can be met.
start runs/slow --ranks 2 --inject slow:rank=0,step=4,factor=30,steps=46
for _ in $(seq 200); do
  [ "$(steps_made "$work/runs/slow")" -ge 5 ] && break
  sleep 0.05
done
state() { "$godwit" watch "$work/runs/$1" --once | cut -d' ' -f1; }
check "a run at work is running" test "$(state slow)" = running
kill -STOP $(pgrep -f "(rank|train) .*--run=?.?$work/runs/slow ") $pid
touch -d "11 minutes ago" "$work"/runs/slow/*
check "one that writes nothing is stalled" test "$(state slow)" = stalled
kill -KILL $(pgrep -f "rank --run=$work/runs/slow ") $pid
wait $pid 2>/dev/null
check "one that was killed has crashed" test "$(state slow)" = crashed
check "one that is done has finished" test "$(state whole)" = finished
check "one that ended before is interrupted" test "$(state part)" = interrupted
train runs/slow --resume --ranks 2
check "a crashed one can be gone on with" test "$(state slow)" = finished

# watch tells lines until the end.
rm -r "$work/runs/slow"
start runs/slow --ranks 2 --inject slow:rank=0,step=4,factor=30,steps=46
for _ in $(seq 200); do
  [ "$(steps_made "$work/runs/slow")" -ge 5 ] && break
  sleep 0.05
done
timeout 60 "$godwit" watch "$work/runs/slow" --interval 1 --prometheus "$work/godwit.prom" \
  >"$work/watched"
check "watch ends with the run" test $? -eq 0
wait $pid
check "it has told of the run at work" grep -q "^running .*step [0-9]*/50 .*tokens/s.* left" \
  "$work/watched"
check "and of its end" grep -q "^finished .*step 50/50" <(tail -n 1 "$work/watched")
check "Prometheus has the end too" grep -q '^godwit_state{run="slow",state="finished"} 1$' \
  "$work/godwit.prom"
check "and nothing lies beside it" test -z "$(compgen -G "$work/godwit.prom?*")"

run watch "$work/runs/part" --once --prometheus -
check "numbers for Prometheus are printed" test $code -eq 0
check "in its format" python3 - "$work/out" "$work/runs/part" "$source/docs/formats.md" <<'END'
import json, re, sys
helped, typed, samples = set(), {}, {}
text = open(sys.argv[1]).read()
assert text.endswith("\n")
for line in text.splitlines():
    if line.startswith("# HELP "):
        helped.add(line.split()[2])
    elif line.startswith("# TYPE "):
        typed[line.split()[2]] = line.split()[3]
    else:
        pattern = r'(\w+)\{(run="part"(?:,state="\w+")?)\} (\S+)'
        name, labels, value = re.fullmatch(pattern, line).groups()
        assert name in helped and name in typed
        assert (typed[name] == "counter") == name.endswith("_total")
        assert (name, labels) not in samples
        samples[name, labels] = float(value)
last = json.loads(open(f"{sys.argv[2]}/metrics.jsonl").readlines()[-1])
assert samples["godwit_loss", 'run="part"'] == last["loss"]
assert samples["godwit_step", 'run="part"'] == last["step"] == 25
assert samples["godwit_state", 'run="part",state="interrupted"'] == 1
assert typed.keys() == set(re.findall(r"`(godwit_\w+)", open(sys.argv[3]).read()))
END

# Broken folders do not hide the others.
mkdir "$work/runs/empty"
cp -r "$work/runs/whole" "$work/runs/torn"
printf '{"step": 51, "lo' >>"$work/runs/torn/metrics.jsonl"
cp -r "$work/runs/whole" "$work/runs/damaged"
echo "no JSON" >>"$work/runs/damaged/metrics.jsonl"
cp -r "$work/runs/whole" "$work/runs/keyless"
echo '{"loss": 1}' >>"$work/runs/keyless/metrics.jsonl"
cp -r "$work/runs/whole" "$work/runs/journal"
sed -i '2s/.*/[1]/' "$work/runs/journal/journal.jsonl"
run runs "$work/runs/"
check "all runs are listed" test $code -eq 0
listed() { grep -qE "^$work/runs/$1  +$2" "$work/out"; }
check "a finished run" listed whole "finished +50/50"
check "an interrupted run" listed part "interrupted +25/50"
check "a last line that is being written does no harm" listed torn "finished +50/50"
check "an empty folder is broken" listed empty "broken .*no recipe.yaml"
check "damaged metrics are named" listed damaged "broken .*damaged/metrics.jsonl"
check "a missing key is named" listed keyless "broken .*'step' is missing"
check "a damaged journal is named with the line" listed journal "broken .*journal.jsonl:2:"
run runs "$work/runs" --sort loss --json
check "sorted by loss, as JSON" python3 - "$work/out" <<'END'
import json, sys
runs = json.load(open(sys.argv[1]))["runs"]
losses = [run["loss"] for run in runs if run["state"] != "broken"]
assert losses == sorted(losses) and len(losses) == 5
assert [run["state"] for run in runs[5:]] == ["broken"] * 4
END
run runs "$work/nowhere"
check "a folder that is not there is an error" one_error
run runs "$work/runs/whole"
check "a run itself can be named" listed whole finished

run runs --compare "$work/runs/whole" "$work/runs/other"
check "two runs are compared" test $code -eq 0
check "what differs in the recipes" grep -qE '^train.optimizer.lr +0.003 +0.001$' "$work/out"
check "and nothing else" lacks "$out" "train.steps"
check "a plot" test "$(grep -cE '^ +[0-9.]+ \|' "$work/out")" -eq 20
check "a table up to the last common step" grep -qE '^step 50 .* [+-][0-9.]+$' "$work/out"
run runs --compare "$work/runs/whole" "$work/runs/whole"
check "a run is as itself" has "$out" "the recipes are the same"
check "without a difference" lacks "$out" "+0.1"
run runs --compare "$work/runs/whole" "$work/runs/keyless"
check "a damaged run is named" has "$err" "keyless/metrics.jsonl: key 'step' is missing"
run runs --compare "$work/runs/whole"
check "one run cannot be compared" test $code -eq 2
run watch "$work/runs/empty"
check "what is no run is not watched" one_error
finish
