"""What llama.cpp makes of godwit's GGUF files, where llama-cpp-python is installed: every family in
every dtype, its tokens, and the ids of texts in every way of splitting that GGUF has a name for."""

import importlib.util
import json
import shutil
import unicodedata

from interop_common import (GREEDY, MODELS, check, largest_gap, marked_texts, odd_texts, read_json)

# As a share of the largest logit. Products of f32 differ by rounding alone, but for gpt2's GELU,
# which llama.cpp takes from a table in f16; for the other types llama.cpp rounds the activations
# too, to the type or (q8_0) to blocks of 8 bits.
TOLERANCE = {"f32": 1e-4, "f16": 1e-3, "bf16": 5e-3, "q8_0": 2e-2}
F32 = 0  # ggml's number of the type

# GGUF's name of a way to split, and the regular expression that tokenizer.json has for it (None:
# GPT-2's own, which ByteLevel stands for).
ENGLISH = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORD = ENGLISH + r"|[^\r\n\p{L}\p{N}]?\p{L}+|"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SPLITTING = {
    "gpt-2": None,
    "llama-bpe": WORD + r"\p{N}{1,3}" + REST,
    "qwen2": WORD + r"\p{N}" + REST,
    "gpt-4o": (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{ENGLISH}?|"
               rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{ENGLISH}?|"
               r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"),
}


def here():
    return importlib.util.find_spec("llama_cpp") is not None


def known_difference(name, text):
    """llama.cpp's expression for gpt-4o is written without \\p{M}, \\p{Lu} and the like: it leaves
    combining marks out of words, and tells upper from lower case among ASCII letters only."""
    return name == "gpt-4o" and any(
        unicodedata.category(c)[0] == "M" or (c > "\x7f" and unicodedata.category(c) in
                                              ("Lu", "Lt", "Ll")) for c in text)


def open_model(path):
    import llama_cpp
    return llama_cpp.Llama(str(path), n_ctx=256, n_batch=256, type_k=F32, type_v=F32,
                           verbose=False)


def logits_of(model):
    import llama_cpp
    return llama_cpp.llama_get_logits_ith(model.ctx, -1)[:model.n_vocab()]


def greedy_of(model, ids):
    model.reset()
    made = []
    while len(made) < GREEDY:
        model.eval(made[-1:] or ids)
        logits = logits_of(model)
        made.append(max(range(len(logits)), key=logits.__getitem__))
    return made


def compare(godwit, name, path, run_folder, ids, dtype="f32"):
    """The file's model against the run's."""
    model = open_model(path)
    model.eval(ids)
    ours, theirs = godwit.logits(run_folder, ids), logits_of(model)
    gap = largest_gap(ours, theirs) / max(map(abs, ours))
    check(f"llama.cpp, {name}: logits differ by {gap:g} of the largest", gap <= TOLERANCE[dtype])
    said = ""
    if dtype == "f32":
        greedy = godwit.greedy(run_folder, ids)
        check(f"llama.cpp, {name}: greedy tokens", greedy and
              greedy == greedy_of(model, ids)[:len(greedy)])
        said = f", {len(greedy)} greedy tokens"
    print(f"llama.cpp ({name}): logits differ by {gap:.2g} of the largest{said}", flush=True)
    return model


def test_models(godwit, ids):
    for name in MODELS:
        for dtype in TOLERANCE:
            path = godwit.work / f"{name}-{dtype}.gguf"
            back = godwit.work / f"{name}-{dtype}-in"
            godwit.run("export", godwit.work / name, "--to", "gguf", "--dtype", dtype, path)
            godwit.run("import", path, "--run", back)
            model = compare(godwit, f"{name} {dtype}", path, back, ids, dtype)
            end = read_json(godwit.work / f"{name}-hf" / "config.json")["eos_token_id"]
            check(f"llama.cpp, {name} {dtype}: bos and eos",
                  model.token_bos() == end and model.token_eos() == end)


def train_merges(texts, size):
    """Merges that no splitting has kept inside pieces, so that every split shows in the ids."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=size, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return json.loads(trained.to_str())["model"]


def split_otherwise(godwit, name, merges):
    """A model whose tokenizer splits so; returns its run, its tokenizer's file and its GGUF."""
    run, folder, path = (godwit.work / f"{name}{end}" for end in ("-run", "-hf", ".gguf"))
    shutil.copytree(godwit.work / "split-hf", folder)
    tokenizer = read_json(folder / "tokenizer.json")
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    if SPLITTING[name]:
        tokenizer["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLITTING[name]}, "behavior": "Isolated",
             "invert": False}, byte_level | {"use_regex": False}]}
    tokenizer["model"] |= {key: merges[key] for key in ("vocab", "merges")}
    tokenizer["model"]["ignore_merges"] = name == "llama-bpe"
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    godwit.run("import", folder, "--run", run)
    godwit.run("export", run, "--to", "gguf", path)
    return run, folder / "tokenizer.json", path


def test_texts(godwit):
    from tokenizers import Tokenizer
    texts = list(odd_texts()) + list(marked_texts())
    merges = train_merges(texts, 2000)
    size = len(merges["vocab"]) + 1  # and what ends a text
    godwit.train("split", *MODELS["llama"], f"model.vocab_size={size}", "--steps", 1)
    godwit.run("export", godwit.work / "split", "--to", "hf", godwit.work / "split-hf")
    folder = godwit.work / "split-hf"
    tokenizer = read_json(folder / "tokenizer.json")
    tokenizer["added_tokens"][0]["id"] = size - 1
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    for name in SPLITTING:
        run, file, path = split_otherwise(godwit, name, merges)
        model, third = open_model(path), Tokenizer.from_file(str(file))
        known = compared = 0
        for text, ours in zip(texts, godwit.encode(run / "tokenizer.json", texts)):
            check(f"tokenizers, {name}: {text!r}",
                  third.encode(text, add_special_tokens=False).ids == ours)
            theirs = model.tokenize(text.encode(), add_bos=False, special=False)
            if theirs != ours and known_difference(name, text):
                known += 1
                continue
            compared += 1
            check(f"llama.cpp, {name}: {text!r}", theirs == ours)
        print(f"llama.cpp ({name}): {compared} texts have the same ids"
              f"{f', {known} are known to split otherwise' if known else ''}")


def test_borders(godwit, borders):
    """A model whose texts begin otherwise than they end: llama.cpp stops at each of its ends."""
    import llama_cpp
    begin, ends = borders
    path = godwit.work / "wide.gguf"
    godwit.run("export", godwit.work / "wide-in", "--to", "gguf", path)
    model = open_model(path)
    vocab = llama_cpp.llama_model_get_vocab(model.model)
    found = [id for id in range(model.n_vocab()) if llama_cpp.llama_vocab_is_eog(vocab, id)]
    check(f"llama.cpp, borders: {model.token_bos()} and {found}",
          model.token_bos() == begin and model.token_eos() == ends[0] and
          set(ends) <= set(found) and begin not in found)
    check("llama.cpp, borders: a text begins so",
          model.tokenize(b"the cat", add_bos=True, special=False)[0] == begin)
    print(f"llama.cpp (borders): texts begin with {begin}, and {found} end them")


def test(godwit, ids, borders):
    if not here():
        print("llama.cpp: skipped, it is not installed; `make test-interop LLAMA_CPP=yes` does "
              "that, about ten minutes of compiling")
        return
    test_models(godwit, ids)
    test_borders(godwit, borders)
    test_texts(godwit)
