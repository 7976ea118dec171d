"""What the interop tests share: running programs, counting checks, and the texts."""

import json
import random
import subprocess

GREEDY = 64
SIZES = ["model.layers=2", "model.width=64", "model.heads=4", "model.context=256",
         "train.steps=60", "train.lanes=1", "train.lane_batch=2"]
MODELS = {
    "gpt2": ["model.family=gpt2"],
    "llama": ["model.kv_heads=2", "model.tie_embeddings=false"],
    "llama-tied": ["model.kv_heads=4", "model.tie_embeddings=true", "model.rope_theta=500000"],
    "qwen3": ["model.kv_heads=2", "model.qk_norm=true", "model.tie_embeddings=true"],
    "qwen3-wide": ["model.kv_heads=2", "model.qk_norm=true", "model.head_width=32"],
}


class Checks:
    """Counts checks and names those that fail."""

    def __init__(self):
        self.count = self.failures = 0

    def __call__(self, what, holds):
        self.count += 1
        if not holds:
            self.failures += 1
            print(f"FAILED: {what}", flush=True)


check = Checks()


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


class Godwit:
    """The built programs, and a scratch folder for what they make."""

    def __init__(self, binary, work):
        self.program, self.helper = binary / "godwit", binary / "test" / "interop_helper"
        self.work = work

    def run(self, *arguments):
        return run(self.program, *arguments)

    def train_models(self):
        (self.work / "text.txt").write_text(words_text(3000), encoding="utf-8")
        (self.work / "recipe.yaml").write_text("{}\n")
        self.run("prepare", "--out", self.work / "data", "--tokenizer", "bpe", "--vocab-size", 400,
                 self.work / "text.txt")
        for name, keys in MODELS.items():
            self.train(name, *keys)
            self.run("export", self.work / name, "--to", "hf", self.work / f"{name}-hf")

    def train(self, name, *arguments):
        self.run("train", self.work / "recipe.yaml", "--data", self.work / "data", "--run",
                 self.work / name, *SIZES, *arguments)

    def greedy(self, run_folder, ids):
        return [int(word) for word in
                self.run("generate", run_folder, "--ids", ",".join(map(str, ids)), "--tokens",
                         GREEDY, "--temperature", 0).split()]

    def logits(self, run_folder, ids):
        return [float(line) for line in
                run(self.helper, "logits", run_folder, ",".join(map(str, ids))).split()]

    def encode(self, tokenizer, texts):
        """The ids of each text."""
        (self.work / "texts").write_bytes("\0".join(texts).encode("utf-8"))
        lines = run(self.helper, "encode", tokenizer, self.work / "texts").split("\n")[:-1]
        assert len(lines) == len(texts)
        return [[int(id) for id in line.split()] for line in lines]


def largest_gap(ours, theirs):
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def read_json(path):
    return json.loads(path.read_text(encoding="utf-8"))
