#!/usr/bin/env python3
"""tiktoken or Hugging Face's tokenizers, the peers of bench_tokenizer, by the same lines.

usage: tokenizers_peer.py tiktoken ENCODING RANKS TEXT THREADS
       tokenizers_peer.py train VOCAB_SIZE TEXT THREADS
"""

import base64
import json
import os
import sys
import time

# openai_public.py of tiktoken
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
CL100K = "|".join([
    r"'(?i:[sdmt]|ll|ve|re)", r"[^\r\n\p{L}\p{N}]?+\p{L}++", r"\p{N}{1,3}+",
    r" ?[^\s\p{L}\p{N}]++[\r\n]*+", r"\s++$", r"\s*[\r\n]", r"\s+(?!\S)", r"\s"])
PREFIX, SUFFIX = r"[^\r\n\p{L}\p{N}]?", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
O200K = "|".join([
    f"{PREFIX}{UPPER}*{LOWER}+{SUFFIX}", f"{PREFIX}{UPPER}+{LOWER}*{SUFFIX}", r"\p{N}{1,3}",
    r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
PATTERNS = {"r50k_base": GPT2, "cl100k_base": CL100K, "o200k_base": O200K}


def tiktoken_encoder(encoding, ranks_path, text, threads):
    import tiktoken
    with open(ranks_path, "rb") as file:
        lines = [line.split() for line in file]
    ranks = {base64.b64decode(token): int(rank) for token, rank in lines}
    encoder = tiktoken.Encoding(encoding, pat_str=PATTERNS[encoding], mergeable_ranks=ranks,
                                special_tokens={})
    if threads == 1:
        return lambda: len(encoder.encode_ordinary(text))
    parts = split_lines(text, 64 * 1024)
    return lambda: sum(map(len, encoder.encode_ordinary_batch(parts, num_threads=threads)))


def split_lines(text, size):
    """Parts of at least `size` characters, cut behind line ends: nearly the same tokens."""
    parts, begin = [], 0
    while begin < len(text):
        end = text.find("\n", begin + size) + 1 or len(text)
        parts.append(text[begin:end])
        begin = end
    return parts


def bpe_trainer(vocab_size, path):
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    def train():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=["<|endoftext|>"], show_progress=False,
            min_frequency=2, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        tokenizer.train([path], trainer)
        return tokenizer.get_vocab_size()
    return train


def main():
    if sys.argv[1] == "train":
        vocab_size, path, threads = int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
        os.environ["RAYON_NUM_THREADS"] = str(threads)
        step = bpe_trainer(vocab_size, path)
    else:
        with open(sys.argv[4], encoding="utf-8", newline="") as file:
            text = file.read()
        step = tiktoken_encoder(sys.argv[2], sys.argv[3], text, int(sys.argv[5]))
    print("{}", flush=True)
    for _ in sys.stdin:
        started = time.perf_counter_ns()
        tokens = step()
        print(json.dumps({"ns": time.perf_counter_ns() - started, "tokens": tokens}), flush=True)


if __name__ == "__main__":
    main()
