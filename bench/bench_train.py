#!/usr/bin/env python3
"""`make bench-train`: godwit's training step against its peers', pair by pair.

usage: bench_train.py --programs FOLDER [--models A,B] [--dtypes f32,bf16] [--peers A,B|all|none]
                      [--pairs N] [--threads N] [--lanes N] [--quick] [--record] [--out FILE]
                      [--instructions]

For each model and number format godwit and one peer at a time are kept running and take turns:
one step here, one step there. The ratio is the median over the pairs, so that whatever else the
machine does meets both alike. FLOPs are 6 N + 12 L T C per token, N without the position
embeddings: every product of the step, attention counted in full as if nothing were masked. The
peak is that of fused multiply-adds on as many threads, measured in the same run; for bf16 the
larger of that and of the bf16 dot product. Memory is the highest resident size during the pairs.
Results are also written to build/results/train.json or FILE, with --record to bench/results/ too.
"""

import argparse
import collections
import datetime
import json
import os
import re
import statistics
import subprocess
import sys

from line_program import Missing, Program

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CACHE = os.path.join(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "godwit")
PEER_PYTHON = os.path.join(CACHE, "torch-venv", "bin", "python")

Shape = collections.namedtuple("Shape", "layers width heads context vocab batch title")

MODELS = {
    "gpt2-1024": Shape(12, 768, 12, 1024, 50257, 4, "GPT-2 124M"),
    "gpt2-64": Shape(12, 768, 12, 64, 50257, 4, "GPT-2 124M"),
    "baby": Shape(6, 384, 6, 256, 65, 16, "baby GPT 6L/384"),  # nanoGPT's for Shakespeare
    "tiny": Shape(4, 128, 4, 128, 65, 32, "tiny GPT 4L/128"),
}
QUICK = {"quick": Shape(2, 32, 2, 16, 65, 2, "a model for testing")}

# What a recipe says for each number format.
DTYPES = {"f32": [], "bf16": ["dtype=bf16"]}

# Huge pages, memory kept instead of given back, one arena: worth about half of PyTorch's time where
# steps allocate much.
MALLOC = {"hugetlb": 1, "mmap_max": 0, "trim_threshold": 1 << 34, "top_pad": 1 << 26,
          "arena_max": 1}
TUNED = {"GLIBC_TUNABLES": ":".join(f"glibc.malloc.{key}={MALLOC[key]}" for key in MALLOC)}

Peer = collections.namedtuple("Peer", "title options environment slow")
PEERS = {
    "torch": Peer("PyTorch as it comes", [], {}, True),
    "torch-tuned": Peer("PyTorch tuned", [], TUNED, False),
    "torch-compiled": Peer("PyTorch compiled, tuned", ["--compile"], TUNED, False),
    "one-thread": Peer("godwit, 1 thread", None, {}, True),
    "kept": Peer("godwit, train.keep_packed", None, {}, True),
}
LONG = "gpt2-1024"  # leaves out the peers marked slow unless they are named
LANE_TRIALS = 6  # steps in which godwit tries both ways of using threads, if there are lanes


def godwit_command(run, shape, dtype, threads, more=()):
    sizes = {"family": "gpt2", "layers": shape.layers, "width": shape.width, "heads": shape.heads,
             "context": shape.context, "vocab_size": shape.vocab}
    keys = [f"model.{key}={sizes[key]}" for key in sizes]
    keys += [f"train.lanes={run.lanes}", f"train.lane_batch={shape.batch}", *DTYPES[dtype], *more]
    return [os.path.join(run.programs, "bench_train"), str(threads), *keys]


def start_godwit(run, shape, dtype, threads, more=()):
    return Program(godwit_command(run, shape, dtype, threads, more), {})


def start_torch(run, shape, dtype, peer):
    if not os.path.exists(PEER_PYTHON):
        raise Missing("PyTorch is not installed; tools/peers.sh torch installs it")
    command = [PEER_PYTHON, os.path.join(ROOT, "bench", "peers", "torch_gpt.py"), *peer.options,
               "--threads", str(run.threads), "--lanes", str(run.lanes), "--dtype", dtype]
    for size in ("layers", "width", "heads", "context", "vocab", "batch"):
        command += [f"--{size}", str(getattr(shape, size))]
    environment = {"OMP_NUM_THREADS": str(run.threads), "CUDA_VISIBLE_DEVICES": "",
                   "TORCHINDUCTOR_CACHE_DIR": os.path.join(ROOT, "build", "inductor")}
    return Program(command, {**environment, **peer.environment})


def start_peer(run, shape, dtype, peer):
    if peer is PEERS["kept"]:
        return start_godwit(run, shape, dtype, run.threads, ["train.keep_packed=true"])
    if peer is PEERS["one-thread"]:
        return start_godwit(run, shape, dtype, 1)
    return start_torch(run, shape, dtype, peer)


def take_turns(run, programs):
    """Fills each program's ns, round by round, and its memory."""
    for program in programs:
        for _ in range(1 if run.lanes == 1 else 1 + LANE_TRIALS):
            program.step()
        program.forget_memory_peak()
    for _ in range(run.pairs):
        for program in programs:
            program.ns.append(program.step())
    for program in programs:
        program.memory = program.memory_peak()


def result_of(ours, peaks):
    return {"ours_ns": ours.ns, "ours_memory": ours.memory, "isa": ours.hello["isa"],
            "parameters": ours.hello["parameters"],
            "peaks": {key: max(peak[key] for peak in peaks) for key in peaks[0]}}


def peer_result(run, peer, ours, theirs):
    if theirs.hello["parameters"] != ours.hello["parameters"]:
        sys.exit(f"{peer.title}: another model: {theirs.hello['parameters']} parameters")
    ratio = statistics.median(b / a for a, b in zip(ours.ns, theirs.ns))
    return {"peer": peer.title, "peer_ns": theirs.ns, "peer_memory": theirs.memory,
            "ratio": ratio, "torch": theirs.hello.get("torch"),
            "peer_threads": 1 if peer is PEERS["one-thread"] else run.threads}


def run_alone(run, shape, dtype):
    with start_godwit(run, shape, dtype, run.threads) as ours:
        peaks = [ours.ask("peak")]
        take_turns(run, [ours])
        return result_of(ours, [*peaks, ours.ask("peak")])


def compare(run, shape, dtype, peer):
    """One peer's pairs."""
    with start_godwit(run, shape, dtype, run.threads) as ours:
        with start_peer(run, shape, dtype, peer) as theirs:
            peaks = [ours.ask("peak")]
            take_turns(run, [ours, theirs])
            result = result_of(ours, [*peaks, ours.ask("peak")])
            return result | peer_result(run, peer, ours, theirs)


def count_instructions(run, shape, dtype):
    """Of one step on one thread, by callgrind: a figure that no neighbour can disturb. None where
    it cannot be had. Valgrind knows no AVX-512, so it is AVX2 that is counted."""
    command = ["valgrind", "--tool=callgrind", "--toggle-collect=run_step",
               "--callgrind-out-file=/dev/null", *godwit_command(run, shape, dtype, 1)]
    try:
        done = subprocess.run(command, input="step\n", capture_output=True, text=True)
    except FileNotFoundError:
        return None
    match = re.search(r"Collected : (\d+)", done.stderr)
    return int(match[1]) if match else None


def flops_per_token(shape, parameters):
    counted = parameters - shape.context * shape.width
    return 6 * counted + 12 * shape.layers * shape.context * shape.width


class Table:
    """Prints rows of one model and number format as they come."""

    def __init__(self, lanes, shape, dtype, comparisons):
        self.tokens = lanes * shape.batch * shape.context
        self.flops = self.tokens * flops_per_token(shape, comparisons[0]["parameters"])
        self.peaks = {key: max(c["peaks"][key] for c in comparisons) for key in ("fma", "bf16")}
        self.peak = self.peaks["fma"] if dtype == "f32" else max(self.peaks.values())
        of_lanes = f"{lanes} lanes of " if lanes > 1 else ""
        print(f"\n{shape.title}, {of_lanes}{shape.batch} x {shape.context}, {dtype}: "
              f"{self.flops / 1e9:,.0f} GFLOP per step, peak {self.peak:.0f} GFLOP/s")
        print(f"  {'':26}{'ms':>10}{'tokens/s':>11}{'of peak':>9}{'against':>9}{'MiB':>8}")

    def row(self, title, ns, memory, ratio=None, part=1.0):
        time_ns = statistics.median(ns)
        share = f"{100 * self.flops / time_ns / self.peak / part:.1f} %" if self.peak else "-"
        against = f"{ratio:.2f} x" if ratio else ""
        print(f"  {title:26}{time_ns / 1e6:10,.1f}{self.tokens / time_ns * 1e9:11,.0f}{share:>9}"
              f"{against:>9}{memory / 2**20:8,.0f}")


def show(run, shape, dtype, comparisons):
    table = Table(run.lanes, shape, dtype, comparisons)
    table.row("godwit", [ns for c in comparisons for ns in c["ours_ns"]],
              max(c["ours_memory"] for c in comparisons))
    for c in comparisons:
        if "peer" in c:
            table.row(c["peer"], c["peer_ns"], c["peer_memory"], c["ratio"],
                      c["peer_threads"] / run.threads)


def peers_of(run, model):
    names = run.peers
    if names == ["all"]:
        names = [name for name in PEERS if not (model == LONG and PEERS[name].slow)]
        names = [name for name in names if name != "kept" or run.lanes > 1]  # else nothing is kept
    return [PEERS[name] for name in names if name != "none"]


def run_case(run, model, dtype):
    """Every peer of one model and number format; what could not run is said and left out."""
    shape, comparisons, skipped, count = run.shapes[model], [], [], None
    try:
        for peer in peers_of(run, model):
            print(f"{model} {dtype}: {peer.title} ...", file=sys.stderr)
            try:
                comparisons.append(compare(run, shape, dtype, peer))
            except Missing as missing:
                skipped.append(f"{peer.title}: {missing}")
        if not comparisons:
            comparisons.append(run_alone(run, shape, dtype))
        show(run, shape, dtype, comparisons)
        if run.instructions:
            count = count_instructions(run, shape, dtype)
            print(f"  {'instructions per step':26}{f'{count:,}' if count else 'no valgrind':>21}")
    except Missing as missing:
        skipped = [f"{model} {dtype}: {missing}"]
    for line in skipped:
        print(f"  skipped: {line}", flush=True)
    return {"model": model, **shape._asdict(), "dtype": dtype, "comparisons": comparisons,
            "instructions": count, "skipped": skipped}


def first_field(path, key):
    with open(path) as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith(key)), "")


def git(*arguments):
    done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def save(run, cases):
    now = datetime.datetime.now(datetime.timezone.utc)
    commit = git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")
    result = {"date": now.strftime("%Y-%m-%dT%H:%M:%SZ"), "commit": commit,
              "processor": first_field("/proc/cpuinfo", "model name"), "threads": run.threads,
              "lanes": run.lanes, "pairs": run.pairs, "cases": cases}
    paths = [run.out]
    if run.record:
        paths.append(os.path.join(ROOT, "bench", "results", f"train-{now:%Y%m%d-%H%M%S}.json"))
    for path in paths:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        with open(path, "w") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
        print(f"written to {os.path.relpath(path, ROOT)}", file=sys.stderr)


def name_list(known, text):
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"{unknown[0]} is not one of: {', '.join(known)}")
    return names


def parse_arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", required=True, help="the folder of bench_train")
    parser.add_argument("--models", help=f"of {','.join(MODELS)}")
    parser.add_argument("--dtypes", default=",".join(DTYPES))
    parser.add_argument("--peers", default="all", help=f"of {','.join(PEERS)}; or all, or none")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--lanes", type=int, default=1, help="batches per step")
    parser.add_argument("--quick", action="store_true", help="a very small model in place of these")
    parser.add_argument("--record", action="store_true", help="keep the results in bench/results")
    parser.add_argument("--instructions", action="store_true", help="count them too (slow)")
    parser.add_argument("--out", default=os.path.join(ROOT, "build", "results", "train.json"))
    run = parser.parse_args()
    run.shapes = QUICK if run.quick else MODELS
    run.models = name_list(list(run.shapes), run.models or ",".join(run.shapes))
    run.dtypes = name_list(list(DTYPES), run.dtypes)
    run.peers = name_list([*PEERS, "all", "none"], run.peers)
    return run


def main():
    run = parse_arguments()
    print(f"{first_field('/proc/cpuinfo', 'model name')}, {run.threads} threads, {run.pairs} pairs")
    save(run, [run_case(run, model, dtype) for model in run.models for dtype in run.dtypes])


if __name__ == "__main__":
    main()
