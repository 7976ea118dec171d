#!/usr/bin/env bash
# Weights out of a run and into another, in every format, as a user types it.
# interop.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

for i in $(seq 500); do
  echo "Line $i of the text: $((i * 7919 % 1009)) birds, $((i * 104729 % 997)) miles."
done >"$work/text.txt"
run prepare --out "$work/data" --tokenizer bpe --vocab-size 320 "$work/text.txt"
check "prepare succeeds" test $code -eq 0

declare -A recipes=(
  [gpt2]="model.family=gpt2"
  [llama]="model.family=llama model.kv_heads=2 model.tie_embeddings=false"
  [qwen3]="model.family=llama model.kv_heads=2 model.qk_norm=true model.tie_embeddings=true"
)
sizes="model.layers=2 model.width=64 model.heads=4 model.context=64"
echo '{}' >"$work/recipe.yaml"
greedy="--prompt Line --tokens 24 --temperature 0"
for name in gpt2 llama qwen3; do
  run train "$work/recipe.yaml" --data "$work/data" --run "$work/$name" $sizes ${recipes[$name]} \
    train.steps=20 train.lanes=1 train.lane_batch=4
  check "$name: train succeeds" test $code -eq 0
  run generate "$work/$name" $greedy
  text=$out
  for format in hf gguf; do
    exported=$work/$name-$format
    run export "$work/$name" --to $format "$exported"
    check "$name: export to $format succeeds" test $code -eq 0
    check "$name: $format gives the same logits" has "$out" "differ by 0 at most"
    run export "$work/$name" --to $format "$exported"
    check "$name: nothing is written over" test $code -eq 1
    check "$name: that is said" has "$err" "is there already"
    run import "$exported" --run "$work/$name-from-$format"
    check "$name: import from $format succeeds" test $code -eq 0
    run generate "$work/$name-from-$format" $greedy
    check "$name: $format gives the same text" test "$out" = "$text"
    run export "$work/$name-from-$format" --to $format "$exported-again"
    check "$name: $format goes out as it came in" diff -r "$exported" "$exported-again"
  done
  check "$name: both imports are one state" test \
    "$("$godwit" hash "$work/$name-from-hf" 2>/dev/null)" = \
    "$("$godwit" hash "$work/$name-from-gguf" 2>/dev/null)"
  run eval "$work/$name-from-hf" --text "$work/text.txt"
  check "$name: an import is a run for eval" test $code -eq 0
done

# A model whose texts begin with another token than they end with, as Llama 3's.
run train "$work/recipe.yaml" --data "$work/data" --run "$work/wide" $sizes ${recipes[llama]} \
  model.vocab_size=330 train.steps=2 train.lanes=1 train.lane_batch=4
run export "$work/wide" --to hf "$work/wide-hf"
check "wide: export succeeds" test $code -eq 0
python3 - "$work/wide-hf" <<'END_PYTHON'
import json, pathlib, sys
folder = pathlib.Path(sys.argv[1])
def change(name, **members):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | members))
names = {325: "<|begin_of_text|>", 326: "<|end_of_text|>", 327: "<|eot_id|>"}
added = json.loads((folder / "tokenizer.json").read_text())["added_tokens"]
change("tokenizer.json", added_tokens=added + [{"id": i, "content": n} for i, n in names.items()])
for name in "config.json", "generation_config.json":
    change(name, bos_token_id=325, eos_token_id=[326, 327])
END_PYTHON
run import "$work/wide-hf" --run "$work/wide-in"
check "wide: import succeeds" test $code -eq 0
check "wide: what ends a text is kept" grep -q 326 "$work/wide-in/generation_config.json"
for format in hf gguf; do
  run export "$work/wide-in" --to $format "$work/wide-$format-out"
  check "wide: export to $format succeeds" test $code -eq 0
  run import "$work/wide-$format-out" --run "$work/wide-$format-in"
  check "wide: import from $format succeeds" test $code -eq 0
  for file in tokenizer.json generation_config.json; do
    check "wide: $format keeps $file" diff "$work/wide-in/$file" "$work/wide-$format-in/$file"
  done
done
check "wide: the folder says it" grep -q '"bos_token": "<|begin_of_text|>"' \
  "$work/wide-hf-out/tokenizer_config.json"
run prepare --out "$work/wide-data" --tokenizer "$work/wide-in/tokenizer.json" "$work/text.txt"
check "wide: documents are headed by its token" test \
  "$(od -An -tu2 -j1024 -N2 "$work/wide-data/train-00000.bin" | tr -d ' ')" = 325
run train "$work/wide-in/recipe.yaml" --data "$work/wide-data" --run "$work/wide-on" \
  --init-from "$work/wide-in" train.steps=2 train.lanes=1 train.lane_batch=4
check "wide: it trains on" test $code -eq 0
check "wide: and keeps what ends a text" \
  diff "$work/wide-in/generation_config.json" "$work/wide-on/generation_config.json"

run export "$work/llama" --to gguf --dtype q8_0 --json "$work/q8.gguf"
check "q8_0 succeeds" test $code -eq 0
check "q8_0 takes less" test "$(stat -c %s "$work/q8.gguf")" -lt "$(stat -c %s "$work/llama-gguf")"
run export "$work/llama" --to hf --dtype q8_0 "$work/q8"
check "a folder in q8_0 is refused" test $code -eq 1
check "nothing is left of it" test -z "$(ls -d "$work"/q8* | grep -v gguf)"
run export "$work/llama" --to onnx "$work/x"
check "another format is misuse" test $code -eq 2
run import "$work/llama-hf"
check "an import wants a run" has "$err" "--run DIR"
run import "$work/nothing" --run "$work/x"
check "a missing file is named" has "$err" "nothing: does not exist"
run import "$work/data" --run "$work/x"
check "a folder of something else is named as such" has "$err" "a folder without config.json"
run import "$work/llama-hf" --run "$work/llama"
check "a run is not written over" has "$err" "is there already"
cp -r "$work/llama-hf" "$work/bare" && rm "$work/bare/tokenizer.json"
run import "$work/bare" --run "$work/from-bare"
check "a folder without a tokenizer comes in" has "$out" "no tokenizer"
truncate -s -5 "$work/llama-hf/model.safetensors"
run import "$work/llama-hf" --run "$work/x"
check "a short file is refused" test $code -eq 1
check "it is named" has "$err" "model.safetensors"
check "no run is left of it" test ! -e "$work/x"

stories=$source/../shared/data/stories260K
if [ -d "$stories" ]; then
  run import "$stories/stories260K.bin" --run "$work/stories"
  check "llama2.c's model comes in" test $code -eq 0
  run generate "$work/stories" --ids 1 --tokens 256 --temperature 0
  wanted=$(tr -d '[]\n ' <"$stories/greedy_ids_256.json" | tr ',' ' ')
  check "it goes on as published" test "${out# }" = "$wanted"
  run generate "$work/stories" --prompt "Once upon"
  check "without a tokenizer there is no text" has "$err" "no tokenizer.json"
else
  echo "skipped: no ../shared/data/stories260K"
fi
run generate "$work/llama" --ids 1,320
check "an id out of range is named" has "$err" "'320' is no token"
finish
