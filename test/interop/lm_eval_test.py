#!/usr/bin/env python3
"""`make test-interop`: `godwit serve`, asked by those who ask such servers.

usage: lm_eval_test.py BINARY

BINARY is the folder with godwit. lm-eval runs its own tasks over the server, on small files made
here and, where they are, on real ones from ../shared/data; every log-likelihood must be the same
double that `godwit eval` finds, every metric the same. OpenAI's client completes, streams and
scores. Nothing is fetched from anywhere.
"""

import bz2
import json
import logging
import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from interop_test import run

SOURCE = pathlib.Path(__file__).resolve().parents[2]
TOKEN = "a-secret-of-24-characters"
CONTEXT = 192
ITEMS, REAL_ITEMS = 30, 200
# Of each task: where lm-eval has it, the split that it is asked for, the metrics in common.
TASKS = {
    "hellaswag": ("hellaswag/hellaswag.yaml", "validation", ["acc", "acc_norm"]),
    "lambada": ("lambada/lambada_openai.yaml", "test", ["acc", "perplexity"]),
    "blimp": ("blimp/_template_yaml", "train", ["acc"]),
    "arc": ("arc/arc_easy.yaml", "test", ["acc", "acc_norm"]),
    "piqa": ("piqa/piqa.yaml", "validation", ["acc", "acc_norm"]),
    "winogrande": ("winogrande/default.yaml", "validation", ["acc"]),
}

checks = failures = 0


def check(what, holds):
    global checks, failures
    checks += 1
    if not holds:
        failures += 1
        print(f"FAILED: {what}", flush=True)


# ---- items ----

def made_items():
    """Items of every task; texts have names of special tokens in them and what is not ASCII, and
    some are longer than the context."""
    words = ("the bird flies over sea and sand where wind meets water on a long quiet night naïve "
             "中文 <|endoftext|> [b]").split()
    source = random.Random(2)

    def text(count):
        return " ".join(source.choice(words) for _ in range(count))

    numbers = range(ITEMS)
    return {
        "hellaswag": [{"activity_label": text(2), "ctx_a": text(250 if i == 3 else 9) + ".",
                       "ctx_b": text(i % 3), "label": str(i % 4),
                       "endings": [text(n) + "." for n in (3, 4, 5, 6)]} for i in numbers],
        "lambada": [{"text": text(250 if i == 3 else 30)} for i in numbers],
        "blimp": [{"sentence_good": text(5), "sentence_bad": text(6)} for _ in numbers],
        "arc": [{"question": text(6) + "?", "answerKey": "ABC"[i % 3],
                 "choices": {"text": [text(1), text(2), text(2)], "label": ["A", "B", "C"]}}
                for i in numbers],
        "piqa": [{"goal": text(5) + " ", "sol1": text(4), "sol2": text(5), "label": i % 2}
                 for i in numbers],
        "winogrande": [{"sentence": text(3) + " _ " + text(4) + ".", "option1": text(1),
                        "option2": text(2), "answer": str(1 + i % 2)} for i in numbers],
    }


def real_items():
    data = SOURCE.parent / "shared" / "data"
    hellaswag = data / "hellaswag" / "hellaswag_val_full.txt.bz2"
    lambada = data / "lambada" / "lambada_openai.jsonl"
    if not hellaswag.exists() or not lambada.exists():
        print("skipped: no real items in ../shared/data")
        return {}
    lines = bz2.open(hellaswag, "rt", encoding="utf-8").read().split("\n")
    words = [json.loads(line) for line in lambada.read_text(encoding="utf-8").splitlines()]
    return {
        "hellaswag": [{"activity_label": lines[i].partition(": ")[0],
                       "ctx_a": lines[i].partition(": ")[2], "ctx_b": "", "label": lines[i + 1],
                       "endings": lines[i + 2:i + 6]} for i in range(0, 6 * REAL_ITEMS, 6)],
        "lambada": [{"text": item["context"] + " " + item["continuation"]}
                    for item in words[:REAL_ITEMS]],
    }


def write_items(work):
    """Files of items by the name of a case, (task, path) each."""
    cases = {}
    for suffix, tasks in ("", made_items()), ("-real", real_items()):
        for task, items in tasks.items():
            path = work / f"{task}{suffix}.jsonl"
            lines = [json.dumps(item, ensure_ascii=False) + "\n" for item in items]
            path.write_text("".join(lines), encoding="utf-8")
            cases[task + suffix] = task, path
    return cases


# ---- model and server ----

def train(godwit, work, paths):
    """On the items' own words, so that they become few tokens."""
    (work / "text.txt").write_bytes(b"".join(path.read_bytes() for path in paths))
    (work / "recipe.yaml").write_text("{}\n")
    run(godwit, "prepare", "--out", work / "data", "--tokenizer", "bpe", "--vocab-size", 1000,
        work / "text.txt")
    run(godwit, "train", work / "recipe.yaml", "--data", work / "data", "--run", work / "run",
        "model.layers=2", "model.width=64", "model.heads=4", "model.kv_heads=2",
        f"model.context={CONTEXT}", "train.steps=60", "train.lanes=1", "train.lane_batch=4")


class Server:
    def __init__(self, godwit, work):
        (work / "token").write_text(TOKEN + "\n")
        self.process = subprocess.Popen(
            [godwit, "serve", work / "run", "--listen", "127.0.0.1:0", "--token-file",
             work / "token"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        if not self.address:
            raise SystemExit(f"godwit serve: {self.process.stderr.read().strip()}")

    def __enter__(self):
        return self.address

    def __exit__(self, *_):
        self.process.terminate()
        check("the server ends with 0", self.process.wait(60) == 0)


# ---- lm-eval ----

def write_tasks(work, cases):
    """lm-eval's own descriptions, with our files for its data."""
    import lm_eval
    theirs = pathlib.Path(lm_eval.__file__).parent / "tasks"
    (work / "tasks").mkdir()
    for name, (task, path) in cases.items():
        yaml, split, _ = TASKS[task]
        splits = {"training_split": None, "validation_split": None, "test_split": None}
        splits["test_split" if split == "test" else "validation_split"] = split
        lines = {"include": str(theirs / yaml), "task": f"godwit-{name}", "tag": None,
                 "dataset_path": "json", "dataset_name": None,
                 "dataset_kwargs": {"data_files": {split: str(path)}}, **splits}
        (work / "tasks" / f"{name}.yaml").write_text(
            "".join(f"{key}: {json.dumps(value)}\n" for key, value in lines.items()))


def local_completions(address):
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    return LocalCompletionsAPI(
        base_url=f"{address}/v1/completions", model="run", tokenizer_backend="remote",
        auth_token=TOKEN, header={"Authorization": f"Bearer {TOKEN}"}, max_length=CONTEXT + 2,
        num_concurrent=4, batch_size=8)


def same_metric(ours, theirs):
    return ours == theirs or math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=0)


def compare(godwit, work, name, task, path, results):
    ours = json.loads(run(godwit, "eval", work / "run", "--task", task, "--task-data", path,
                          "--items", work / "items.jsonl", "--json"))
    items = [json.loads(line)["log_likelihoods"] for line in open(work / "items.jsonl")]
    samples = sorted(results["samples"][f"godwit-{name}"], key=lambda sample: sample["doc_id"])
    theirs = [[answers[0][0] for answers in sample["resps"]] for sample in samples]
    check(f"{name}: {len(theirs)} items", len(items) == len(theirs) > 0)
    for i, (mine, found) in enumerate(zip(items, theirs)):
        check(f"{name}, item {i}: {mine} and {found}", mine == found)
    metrics = results["results"][f"godwit-{name}"]
    names = [key + end for key in TASKS[task][2] for end in ("", "_stderr")]
    names = [key for key in names if key != "perplexity_stderr"]  # theirs is drawn at random
    for key in names:
        found = metrics[f"{key},none"]
        check(f"{name}: {key} {ours[key]} and {found}", same_metric(ours[key], found))
    shown = ", ".join(f"{key} {ours[key]:.6g}" for key in TASKS[task][2])
    print(f"{name}: {sum(map(len, items))} log-likelihoods of {len(items)} items, {shown}",
          flush=True)


def test_tasks(godwit, work, address, cases):
    import lm_eval
    from lm_eval.tasks import TaskManager
    write_tasks(work, cases)
    results = lm_eval.simple_evaluate(
        model=local_completions(address), tasks=[f"godwit-{name}" for name in cases],
        task_manager=TaskManager(include_path=str(work / "tasks")), bootstrap_iters=2,
        log_samples=True)
    for name, (task, path) in cases.items():
        compare(godwit, work, name, task, path, results)


def test_generation(godwit, work, address):
    """What tasks that generate ask: the likeliest tokens up to one of some texts."""
    from lm_eval.api.instance import Instance
    prompts, stops, tokens = ["the bird flies", "naïve 中文", "where wind meets"], ["t", "."], 60
    ids = [json.loads(text)["tokens"] for text in
           (post(address, "/tokenize", {"prompt": prompt}) for prompt in prompts)]
    requests = [Instance("generate_until", {}, (prompt, {"until": until, "max_gen_toks": tokens}),
                         i) for i, (prompt, until) in enumerate(
                             (prompt, until) for until in (stops, []) for prompt in prompts)]
    texts = local_completions(address).generate_until(requests, disable_tqdm=True)
    for i, text in enumerate(texts):
        made = run(godwit, "generate", work / "run", "--tokens", tokens, "--temperature", 0,
                   "--ids", ",".join(map(str, ids[i % len(prompts)])))
        made = {"tokens": [int(word) for word in made.split()]}
        whole = json.loads(post(address, "/detokenize", made))["prompt"]
        until = requests[i].args[1]["until"]
        end = min([whole.find(stop) for stop in until if stop in whole], default=len(whole))
        check(f"generate_until {requests[i].args}: {text!r} of {whole!r}", text == whole[:end])
    print(f"generate_until: {len(texts)} texts, the longest of {max(map(len, texts))} characters")


def post(address, path, body):
    import requests
    answer = requests.post(address + path, json=body, timeout=60,
                           headers={"Authorization": f"Bearer {TOKEN}"})
    answer.raise_for_status()
    return answer.text


# ---- OpenAI's client ----

def raises(kind, call, text):
    try:
        call()
    except kind as error:
        return text in str(error)
    return False


def test_openai(godwit, work, address):
    import openai
    client = openai.OpenAI(base_url=f"{address}/v1", api_key=TOKEN, max_retries=0)
    prompt = "the bird flies"
    asked = {"model": "run", "prompt": prompt, "max_tokens": 40, "temperature": 0}
    whole = client.completions.create(**asked)
    made = run(godwit, "generate", work / "run", "--prompt", prompt, "--tokens", 40,
               "--temperature", 0)
    check("openai: the text", prompt + whole.choices[0].text + "\n" == made)
    check("openai: usage", whole.usage.completion_tokens == 40 and whole.usage.prompt_tokens > 0)
    chunks = list(client.completions.create(**asked, stream=True,
                                            stream_options={"include_usage": True}))
    text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
    check("openai: the stream", text == whole.choices[0].text and len(chunks) > 10)
    check("openai: its usage", chunks[-1].usage == whole.usage)
    scored = client.completions.create(**{**asked, "max_tokens": 1}, echo=True, logprobs=2)
    scores = scored.choices[0].logprobs
    check("openai: echo", scored.choices[0].text.startswith(prompt) and
          "".join(scores.tokens) == scored.choices[0].text)
    check("openai: log-probabilities", all(
        value <= max(top.values()) < 0 and len(top) in (2, 3)
        for value, top in zip(scores.token_logprobs, scores.top_logprobs)))
    check("openai: text offsets", [scored.choices[0].text[at:at + len(token)] for token, at in
                                   zip(scores.tokens, scores.text_offset)] == scores.tokens)
    check("openai: models", [model.id for model in client.models.list()] == ["run"])
    stranger = client.with_options(api_key=TOKEN[:-1] + "x")
    check("openai: BadRequestError", raises(
        openai.BadRequestError, lambda: client.completions.create(**asked, n=1000), "'n'"))
    check("openai: AuthenticationError", raises(
        openai.AuthenticationError, lambda: stranger.completions.create(**asked), "token"))
    check("openai: NotFoundError", raises(
        openai.NotFoundError, lambda: client.models.retrieve("other"), "nothing at this path"))
    print(f"openai {openai.__version__}: {len(chunks)} chunks of the same text")


def main():
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", DISABLE_MULTIPROC="1",
                      TQDM_DISABLE="1")
    logging.disable(logging.WARNING)
    godwit = pathlib.Path(sys.argv[1]).resolve() / "godwit"
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        os.environ["HF_HOME"] = str(work / "huggingface")
        cases = write_items(work)
        train(godwit, work, [path for _, path in cases.values()])
        with Server(godwit, work) as address:
            test_tasks(godwit, work, address, cases)
            test_generation(godwit, work, address)
            test_openai(godwit, work, address)
    print(f"{checks} checks, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
