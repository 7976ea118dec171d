#!/usr/bin/env bash
# tinyshakespeare in nanoGPT's CPU setting must reach its published validation loss: 1.88 nats.
# shakespeare.sh SOURCE BINARY; skipped where ../shared has no data. About two minutes.
set -euo pipefail
source=$1 binary=$2
text=$source/../shared/data/tinyshakespeare/input.txt
[ -f "$text" ] || {
  echo "skipped: $text is not there"
  exit 77
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$binary/godwit" prepare --out "$work/data" --tokenizer byte "$text"
result=$("$binary/godwit" train "$source/recipes/shakespeare-cpu.yaml" --data "$work/data" \
  --run "$work/run" --json train.log_every=0 train.validate_every=500 | tail -n 1)
echo "$result"
python3 -c 'import json, sys
loss = json.loads(sys.argv[1])["validation_loss"]
print(f"validation loss {loss:.4f}, at most 1.88 wanted")
sys.exit(loss > 1.88)' "$result"
