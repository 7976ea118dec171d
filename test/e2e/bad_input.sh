#!/usr/bin/env bash
# Bad input: each mistake and each damage gives one clear line that names the thing and the remedy,
# the right exit code, and leaves nothing behind that looks whole. bad_input.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"
cd "$work" || exit 1

# refused CODE PART ARGUMENTS...: the command fails with that code and one error line that holds
# PART (parts are separated by '|'); progress may stand before it, results must not.
refused() {
  local wanted=$1 part parts
  IFS='|' read -ra parts <<<"$2"
  shift 2
  run "$@"
  check "exit code $wanted: $*" test $code -eq "$wanted"
  check "one error line: $*" test "$(grep -c '^error: ' err)" -eq 1
  check "no result: $*" test -z "$out"
  for part in "${parts[@]}"; do
    check "names '$part': $*" has "$(grep '^error: ' err)" "$part"
  done
}

# ---- prepare ----

write_text text.txt 20000
: >empty.txt
head -c 3000 /dev/urandom >garbage.txt
gzip -c text.txt | head -c 500 >short.txt.gz
zstd -q -c text.txt | head -c 500 >short.txt.zst
cp text.txt plain.txt.gz
printf '{"text": "a line"}\n{"text": "a li\n' >broken.jsonl
printf '{"texte": "a line"}\n' >no-text.jsonl
mkdir nothing
echo '{"version": 1}' >tokenizer.json

# prepare_refused PART INPUT [OPTIONS...]: and no corpus is made
prepare_refused() {
  refused 1 "$1" prepare --out corpus "${@:3}" "$2"
  check "no corpus of $2" test ! -e corpus/manifest.json
  check "no shards of $2" test -z "$(find . -path './corpus/*.bin')"
  rm -rf corpus
}
prepare_refused "missing.txt: no such file" missing.txt
prepare_refused "empty.txt: empty" empty.txt
prepare_refused "empty, no text" -
prepare_refused "garbage.txt: not text|leave it out" garbage.txt
prepare_refused "short.txt.gz: the compressed data ends early|get the file again" short.txt.gz
prepare_refused "short.txt.zst: the compressed data ends early|get the file again" short.txt.zst
prepare_refused "plain.txt.gz: the compressed data is damaged" plain.txt.gz
prepare_refused "broken.jsonl:2: broken JSON line" broken.jsonl
prepare_refused "no-text.jsonl:1: no \"text\"" no-text.jsonl
prepare_refused "nothing: holds no .txt" nothing
prepare_refused "tokenizer.json: " text.txt --tokenizer tokenizer.json
prepare_refused "lost.json: no such tokenizer" text.txt --tokenizer lost.json
refused 2 "--val-fraction takes a number" prepare --out corpus --val-fraction 1 text.txt
refused 2 "option --out DIR is missing" prepare text.txt
refused 1 "text.txt: cannot create the directory" prepare --out text.txt text.txt
run prepare --out data text.txt
check "prepare succeeds" test $code -eq 0
run prepare --out data text.txt
check "preparing again does nothing" has "$err" "nothing was done"
refused 1 "data: holds a corpus made with other options" \
  prepare --out data --val-fraction 0.2 text.txt
cp text.txt other.txt
echo "One line more." >>other.txt
refused 1 "data: holds a corpus made with other inputs" prepare --out data other.txt
run prepare --out other other.txt
check "prepare succeeds with the other text" test $code -eq 0

# ---- recipes ----

# misused PART OVERRIDE...: in a command that would otherwise train
misused() {
  refused 2 "$1" train "${llama[@]}" --data data --run run "${@:2}"
  check "no run of $2" test ! -e run
}
misused "model.widht=64|unknown key|'model.width'" model.widht=64
misused "nearest valid key is 'train.optimizer.lr'" lr=1
misused "'train' is a group of keys|train.steps" train=5
misused "model.width|'wide'|a whole number in" model.width=wide
misused "model.dropout|'1'|[0, 1)" model.dropout=1
misused "train.lanes|'0'|in [1, 65536]" train.lanes=0
misused "train.lane_batch|'0'|in [1, 65536]" train.lane_batch=0
misused "tokens per lane|use more lanes" train.lane_batch=65536 model.context=1048576
misused "model.heads is 5, which does not divide model.width (32)" model.heads=5
misused "model.kv_heads is 3, which does not divide model.heads (4)" model.kv_heads=3
misused "one of cosine, linear, wsd, constant" train.schedule.kind=cosine.
misused "model.activation must be" model.activation=gelu
misused "unknown option --theads|--threads" --theads 2
misused "--steps takes a whole number" --steps -1
misused "--backend takes cpu|reference" --backend fast
misused "'foo' is not known|generic, avx2 or avx512" --isa foo

# bad_recipe PART TEXT: as a file
bad_recipe() {
  printf "$2" >bad.yaml
  refused 1 "bad.yaml|$1" train bad.yaml --data data --run run
  refused 1 "bad.yaml|$1" program bad.yaml
  check "no run of a bad recipe" test ! -e run
}
bad_recipe ":2: unknown key 'model.widht'|'model.width'" 'model:\n  widht: 64\n'
bad_recipe ":3: 'model.width' is given twice" 'model:\n  width: 64\n  width: 32\n'
bad_recipe ":2: model.width" 'model:\n  width: many\n'
bad_recipe "not valid YAML" 'name: "a\n'
bad_recipe "empty" ''
bad_recipe "NUL byte" 'name: \0\n'
refused 1 "lost.yaml: cannot open|check the path" train lost.yaml --data data
refused 1 "nothing: cannot read: it is a directory" train nothing --data data

# ---- data ----

refused 2 "no data|--data DIR" train "${llama[@]}" data.dir= --run run
refused 1 "lost: no prepared corpus|godwit prepare --out lost" \
  train "${llama[@]}" --data lost --run run
refused 1 "model.vocab_size is 100|data has 257 tokens" \
  train "${llama[@]}" --data data --run run model.vocab_size=100
refused 1 "data: context 9000 is longer than the data|lower model.context" \
  train "${llama[@]}" --data data --run run model.context=9000

refused 1 "recipe 'demo' needs|GB are available|lower train.lane_batch" \
  train "${llama[@]}" --data data --run run model.width=65536 model.heads=1024 model.kv_heads=1024
check "no run that does not fit" test ! -e run

run train "${llama[@]}" --data data --run trained --steps 4
check "training succeeds" test $code -eq 0
trained=$(state_hash trained)

# damaged PART: the corpus in `broken`, for everything that reads one
damaged() {
  refused 1 "$1|prepare the data again" train "${llama[@]}" --data broken --run run
  refused 1 "$1|prepare the data again" eval trained --data broken
  check "no run on a damaged corpus" test ! -e run
  rm -rf broken
  cp -r data broken
}
cp -r data broken
for file in train-00000.bin val-00000.bin; do
  size=$(stat -c %s data/$file)
  for place in 0 5 9 500 1024 1025 $((size / 2)) $((size - 1)); do
    flip broken/$file "$place"
    damaged "broken/$file"
  done
  for size in 0 100 1024 $((size - 1)); do
    truncate -s "$size" broken/$file
    damaged "broken/$file"
  done
  rm broken/$file
  damaged "broken/$file: is missing"
done
rm broken/tokenizer.json
damaged "broken/tokenizer.json: is missing"
sed -i 's/"tokens": [0-9]*/"tokens": 77/' broken/manifest.json
damaged "broken/manifest.json: was changed"
cp other/tokenizer.json broken/
sed -i '0,/"a": /s//"aa": /' broken/tokenizer.json
refused 1 "broken/tokenizer.json" train "${llama[@]}" --data broken --run run

# ---- runs ----

refused 1 "trained holds a run already|--resume|another --run" \
  train "${llama[@]}" --data data --run trained
refused 1 "trained was started with another recipe|another --run" \
  train "${llama[@]}" --data data --run trained --resume train.optimizer.lr=1
refused 1 "trained was started with dtype f32|the recipe says bf16|give dtype=f32" \
  train "${llama[@]}" --data data --run trained --resume dtype=bf16
refused 1 "trained was started with train.steps=50|--steps" \
  train "${llama[@]}" --data data --run trained --resume train.steps=60
refused 1 "trained was started with other data than other|--data" \
  train "${llama[@]}" --data other --run trained --resume
refused 1 "text.txt: cannot create the directory" train "${llama[@]}" --data data --run text.txt
check "the run is as it was" test "$(state_hash trained)" = "$trained"

"$godwit" train "${llama[@]}" --data data --run shared train.steps=1000000 2>first.err >first.out &
pid=$!
until [ -e shared/metrics.jsonl ] || ! kill -0 $pid 2>/dev/null; do sleep 0.02; done
refused 1 "shared/lock: locked by process $pid|wait until it ends" \
  train "${llama[@]}" --data data --run shared train.steps=1000000 --resume
kill -TERM $pid
wait $pid
code=$? err=$(cat first.err) out=$(cat first.out)
check "the first process is not disturbed" test $code -eq 0
check "the first process saves" test -n "$(state_hash shared)"

# ---- what reads a run ----

for command in hash generate "eval --text text.txt"; do
  read -ra words <<<"$command"
  refused 1 "lost: does not exist" "${words[@]}" lost
  refused 1 "nothing: neither a run" "${words[@]}" nothing
done
refused 2 "give one of --data DIR, --text FILE and --task NAME" eval trained
refused 1 "empty.txt: is empty" eval trained --text empty.txt
refused 1 "garbage.txt: not text" eval trained --text garbage.txt
refused 1 "lost.txt" eval trained --text lost.txt
refused 2 "stride 17 is not in 1..16" eval trained --text text.txt --stride 17
refused 2 "--temperature takes a number" generate trained --temperature hot
check "nothing was changed by looking" test "$(state_hash trained)" = "$trained"
finish
