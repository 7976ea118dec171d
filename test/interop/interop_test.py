#!/usr/bin/env python3
"""`make test-interop`: what godwit writes, read by those it is written for.

usage: interop_test.py BINARY [RANKS]

BINARY is the folder with godwit and interop_helper. Small models of every family are trained and
exported. transformers must give their logits to 1e-4 and the same 64 greedy tokens; llama.cpp
(llama-cpp-python, where it is installed) the same greedy tokens from the GGUF file; tokenizers the
same ids for all kinds of text; TensorBoard the scalars of a run. RANKS, a folder with tiktoken's
rank files, adds tiktoken.
"""

import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys
import tempfile

GREEDY = 64
TOLERANCE = 1e-4
SIZES = ["model.layers=2", "model.width=64", "model.heads=4", "model.context=128",
         "train.steps=60", "train.lanes=1", "train.lane_batch=4"]
MODELS = {
    "gpt2": ["model.family=gpt2"],
    "llama": ["model.kv_heads=2", "model.tie_embeddings=false"],
    "llama-tied": ["model.kv_heads=4", "model.tie_embeddings=true", "model.rope_theta=500000"],
    "qwen3": ["model.kv_heads=2", "model.qk_norm=true", "model.tie_embeddings=true"],
    "qwen3-wide": ["model.kv_heads=2", "model.qk_norm=true", "model.head_width=32"],
}

checks = failures = 0


def check(what, holds):
    global checks, failures
    checks += 1
    if not holds:
        failures += 1
        print(f"FAILED: {what}", flush=True)


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def words_text(lines):
    words = "the a cat dog of and to in it's don't 12 345 Über naïve 中文 слово\tx \n".split(" ")
    source = random.Random(7)
    return "\n".join(" ".join(source.choice(words) for _ in range(12)) + "." for _ in range(lines))


def odd_texts():
    """Texts where splitting is easily done otherwise."""
    pieces = ["a", "B", "it's", " DON'T", "12345", ". ", "\n", "\r\n", " ", "  ", "\t", "/", "}\n",
              "\u3000", "中文", "。", "\xa0", "e\u0301", "ſ", "Été", "\u2028", "_", "-", "😀", "<|x|>"]
    source = random.Random(8)
    for _ in range(300):
        yield "".join(source.choice(pieces) for _ in range(source.randrange(1, 40)))


def marked_texts():
    """Texts that normal form C changes: marks in any order, letters made of others, jamo."""
    pieces = ["a", "e", "o", "<", " ", "\n", "é", "\u0300", "\u0301", "\u0302", "\u0304", "\u0308",
              "\u0316", "\u0323", "\u0327", "\u0328", "\u0334", "\u0338", "\u0345", "\u05b0",
              "\u05c1", "\u064b", "\u0653", "\u0627", "\u09c7", "\u09be", "\u0dd9", "\u0dcf",
              "\u0dca", "\u1100", "\u1161", "\u11a8", "가", "각", "Ấ", "\u212b", "\u2126", "\u2000",
              "\u037e", "\u0344", "\u0f73", "\u0f71", "\u0f72", "か", "\u3099", "\ufb2c", "中",
              "\U0001d15e", "\U000110a5", "\U000110ba", "\u0958", "😀"]
    source = random.Random(9)
    for _ in range(300):
        yield "".join(source.choice(pieces) for _ in range(source.randrange(1, 40)))


def train_models(godwit, work):
    (work / "text.txt").write_text(words_text(3000), encoding="utf-8")
    (work / "recipe.yaml").write_text("{}\n")
    run(godwit, "prepare", "--out", work / "data", "--tokenizer", "bpe", "--vocab-size", 400,
        work / "text.txt")
    for name, keys in MODELS.items():
        run(godwit, "train", work / "recipe.yaml", "--data", work / "data", "--run", work / name,
            *SIZES, *keys)
        run(godwit, "export", work / name, "--to", "hf", work / f"{name}-hf")
        run(godwit, "export", work / name, "--to", "gguf", work / f"{name}.gguf")


def greedy_of(godwit, run_folder, ids):
    out = run(godwit, "generate", run_folder, "--ids", ",".join(map(str, ids)), "--tokens", GREEDY,
              "--temperature", 0)
    return [int(word) for word in out.split()]


def test_transformers(godwit, helper, work, ids):
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    for name in MODELS:
        model = transformers.AutoModelForCausalLM.from_pretrained(work / f"{name}-hf",
                                                                  dtype=torch.float32).eval()
        with torch.no_grad():
            theirs = model(torch.tensor([ids])).logits[0, -1].tolist()
            made = model.generate(torch.tensor([ids]), max_new_tokens=GREEDY, do_sample=False,
                                  eos_token_id=None, pad_token_id=0)[0][len(ids):].tolist()
        ours = [float(line) for line in
                run(helper, "logits", work / name, ",".join(map(str, ids))).split()]
        gap = max(abs(a - b) for a, b in zip(ours, theirs))
        check(f"{name}: {len(theirs)} logits", len(ours) == len(theirs))
        check(f"{name}: logits differ by {gap:g}", gap <= TOLERANCE)
        greedy = greedy_of(godwit, work / name, ids)
        check(f"{name}: greedy tokens", greedy == made[:len(greedy)] and greedy)
        print(f"transformers {transformers.__version__}, {type(model).__name__} ({name}): logits "
              f"differ by {gap:.2g} at most, {len(greedy)} greedy tokens", flush=True)


def test_llama_cpp(godwit, helper, work, ids):
    try:
        import llama_cpp
    except ImportError:
        print("skipped: llama-cpp-python is not installed")
        return
    for name in MODELS:
        model = llama_cpp.Llama(str(work / f"{name}.gguf"), n_ctx=128, verbose=False)
        made = []
        for token in model.generate(ids, temp=0.0, repeat_penalty=1.0):
            made.append(token)
            if len(made) == GREEDY:
                break
        greedy = greedy_of(godwit, work / name, ids)
        check(f"{name}: llama.cpp's greedy tokens", greedy and greedy == made[:len(greedy)])
        text = "it's 12 中文 of the cats,  and\nmore"
        (work / "one.txt").write_text(text, encoding="utf-8")
        ours = [int(line) for line in
                run(helper, "encode", work / name / "tokenizer.json", work / "one.txt").split()]
        check(f"{name}: llama.cpp's tokens",
              model.tokenize(text.encode(), add_bos=False, special=False) == ours)
        print(f"llama.cpp {llama_cpp.__version__} ({name}): {len(greedy)} greedy tokens")


def encode_all(helper, work, tokenizer, texts):
    for text in texts:
        (work / "odd.txt").write_bytes(text.encode("utf-8"))
        yield [int(line) for line in run(helper, "encode", tokenizer, work / "odd.txt").split()]


def test_tokenizers(helper, work):
    """The tokenizer of an export, and the same with the normalizer NFC."""
    import tokenizers
    plain = work / "gpt2-hf" / "tokenizer.json"
    normalizing = json.loads(plain.read_text(encoding="utf-8"))
    normalizing["normalizer"] = {"type": "NFC"}
    (work / "nfc.json").write_text(json.dumps(normalizing), encoding="utf-8")
    texts = list(odd_texts()) + list(marked_texts())
    for path in plain, work / "nfc.json":
        theirs = tokenizers.Tokenizer.from_file(str(path))
        for text, ours in zip(texts, encode_all(helper, work, path, texts)):
            wanted = theirs.encode(text, add_special_tokens=False).ids
            check(f"tokenizers, {path.name}: {text!r}", wanted == ours)
    print(f"tokenizers {tokenizers.__version__}: {len(texts)} texts, plain and normalised")


def test_borders(godwit, work):
    """A model that begins texts with another token than it ends them with comes back the same."""
    import tokenizers
    wide, begin, ends = work / "wide-hf", 405, [406, 407]
    run(godwit, "train", work / "recipe.yaml", "--data", work / "data", "--run", work / "wide",
        *SIZES, *MODELS["llama"], "model.vocab_size=410", "--steps", 1)
    run(godwit, "export", work / "wide", "--to", "hf", wide)

    def change(name, members):
        path = wide / name
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | members))

    added = json.loads((wide / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    change("tokenizer.json", {"added_tokens": added + [
        {"id": 405 + i, "content": f"<|border{i}|>", "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True} for i in range(3)]})
    for name in "config.json", "generation_config.json":
        change(name, {"bos_token_id": begin, "eos_token_id": ends})
    run(godwit, "import", wide, "--run", work / "wide-in")
    run(godwit, "export", work / "wide-in", "--to", "hf", work / "wide-out")
    theirs = tokenizers.Tokenizer.from_file(str(work / "wide-out" / "tokenizer.json"))
    ids = theirs.encode("the cat").ids
    check("borders: tokenizers begins with the same token", ids[0] == begin and len(ids) > 1)
    for name in "config.json", "generation_config.json":
        config = json.loads((work / "wide-out" / name).read_text(encoding="utf-8"))
        check(f"borders: {name}", config["bos_token_id"] == begin and
              config["eos_token_id"] == ends)
    print(f"borders: texts begin with {ids[0]} and end with {ends}")


def merges_of(path):
    merges = json.loads(path.read_text(encoding="utf-8"))["model"]["merges"]
    return [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]


def test_training(godwit, work):
    """--tokenizer bpe-hf finds the merges of Hugging Face's trainer, in its order."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = words_text(2000) + "\n" + "\n".join(odd_texts())
    (work / "train.txt").write_text(text, encoding="utf-8", newline="")
    theirs.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=1000, min_frequency=2, show_progress=False, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    theirs.save(str(work / "theirs.json"))
    run(godwit, "prepare", "--out", work / "hf-data", "--tokenizer", "bpe-hf", "--vocab-size", 1000,
        "--val-fraction", 0, work / "train.txt")
    ours, found = merges_of(work / "hf-data" / "tokenizer.json"), merges_of(work / "theirs.json")
    check(f"training: {len(ours)} and {len(found)} merges", ours == found and len(found) > 100)
    print(f"training: {len(found)} merges")


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def test_tensorboard(godwit, work):
    """TensorBoard reads the scalars of a run, also of one whose last steps were made again."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    command = [godwit, "train", work / "recipe.yaml", "--data", work / "data", "--run",
               work / "scalars", "--tensorboard", work / "events", *SIZES,
               "train.validate_every=20", "train.checkpoint_every=20"]
    run(*command, "--steps", 35)
    shutil.rmtree(work / "scalars" / "checkpoints" / "step-00000035")
    run(*command, "--resume")
    events = EventAccumulator(str(work / "events"))
    events.Reload()
    lines = [json.loads(line) for line in open(work / "scalars" / "metrics.jsonl")]
    for key in lines[0]:
        if key == "step":
            continue
        ours = [(line["step"], f32(line[key])) for line in lines]
        theirs = [(event.step, event.value) for event in events.Scalars(f"train/{key}")]
        check(f"tensorboard: train/{key}", ours == theirs and len(ours) == 60)
    journal = [json.loads(line) for line in open(work / "scalars" / "journal.jsonl")]
    ours = {line["step"]: (f32(line["loss"]), f32(line["bits_per_byte"]))
            for line in journal if line["event"] == "validation"}
    ours.pop(35)  # its checkpoint is gone
    theirs = {loss.step: (loss.value, bits.value) for loss, bits in zip(
        events.Scalars("validation/loss"), events.Scalars("validation/bits_per_byte"))}
    check("tensorboard: validation", ours == theirs and list(ours) == [20, 40, 60])
    files = len(list((work / "events").iterdir()))
    check("tensorboard: a file for each start", files == 2)
    print(f"tensorboard: {len(events.Tags()['scalars'])} scalars of {len(lines)} steps, 15 of them "
          f"made twice, from {files} files")


def main():
    binary = pathlib.Path(sys.argv[1])
    godwit, helper = binary / "godwit", binary / "test" / "interop_helper"
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        train_models(godwit, work)
        ids = next(encode_all(helper, work, work / "gpt2-hf", ["it's 12 中文 of the cats"]))
        test_transformers(godwit, helper, work, ids)
        test_llama_cpp(godwit, helper, work, ids)
        test_tokenizers(helper, work)
        test_borders(godwit, work)
        test_training(godwit, work)
        test_tensorboard(godwit, work)
    print(f"{checks} checks, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
