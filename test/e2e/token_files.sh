#!/usr/bin/env bash
# Token files of other programs, as they lie: the same tokens train the same model in every layout.
# token_files.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

for i in $(seq 400); do
  echo "{\"text\": \"Line $i of it: $((i * 7919 % 1009)) birds, $((i * 104729 % 997)) miles.\"}"
done >"$work/text.jsonl"
run prepare --out "$work/data" --tokenizer byte --shard-tokens 9000 "$work/text.jsonl"
check "prepare succeeds" test $code -eq 0

# The tokens of $work/data in every layout: llmc16, llmc32, nanogpt, and megatron, which has an
# index. With tokenizer.json beside them, but for those that end in -bare.
cat >"$work/convert.py" <<'END_PYTHON'
import array, glob, pathlib, shutil, struct, sys
work = pathlib.Path(sys.argv[1])
END = 256

def tokens(split):
    for path in sorted(glob.glob(f"{work}/data/{split}-*.bin")):
        data = pathlib.Path(path).read_bytes()
        # llm.c's own rules for a file: magic and version, the number of tokens, the exact size
        header = struct.unpack("<256i", data[:1024])
        assert header[:2] == (20240520, 1) and len(data) == 1024 + 2 * header[2], path
        yield array.array("H", data[1024:])

def llm_c(folder, code, magic, version):
    for split in "train", "val":
        for number, shard in enumerate(tokens(split)):
            header = struct.pack("<256i", magic, version, len(shard), *[0] * 253)
            path = work / folder / f"text_{split}_{number:06}.bin"
            path.write_bytes(header + array.array(code, shard).tobytes())

def nanogpt(folder):
    for split in "train", "val":
        whole = array.array("H")
        for shard in tokens(split):
            whole.extend(shard)
        (work / folder / f"{split}.bin").write_bytes(whole.tobytes())

def megatron(folder, code, number):
    for split in "train", "val":
        for i, shard in enumerate(tokens(split)):
            starts = [at for at, token in enumerate(shard) if token == END]
            lengths = [b - a for a, b in zip(starts, starts[1:] + [len(shard)])]
            assert starts[0] == 0 and sum(lengths) == len(shard)
            width, n = array.array(code).itemsize, len(starts)
            base = work / folder / f"text_{split}_{i}_document"
            base.with_suffix(".bin").write_bytes(array.array(code, shard).tobytes())
            base.with_suffix(".idx").write_bytes(
                b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, number, n, n + 1) +
                struct.pack(f"<{n}i", *lengths) +
                struct.pack(f"<{n}q", *[width * start for start in starts]) +
                struct.pack(f"<{n + 1}q", *range(n + 1)))

for name in "llmc16", "llmc32", "nanogpt", "nanogpt-bare", "megatron", "megatron-bare":
    (work / name).mkdir()
    if not name.endswith("-bare"):
        shutil.copy(work / "data" / "tokenizer.json", work / name)
llm_c("llmc16", "H", 20240520, 1)
llm_c("llmc32", "I", 20240801, 7)
nanogpt("nanogpt")
nanogpt("nanogpt-bare")
megatron("megatron", "H", 8)
megatron("megatron-bare", "i", 4)
END_PYTHON
python3 "$work/convert.py" "$work"
check "the shards of prepare are llm.c's; the others are written" test $? -eq 0

recipe=("${llama[@]}" train.validate_every=20)
train_on() { run train "${recipe[@]}" --data "$work/$1" --run "$work/run-$1" "${@:2}"; }

train_on data
check "training on a prepared corpus succeeds" test $code -eq 0
check "its bits per byte are known" has "$out" "bits per byte"
wanted=$(state_hash "$work/run-data")
loss=${out#*validation loss } && loss=${loss%%,*}

for name in llmc16 llmc32 nanogpt megatron; do
  train_on $name --steps 20
  check "$name: training succeeds" test $code -eq 0
  check "$name: it says what the files are" has "$err" "$name: "
  train_on $name --resume
  check "$name: it resumes" test $code -eq 0
  check "$name: the same state" test "$(state_hash "$work/run-$name")" = "$wanted"
  check "$name: every step the same" cmp "$work/run-data/ledger.bin" "$work/run-$name/ledger.bin"
  check "$name: the same bits per byte" has "$out" "validation loss $loss, "
  run eval "$work/run-$name" --data "$work/$name"
  check "$name: eval succeeds" has "$out" "bits per byte"
done

# Without a tokenizer documents are where Megatron's index says: the same again, but for bytes.
train_on megatron-bare
check "megatron-bare: the same state" test "$(state_hash "$work/run-megatron-bare")" = "$wanted"
check "megatron-bare: what is assumed is said" has "$err" "no tokenizer beside them: ids up to 256"
check "megatron-bare: the same loss" has "$out" "validation loss $loss, "
check "megatron-bare: no bits per byte" lacks "$out$err" "bits per byte"
check "megatron-bare: no tokenizer is made up" test ! -e "$work/run-megatron-bare/tokenizer.json"
run eval "$work/run-megatron-bare" --data "$work/megatron-bare" --json
check "megatron-bare: eval succeeds" has "$out" '"bits_per_byte":null'
run eval "$work/run-megatron-bare" --data "$work/megatron-bare" --split train
check "megatron-bare: eval of the other split succeeds" test $code -eq 0
run eval "$work/run-megatron-bare" --data "$work/data"
check "megatron-bare: eval of a corpus with a tokenizer" has "$out" "bits per byte"
run generate "$work/run-megatron-bare" --ids 256,65 --tokens 5
check "megatron-bare: ids are generated" test $code -eq 0

train_on nanogpt-bare --steps 1
check "nanogpt-bare: taken for GPT-2's" has "$err" "taken for GPT-2's ids, end-of-text 50256"
check "nanogpt-bare: so is the vocabulary" grep -q "vocab_size: 50257" \
  "$work/run-nanogpt-bare/recipe.yaml"
run eval "$work/run-data" --data "$work/nanogpt-bare"
check "nanogpt-bare: a model that knows the ids is evaluated" test $code -eq 0
echo "meta" >"$work/nanogpt-bare/meta.pkl"
run train "${recipe[@]}" --data "$work/nanogpt-bare" --run "$work/run-meta" --steps 1
check "nanogpt-bare: a vocabulary of its own" grep -q "vocab_size: 257" "$work/run-meta/recipe.yaml"
run train "${recipe[@]}" --data "$work/nanogpt-bare" --run "$work/run-few" model.vocab_size=100
check "a model with too few ids is refused" has "$err" "model.vocab_size is 100"
run program "${recipe[@]}" --data "$work/megatron-bare"
check "program takes such data" has "$out" "embed_tokens.weight f32[257,32]"

run train "${recipe[@]}" --data "$work/megatron" --run "$work/run-ranks" --ranks 2
check "two ranks train on it" test $code -eq 0
check "two ranks: the same state" test "$(state_hash "$work/run-ranks")" = "$wanted"

# What is assumed of GPT-2's ids is what its own tokenizer says.
gpt2=$source/../shared/data/gpt2-bpe/encoder.json
if [ -e "$gpt2" ]; then
  run prepare --out "$work/gpt2" --tokenizer "$gpt2" "$work/text.jsonl"
  check "gpt2: prepare succeeds" test $code -eq 0
  mkdir "$work/gpt2-bare" && cp "$work/gpt2"/*.bin "$work/gpt2-bare"
  for name in gpt2 gpt2-bare; do train_on $name --steps 3; done
  check "gpt2-bare: taken for GPT-2's" has "$err" "taken for GPT-2's ids"
  check "gpt2-bare: every step the same" cmp "$work/run-gpt2/ledger.bin" \
    "$work/run-gpt2-bare/ledger.bin"
  check "gpt2-bare: there are steps" test "$(stat -c %s "$work/run-gpt2/ledger.bin")" -gt 200
else
  echo "skipped: no ../shared/data/gpt2-bpe"
fi

# Data that changed between start and resume.
for name in llmc16 nanogpt megatron; do
  file=$(ls "$work/$name"/*train*.bin | head -1)
  flip "$file" $(($(stat -c %s "$file") - 2))
  train_on $name --resume --steps 60
  check "$name: changed data are noticed" has "$err" "was started with other data"
done
truncate -s -1 "$work/nanogpt/train.bin"
train_on nanogpt --resume
check "an odd size is named" has "$err" "train.bin: "
index=$(ls "$work/megatron"/*train*.idx | head -1)
flip "$index" 26
train_on megatron --resume
check "a damaged index is named" has "$err" "$index: "
check "in one line" one_error
cp "$work/llmc16"/*_val_*.bin "$work/nanogpt-bare"
train_on nanogpt-bare --resume
check "mixed layouts are refused" has "$err" "keep them in folders of their own"
finish
