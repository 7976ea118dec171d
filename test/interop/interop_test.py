#!/usr/bin/env python3
"""`make test-interop`: what godwit writes, read by those it is written for.

usage: interop_test.py BINARY GOLDEN [--write-golden]

BINARY is the folder with godwit and interop_helper. Small models of every family are trained and
exported. transformers must give their logits to 1e-4 and the same 64 greedy tokens; llama.cpp
(llama-cpp-python, where it is installed) the same from GGUF; tokenizers the same ids for all kinds
of text; TensorBoard the scalars of a run. The files in GOLDEN, test/golden/interop, must be those
that are made now; --write-golden puts these there, when all have read them.
"""

import filecmp
import json
import pathlib
import shutil
import struct
import sys
import tempfile

import interop_llama_cpp as llama
from interop_common import (GREEDY, MODELS, SIZES, Godwit, check, largest_gap, marked_texts,
                            odd_texts, read_json, run, words_text)

TOLERANCE = 1e-4


def transformers_model(folder):
    import torch
    import transformers
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def transformers_logits(model, ids):
    import torch
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0, -1].tolist()


def compare_transformers(godwit, name, folder, run_folder, ids):
    """The folder's model against the run's."""
    import torch
    model = transformers_model(folder)
    gap = largest_gap(godwit.logits(run_folder, ids), transformers_logits(model, ids))
    check(f"{name}: logits differ by {gap:g}", gap <= TOLERANCE)
    with torch.no_grad():
        made = model.generate(torch.tensor([ids]), max_new_tokens=GREEDY, do_sample=False,
                              eos_token_id=None, pad_token_id=0)[0][len(ids):].tolist()
    greedy = godwit.greedy(run_folder, ids)
    check(f"{name}: greedy tokens", greedy == made[:len(greedy)] and greedy)
    print(f"transformers, {type(model).__name__} ({name}): logits differ by {gap:.2g} at most, "
          f"{len(greedy)} greedy tokens", flush=True)


def test_transformers(godwit, ids):
    for name in MODELS:
        compare_transformers(godwit, name, godwit.work / f"{name}-hf", godwit.work / name, ids)


def test_shards(godwit, ids):
    """A folder of several files is the same model as one of one file."""
    folder = godwit.work / "shards"
    run(godwit.helper, "shards", godwit.work / "llama", folder, 100000)
    files = sorted(folder.glob("model-*.safetensors"))
    index = read_json(folder / "model.safetensors.index.json")
    check("shards: several files", len(files) >= 3 and not (folder / "model.safetensors").exists())
    check("shards: all files", {path.name for path in files} == set(index["weight_map"].values()))
    one = transformers_logits(transformers_model(godwit.work / "llama-hf"), ids)
    check("shards: transformers reads the same model",
          one == transformers_logits(transformers_model(folder), ids))
    godwit.run("import", folder, "--run", godwit.work / "shards-in")
    godwit.run("import", godwit.work / "llama-hf", "--run", godwit.work / "llama-in")
    check("shards: import reads the same model", godwit.run("hash", godwit.work / "shards-in") ==
          godwit.run("hash", godwit.work / "llama-in"))
    print(f"shards: {len(files)} files")


def test_tokenizers(godwit):
    """The tokenizer of an export, and the same with the normalizer NFC."""
    import tokenizers
    plain = godwit.work / "gpt2-hf" / "tokenizer.json"
    normalizing = read_json(plain)
    normalizing["normalizer"] = {"type": "NFC"}
    (godwit.work / "nfc.json").write_text(json.dumps(normalizing), encoding="utf-8")
    texts = list(odd_texts()) + list(marked_texts())
    for path in plain, godwit.work / "nfc.json":
        theirs = tokenizers.Tokenizer.from_file(str(path))
        for text, ours in zip(texts, godwit.encode(path, texts)):
            wanted = theirs.encode(text, add_special_tokens=False).ids
            check(f"tokenizers, {path.name}: {text!r}", wanted == ours)
    print(f"tokenizers {tokenizers.__version__}: {len(texts)} texts, plain and normalised")


def test_borders(godwit):
    """A model that begins texts with another token than it ends them with comes back the same."""
    import tokenizers
    work, begin, ends = godwit.work, 405, [406, 407]
    wide = work / "wide-hf"
    godwit.train("wide", *MODELS["llama"], "model.vocab_size=410", "--steps", 1)
    godwit.run("export", work / "wide", "--to", "hf", wide)

    def change(name, members):
        path = wide / name
        path.write_text(json.dumps(read_json(path) | members))

    added = read_json(wide / "tokenizer.json")["added_tokens"]
    change("tokenizer.json", {"added_tokens": added + [
        {"id": 405 + i, "content": f"<|border{i}|>", "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False, "special": True} for i in range(3)]})
    for name in "config.json", "generation_config.json":
        change(name, {"bos_token_id": begin, "eos_token_id": ends})
    godwit.run("import", wide, "--run", work / "wide-in")
    godwit.run("export", work / "wide-in", "--to", "hf", work / "wide-out")
    theirs = tokenizers.Tokenizer.from_file(str(work / "wide-out" / "tokenizer.json"))
    ids = theirs.encode("the cat").ids
    check("borders: tokenizers begins with the same token", ids[0] == begin and len(ids) > 1)
    for name in "config.json", "generation_config.json":
        config = read_json(work / "wide-out" / name)
        check(f"borders: {name}", config["bos_token_id"] == begin and
              config["eos_token_id"] == ends)
    print(f"borders: texts begin with {ids[0]} and end with {ends}")
    return begin, ends


def merges_of(path):
    return [merge.split(" ") if isinstance(merge, str) else merge
            for merge in read_json(path)["model"]["merges"]]


def test_training(godwit):
    """--tokenizer bpe-hf finds the merges of Hugging Face's trainer, in its order."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    work = godwit.work
    theirs = Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = words_text(2000) + "\n" + "\n".join(odd_texts())
    (work / "train.txt").write_text(text, encoding="utf-8", newline="")
    theirs.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=1000, min_frequency=2, show_progress=False, special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    theirs.save(str(work / "theirs.json"))
    godwit.run("prepare", "--out", work / "hf-data", "--tokenizer", "bpe-hf", "--vocab-size", 1000,
               "--val-fraction", 0, work / "train.txt")
    ours, found = merges_of(work / "hf-data" / "tokenizer.json"), merges_of(work / "theirs.json")
    check(f"training: {len(ours)} and {len(found)} merges", ours == found and len(found) > 100)
    print(f"training: {len(found)} merges")


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def test_tensorboard(godwit):
    """TensorBoard reads the scalars of a run, also of one whose last steps were made again."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    work = godwit.work
    command = ["train", work / "recipe.yaml", "--data", work / "data", "--run", work / "scalars",
               "--tensorboard", work / "events", *SIZES, "train.validate_every=20",
               "train.checkpoint_every=20"]
    godwit.run(*command, "--steps", 35)
    shutil.rmtree(work / "scalars" / "checkpoints" / "step-00000035")
    godwit.run(*command, "--resume")
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


def test_golden(godwit, kept, write):
    """The files of test/golden/interop: read by others, and the same as they are made now."""
    made = godwit.work / "golden"
    lines = run(godwit.helper, "golden", made).split("\n")[:-1]
    before = check.failures
    for name, dtype in (line.lower().split() for line in lines):
        run_folder = godwit.work / f"golden-{name}"
        godwit.run("import", made / name, "--run", run_folder)
        ids = godwit.encode(run_folder / "tokenizer.json", ["the rat, 12 中"])[0]
        if name.endswith("-hf"):
            compare_transformers(godwit, f"golden {name}", made / name, run_folder, ids)
        elif llama.here():
            llama.compare(godwit, f"golden {name}", made / name, run_folder, ids, dtype)
    if write and not llama.here():
        raise SystemExit("golden: not written: llama.cpp must read them too (LLAMA_CPP=yes)")
    if write and check.failures > before:
        raise SystemExit("golden: not written: they are not read as they are meant")
    if write:
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(made, kept)
    files = [path.relative_to(made) for path in made.rglob("*") if path.is_file()]
    for path in files:
        check(f"golden: {path} is as it is kept", (kept / path).is_file() and
              filecmp.cmp(made / path, kept / path, shallow=False))
    print(f"golden: {len(files)} files{', written' if write else ''}")


def main():
    binary, kept = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        godwit = Godwit(binary, pathlib.Path(folder))
        godwit.train_models()
        ids = godwit.encode(godwit.work / "gpt2-hf" / "tokenizer.json",
                            ["it's 12 中文 of the cats"])[0]
        test_transformers(godwit, ids)
        test_shards(godwit, ids)
        test_tokenizers(godwit)
        borders = test_borders(godwit)
        llama.test(godwit, ids, borders)
        test_golden(godwit, kept, "--write-golden" in sys.argv)
        test_training(godwit)
        test_tensorboard(godwit)
    if check.failures:
        print(f"{check.failures} of {check.count} checks failed")
        return 1
    print(f"all {check.count} checks hold")
    return 0


if __name__ == "__main__":
    sys.exit(main())
