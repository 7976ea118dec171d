#!/usr/bin/env bash
# `make demo`: the King James Bible from text to a trained model in a few minutes, then its bits per
# byte on held-out text beside four compressors. Starts afresh each time; all of it lies in
# build/demo, the numbers also in build/results/demo.json.
set -euo pipefail
cd "$(dirname "$0")/.."

started=$(date +%s)
demo=build/demo

tools/install-packages.sh demo
tools/build.sh release

rm -rf "$demo"
mkdir -p "$demo" build/results
bible -f gen1:1-rev22:21 >"$demo/bible.txt"

build/godwit prepare --out "$demo/data" --tokenizer bpe --vocab-size 1024 \
  --val-fraction 0.1 "$demo/bible.txt"
build/godwit train recipes/demo.yaml --data "$demo/data" --run "$demo/run"

# A corpus of one document is split at its tail: the held-out text is the end of the file.
held=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["val"]["bytes"])' \
  "$demo/data/manifest.json")
head -c "-$held" "$demo/bible.txt" >"$demo/training.txt"
tail -c "$held" "$demo/bible.txt" >"$demo/heldout.txt"

build/godwit eval "$demo/run" --text "$demo/heldout.txt" --stride 128 --json >"$demo/eval.json"
build/godwit generate "$demo/run" --tokens 400 --seed 1 >"$demo/sample.txt"
python3 tools/demo_report.py "$demo" build/results/demo.json "$started"
