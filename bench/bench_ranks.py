#!/usr/bin/env python3
"""What ranks cost: steps of a small model by one process with two threads, by one rank with two
threads under the supervisor (board, snapshots, verification of the state, checkpoints behind the
steps), and by two ranks with one thread each, which take a snapshot every other step. The time of a
step, all that comes with it included, is what a long run takes more than a short one, divided by
the steps it makes more. All ways in turn, so that a disturbance hits all; the ratios are medians
over the rounds.

bench_ranks.py GODWIT [--rounds N] [--steps N]"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

RECIPE = ["dtype=f32", "model.layers=6", "model.width=192", "model.heads=6", "model.context=64",
          "train.lanes=8", "train.lane_batch=4", "train.validate_every=0", "train.log_every=0",
          "train.checkpoint_every=50", "model.dropout=0"]
WAYS = {"one process, 2 threads": ["--threads", "2"],
        "1 rank of 2 threads": ["--ranks", "1", "--threads", "2"],
        "2 ranks of 1 thread": ["--ranks", "2", "--threads", "1", "train.snapshot_every=2"]}
SHORT = 20  # steps: until all is warm, and the end


def prepare(godwit, folder):
    words = "the bird flies over sea and sand where wind meets water on a long night".split()
    rng = random.Random(1)
    text = " ".join(rng.choices(words, k=100_000))
    (folder / "text.txt").write_text(text)
    subprocess.run([godwit, "prepare", "--out", folder / "data", folder / "text.txt"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def seconds(godwit, folder, recipe, arguments, steps, name):
    run = folder / name
    start = time.monotonic()
    subprocess.run([godwit, "train", recipe, *RECIPE, f"train.steps={steps}", "--data",
                    folder / "data", "--run", run, *arguments], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - start


def step_time(godwit, folder, recipe, arguments, steps, name):
    short = seconds(godwit, folder, recipe, arguments, SHORT, name + "-short")
    return (seconds(godwit, folder, recipe, arguments, SHORT + steps, name) - short) / steps


def snapshot_share(run):
    """What lies between two steps is a snapshot, or is none, by turns: each two make a pair. Of the
    checkpoints' neighbourhood nothing is taken."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    between = {line["step"] - 1: line["between_seconds"] for line in lines}  # after this step
    pairs = [between[step] - between[step + 1] for step in range(SHORT, len(lines) - 2, 2)
             if all((step + k) % 50 for k in range(-1, 3))]
    return statistics.median(pairs) / statistics.median(line["seconds"] for line in lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("godwit")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    recipe = pathlib.Path(__file__).parent.parent / "recipes" / "demo.yaml"
    times, snapshots = {way: [] for way in WAYS}, []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(options.godwit, folder)
        for round_number in range(options.rounds):
            for i, (way, arguments) in enumerate(WAYS.items()):
                times[way].append(step_time(options.godwit, folder, recipe, arguments,
                                            options.steps, f"{round_number}-{i}"))
            snapshots.append(snapshot_share(folder / f"{round_number}-{i}"))
    alone = times["one process, 2 threads"]
    print(f"{'':24} {'ms a step':>10} {'of one process':>15}")
    for way, steps in times.items():
        ratio = statistics.median(s / a for s, a in zip(steps, alone))
        print(f"{way:24} {1000 * statistics.median(steps):10.2f} {ratio:15.3f}")
    print(f"a snapshot takes {100 * statistics.median(snapshots):.2f} % of a step")
    return 0


if __name__ == "__main__":
    sys.exit(main())
