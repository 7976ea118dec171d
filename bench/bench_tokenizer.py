#!/usr/bin/env python3
"""`make bench-tokenizer`: encoding beside tiktoken, training BPE beside Hugging Face's tokenizers.

usage: bench_tokenizer.py --program FILE --ranks FOLDER [--pairs N] [--texts FILE,...]

Godwit and a peer are kept running and take turns; a ratio is the median over the pairs. FOLDER has
tiktoken's rank files. The texts are the King James Bible (bible-kjv) and Debian's Chinese manual
pages (manpages-zh), which is downloaded once; each is left out, with a message, where it cannot be
had, and so are the peers where tools/peers.sh cannot install them.
"""

import argparse
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys

from line_program import Missing, Program

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"), "godwit")
PEER_PYTHON = CACHE / "tokenizers-venv" / "bin" / "python"
PEER = ROOT / "bench" / "peers" / "tokenizers_peer.py"
ENCODINGS = ["r50k_base", "cl100k_base", "o200k_base"]
VOCAB_SIZE = 32768


def english(folder):
    path = folder / "english.txt"
    with open(path, "wb") as file:
        subprocess.run(["bible", "-f", "gen1:1-rev22:21"], stdout=file, check=True)
    return path


def chinese(folder):
    """The Chinese manual pages without lines that are only markup, one after the other."""
    path = CACHE / "chinese.txt"
    if path.exists():
        return path
    subprocess.run(["apt-get", "download", "manpages-zh"], cwd=folder, check=True,
                   capture_output=True)
    package = next(folder.glob("manpages-zh_*.deb"))
    subprocess.run(["dpkg-deb", "-x", package, folder / "pages"], check=True)
    pages = sorted((folder / "pages").glob("usr/share/man/zh_CN/man*/*.gz"))
    text = b"".join(gzip.decompress(page.read_bytes()) for page in pages if not page.is_symlink())
    lines = [line for line in text.split(b"\n") if not line.startswith((b".", b"'"))]
    path.write_text(b"\n".join(lines).decode("utf-8", errors="ignore"), encoding="utf-8")
    return path


def find_texts(folder):
    for title, find in (("English", english), ("Chinese", chinese)):
        try:
            yield title, find(folder)
        except (OSError, StopIteration, subprocess.CalledProcessError) as problem:
            print(f"skipped: no {title} text ({problem})")


def take_turns(ours, theirs, pairs):
    """Median nanoseconds of both, the median ratio, and the tokens that both gave."""
    with Program([str(part) for part in ours], {}) as us, \
            Program([str(part) for part in theirs], {}) as them:
        us.step(), them.step()  # caches, and what is set up at first use
        answers = [(us.ask("step"), them.ask("step")) for _ in range(pairs)]
    ns = [(a["ns"], b["ns"]) for a, b in answers]
    return (statistics.median(a for a, _ in ns), statistics.median(b for _, b in ns),
            statistics.median(b / a for a, b in ns), [answers[0][i]["tokens"] for i in (0, 1)])


def compare(what, text, threads, ours, theirs, pairs):
    size = text.stat().st_size
    try:
        us, them, ratio, tokens = take_turns(ours, theirs, pairs)
    except (Missing, OSError) as missing:
        print(f"{what}: left out, {missing}")
        return None
    row = {"what": what, "threads": threads, "bytes": size, "ms": us / 1e6, "peer_ms": them / 1e6,
           "ratio": ratio, "tokens": tokens}
    print(f"{what:34} {threads:2} {size / us * 1e3:9.1f} {size / them * 1e3:9.1f} {ratio:7.2f} x"
          f" {tokens[0]:11,} {tokens[1]:11,}", flush=True)
    return row


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("--ranks", type=pathlib.Path)
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    folder = ROOT / "build" / "results" / "texts"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    print(f"{'':34} {'':2} {'godwit':>9} {'peer':>9} {'':9} {'tokens':>11} {'the peer`s':>11}\n"
          f"{'':34} {'':2} {'MB/s':>9} {'MB/s':>9}")
    for title, text in find_texts(folder):
        for encoding in ENCODINGS if options.ranks else []:
            ranks = options.ranks / f"{encoding}.tiktoken"
            for threads in (1, 2):
                rows.append(compare(
                    f"{title}, {encoding}", text, threads,
                    [options.program, "encode", ranks, text, threads],
                    [PEER_PYTHON, PEER, "tiktoken", encoding, ranks, text, threads],
                    options.pairs))
        for threads in (1, 2):
            rows.append(compare(
                f"{title}, training {VOCAB_SIZE}", text, threads,
                [options.program, "train", VOCAB_SIZE, text, threads],
                [PEER_PYTHON, PEER, "train", VOCAB_SIZE, text, threads], options.pairs))
    with open(ROOT / "build" / "results" / "tokenizer.json", "w", encoding="utf-8") as file:
        json.dump([row for row in rows if row], file, indent=2)
    return 0


if __name__ == "__main__":
    sys.exit(main())
