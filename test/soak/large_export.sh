#!/usr/bin/env bash
# A model of 1.4 G parameters, 5.6 GB in f32, goes out in several files and comes back the same. It
# begins as a file of llama2.c with random values, as training one would take five times the memory.
# large_export.sh SOURCE BINARY; wants 18 GB of disk below TMPDIR and 13 GB of memory.
set -uo pipefail
source "$(dirname "$0")/../e2e/checks.bash"

free=$(df --output=avail -B1G "$work" | tail -n 1)
memory=$(awk '/MemAvailable/ { print int($2 / 1e6) }' /proc/meminfo)
if [ "$free" -lt 18 ] || [ "$memory" -lt 13 ]; then
  echo "skipped: $free GB of disk and $memory GB of memory are free; 18 and 13 are needed"
  exit 77
fi

python3 - "$work/large.bin" <<'END'
import random, struct, sys
width, hidden, layers, heads, kv_heads, vocab, context = 2048, 5632, 30, 32, 8, 32000, 256
head = width // heads
layer = width + 2 * width * width + 2 * width * head * kv_heads + width + 3 * width * hidden
floats = vocab * width + layers * layer + width + context * head
source, tail = random.Random(5), b"\x3c" * (1 << 20)  # the last byte: values of about 0.01
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<7i", width, hidden, layers, heads, kv_heads, vocab, context))
    while floats > 0:
        count = min(floats, 1 << 20)
        block = bytearray(source.randbytes(4 * count))
        block[3::4] = tail[:count]
        file.write(block)
        floats -= count
END
run import "$work/large.bin" --run "$work/large"
check "the file comes in" test $code -eq 0
echo "$out"
rm "$work/large.bin"
head -c 100000 "$source"/src/interop/*.c >"$work/text.txt"
run prepare --out "$work/data" --tokenizer byte "$work/text.txt"
cp "$work/data/tokenizer.json" "$work/large"

run export "$work/large" --to hf "$work/hf"
check "it goes out" test $code -eq 0
echo "$out"
check "in two files" test "$(ls "$work/hf" | grep -c '^model-0000[12]-of-00002.safetensors$')" -eq 2
check "with an index" test -f "$work/hf/model.safetensors.index.json"
check "and no other" test ! -e "$work/hf/model.safetensors"
for file in "$work"/hf/model-*; do
  check "$(basename "$file") is within the limit" test "$(stat -c %s "$file")" -le 5000100000
done
run import "$work/hf" --run "$work/back"
check "it comes back" test $code -eq 0
hash=$(state_hash "$work/large")
echo "$hash, $(du -sh "$work" | cut -f1) on disk"
check "the same" test "$(state_hash "$work/back")" = "$hash"
check "there is one" test -n "$hash"
finish
