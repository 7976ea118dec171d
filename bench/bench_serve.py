#!/usr/bin/env python3
"""What sharing a pass over the weights brings: tokens per second of 1, 4, 8 and 16 requests at once
to `godwit serve`, 64 tokens each, beside those of `godwit generate`, which makes one text after the
other. Models of random parameters: a tiny one and GPT-2 124M. Of `generate` the time is what 64
tokens take more than one, so that opening the model does not count; of the server it is all from
the first request to the last answer. The best of the rounds, which other work on the machine
disturbs least.

bench_serve.py GODWIT [--rounds N] [--quick]"""
import argparse
import http.client
import json
import pathlib
import subprocess
import tempfile
import threading
import time

TOKENS = 64
AT_ONCE = [1, 4, 8, 16]
PROMPT = "a"
MODELS = {
    "tiny": ["model.layers=4", "model.width=128", "model.heads=4", "model.kv_heads=4",
             "model.context=256"],
    "gpt2-124m": ["model.family=gpt2", "model.layers=12", "model.width=768", "model.heads=12",
                  "model.context=1024", "model.vocab_size=50257", "train.lane_batch=1"],
}


def make_model(godwit, folder, name):
    (folder / "recipe.yaml").write_text("{}\n")
    (folder / "text.txt").write_text("some words to have a corpus.\n" * 200)
    if not (folder / "data").exists():
        subprocess.run([godwit, "prepare", "--out", folder / "data", "--val-fraction", "0",
                        folder / "text.txt"], check=True, capture_output=True)
    subprocess.run([godwit, "train", folder / "recipe.yaml", *MODELS[name], "train.lanes=1",
                    "train.validate_every=0", "--data", folder / "data", "--run", folder / name,
                    "--steps", "0"], check=True, capture_output=True)


def generate_seconds(godwit, run, seed, tokens):
    start = time.monotonic()
    subprocess.run([godwit, "generate", run, "--prompt", PROMPT, "--tokens", str(tokens),
                    "--seed", str(seed)], check=True, capture_output=True)
    return time.monotonic() - start


def request(address, model, seed, counts):
    link = http.client.HTTPConnection(address, timeout=600)
    link.request("POST", "/v1/completions", json.dumps(
        {"model": model, "prompt": PROMPT, "max_tokens": TOKENS, "seed": seed}))
    answer = json.loads(link.getresponse().read())
    counts.append(answer["usage"]["completion_tokens"])


def find_seed(address, model):
    """Of a text that does not end before all its tokens are there."""
    seed, counts = 0, [0]
    while counts[-1] != TOKENS:
        seed += 1
        request(address, model, seed, counts)
    return seed


def serve_rate(address, model, seed, at_once):
    counts = []
    threads = [threading.Thread(target=request, args=(address, model, seed, counts))
               for _ in range(at_once)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if counts != [TOKENS] * at_once:
        raise SystemExit(f"{at_once} requests for {TOKENS} tokens each got {counts}")
    return sum(counts) / (time.monotonic() - start)


def show(name, way, rate, alone):
    print(f"{name:<10} {way:<18} {rate:>10.1f} {rate / alone:>11.2f}", flush=True)


def measure(godwit, folder, name, rounds):
    run = folder / name
    make_model(godwit, folder, name)
    server = subprocess.Popen([godwit, "serve", run, "--listen", "127.0.0.1:0", "--slots",
                               str(max(AT_ONCE))], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().strip().partition("//")[2]
        seed = find_seed(address, name)
        whole, one, rates = [], [], {at_once: [] for at_once in AT_ONCE}
        for _ in range(rounds):
            whole.append(generate_seconds(godwit, run, seed, TOKENS))
            one.append(generate_seconds(godwit, run, seed, 1))
            for at_once in AT_ONCE:
                rates[at_once].append(serve_rate(address, name, seed, at_once))
    finally:
        server.terminate()
        server.wait()
    alone = (TOKENS - 1) / (min(whole) - min(one))
    show(name, "generate", alone, alone)
    for at_once in AT_ONCE:
        show(name, f"serve, {at_once} at once", max(rates[at_once]), alone)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("godwit", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two rounds with the tiny model")
    arguments = parser.parse_args()
    print(f"{'model':<10} {'way':<18} {'tokens/s':>10} {'x generate':>11}")
    with tempfile.TemporaryDirectory() as folder:
        for name in ["tiny"] if arguments.quick else MODELS:
            measure(arguments.godwit.resolve(), pathlib.Path(folder), name,
                    2 if arguments.quick else arguments.rounds)


if __name__ == "__main__":
    main()
