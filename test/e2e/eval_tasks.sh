#!/usr/bin/env bash
# Tasks as a user types them, over a small trained model: every layout, metrics that follow from the
# items, files that are wrong. eval_tasks.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"
cd "$work" || exit 1

write_text text.txt 60000
run prepare --out data --tokenizer bpe --vocab-size 300 text.txt
check "prepare succeeds" test $code -eq 0
run train "${llama[@]}" --data data --run trained model.context=256 --steps 20
check "train succeeds" test $code -eq 0

# What the published files look like, 12 items each, in words that the model knows.
python3 - "$source/../shared/data" <<'END'
import bz2, json, os, random, sys
random.seed(2)
words = "the bird flies over sea and sand where wind meets water on a long quiet night".split()
def text(n): return " ".join(random.choices(words, k=n))
def write(name, lines):
    if os.path.dirname(name): os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "w") as file:
        for line in lines: file.write(json.dumps(line) + "\n")
items = range(12)
write("hellaswag_val.jsonl", [{"activity_label": text(1), "ctx_a": text(9) + ".", "ctx_b": text(2),
    "endings": [text(n) + "." for n in (3, 4, 5, 6)], "label": i % 4} for i in items])
write("lambada/lambada_test.jsonl", [{"text": text(30)} for i in items])
write("blimp/one.jsonl", [{"sentence_good": text(5), "sentence_bad": text(5)} for i in items[:6]])
write("blimp/two.jsonl", [{"sentence_good": text(5), "sentence_bad": text(5)} for i in items[6:]])
write("ARC-Easy-Test.jsonl", [{"question": {"stem": text(6) + "?", "choices": [{"text": text(n),
    "label": l} for n, l in zip((1, 2, 2), "ABC")]}, "answerKey": "ABC"[i % 3]} for i in items])
write("piqa/valid.jsonl", [{"goal": text(5), "sol1": text(4), "sol2": text(5)} for i in items])
with open("piqa/valid-labels.lst", "w") as file: file.write("".join(f"{i % 2}\n" for i in items))
write("dev.jsonl", [{"sentence": text(3) + " _ " + text(4) + ".", "option1": text(1),
    "option2": text(1), "answer": str(1 + i % 2)} for i in items])
write("own.jsonl", [{"context": text(400 if i == 5 else 4) if i % 3 else "",
    "choices": [text(2), text(3) + " – é"], "answer": i % 2} for i in items])
real = sys.argv[1]
if os.path.exists(real + "/lambada/lambada_openai.jsonl"):
    with open(real + "/lambada/lambada_openai.jsonl") as file:
        lines = [json.loads(line) for line in file]
    write("real/lambada_test.jsonl",
          [{"text": line["context"] + " " + line["continuation"]} for line in lines])
if os.path.exists(real + "/hellaswag/hellaswag_val_full.txt.bz2"):
    lines = bz2.open(real + "/hellaswag/hellaswag_val_full.txt.bz2", "rt").read().split("\n")
    write("real/hellaswag_val.jsonl", [{"activity_label": lines[i].partition(": ")[0],
        "ctx_a": lines[i].partition(": ")[2], "label": lines[i + 1], "endings": lines[i + 2:i + 6]}
        for i in range(0, len(lines) - 5, 6)])
END

# follows ITEMS: whether the metrics in $out are those of the items' log-likelihoods
follows() {
  python3 - "$out" "$1" <<'END'
import json, math, sys
result = json.loads(sys.argv[1])
lines = [json.loads(line) for line in open(sys.argv[2])]
def mean(values): return sum(values) / len(values)
def error(values):
    m = mean(values)
    return math.sqrt(sum((v - m) ** 2 for v in values) / (len(values) - 1)) / math.sqrt(len(values))
def near(a, b): return abs(a - b) <= 1e-12 * abs(b)
def equal(name, values):
    return near(result[name], mean(values)) and near(result[name + "_stderr"], error(values))
count = result["items"]
good = count == len(lines) and [line["index"] for line in lines] == list(range(count))
good = good and equal("acc", [line["correct"] for line in lines])
good = good and ("acc_norm" in result) == ("correct_norm" in lines[0])
if "acc_norm" in result: good = good and equal("acc_norm", [line["correct_norm"] for line in lines])
for line in lines:
    values = line["log_likelihoods"]
    good = good and max(values) < 0 and line.get("chosen", 0) == values.index(max(values))
if "perplexity" in result:
    values = [line["log_likelihoods"][0] for line in lines]
    good = good and near(result["perplexity"], math.exp(-mean(values)))
    good = good and near(result["perplexity_stderr"], math.exp(-mean(values)) * error(values))
sys.exit(not good)
END
}

# task NAME DATA KEYS: 12 items, with those metrics
task() {
  local data=()
  [ -z "$2" ] || data=(--task-data "$2")
  run eval trained --task "$1" "${data[@]}" --json --items items.jsonl --threads 2
  check "$1 succeeds" test $code -eq 0
  check "$1: its metrics" test "$3" = "$(python3 -c '
import json, sys
print(*[key for key in json.loads(sys.argv[1]) if key.startswith(("acc", "perp"))])' "$out")"
  check "$1: 12 items" has "$out" '"items":12,'
  check "$1: metrics follow from the items" follows items.jsonl
  local first=$out
  run eval trained --task "$1" "${data[@]}" --json --items again.jsonl --threads 1 --isa generic
  check "$1: the same with other kernels" test "$out" = "$first"
  check "$1: to the last bit of every item" cmp -s items.jsonl again.jsonl
}
norm="acc acc_stderr acc_norm acc_norm_stderr"
task hellaswag . "$norm"
task lambada lambada "acc acc_stderr perplexity perplexity_stderr"
task blimp blimp "acc acc_stderr"
task arc ARC-Easy-Test.jsonl "$norm"
task piqa piqa/valid.jsonl "$norm"
task winogrande . "acc acc_stderr"
task own.jsonl "" "$norm"

run eval trained/checkpoints/step-00000020 --task own.jsonl --limit 5
check "a checkpoint and a limit" has "$out" "own.jsonl, 5 items"
check "a table with its errors" test "$(grep -c 'acc.* +- 0\.' out)" -eq 2
run eval trained --task own.jsonl --limit 1 --json
check "one item has no standard error" has "$out" '"acc_stderr":null'

for name in lambada hellaswag; do
  if [ -d real ] && ls real | grep -q "$name"; then
    run eval trained --task $name --task-data real --limit 20 --json --items items.jsonl
    check "the published $name" test $code -eq 0
    check "the published $name: metrics follow from the items" follows items.jsonl
  else
    echo "skipped: no ../shared/data/$name"
  fi
done

# ---- what is wrong ----

# refused CODE PART ARGUMENTS...: one error line that has PART
refused() {
  local wanted=$1 part=$2
  shift 2
  run eval trained "$@"
  check "exit code $wanted: $*" test $code -eq "$wanted"
  check "one error line: $*" test "$(grep -c '^error: ' err)" -eq 1
  check "names '$part': $*" has "$(grep '^error: ' err)" "$part"
  check "no result: $*" test -z "$out"
}
refused 2 "did you mean 'hellaswag'?" --task hellaswog --task-data .
refused 2 "needs --task-data PATH" --task piqa
refused 2 "give one of --data DIR, --text FILE and --task NAME" --task piqa --text text.txt
refused 2 "--task-data, --limit and --items belong to --task" --text text.txt --limit 3
refused 1 "lost.jsonl: no such file" --task lost.jsonl
refused 1 "data: holds no file *valid.jsonl" --task piqa --task-data data
refused 1 "lost/x" --task own.jsonl --items lost/x
rm piqa/valid-labels.lst
refused 1 "valid.jsonl:1: key 'label' is missing, and there is no" --task piqa --task-data piqa
: >empty.jsonl
refused 1 "empty.jsonl: holds no item" --task empty.jsonl
# bad PART LINE: as the second line
bad() {
  head -n 1 own.jsonl >bad.jsonl
  printf "$2" >>bad.jsonl
  refused 1 "bad.jsonl:2: $1" --task bad.jsonl
}
bad "not valid JSON" '{"context": "a'
bad "not valid JSON" '{"context": "\xff\xfe", "choices": ["a"], "answer": 0}'
bad "each line must be a JSON object" '["a"]'
bad "key 'choices' is missing" '{"context": "a"}'
bad "has no choices" '{"context": "a", "choices": [], "answer": 0}'
bad "choice 0 is empty" '{"context": "a", "choices": [""], "answer": 0}'
bad "key 'answer' must be a whole number from 0 to 0" '{"context":"a","choices":["a"],"answer":1}'
refused 1 "text.txt:1: not valid JSON" --task arc --task-data text.txt
python3 -c '
import json
item = {"context": "bird " * 200000, "choices": ["sea", "sand"], "answer": 0}
print(json.dumps(item))' >long.jsonl
run eval trained --task long.jsonl --json
check "a context of 1 MB is cut" has "$out" '"items":1,'
sed 's/"sea"/"'"$(printf 'sea %.0s' {1..399})"'"/' long.jsonl >bad.jsonl
refused 1 "bad.jsonl:1: choice 0 has" --task bad.jsonl
rm trained/tokenizer.json
refused 1 "no tokenizer.json" --task own.jsonl
finish
