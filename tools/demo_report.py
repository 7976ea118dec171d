#!/usr/bin/env python3
"""The end of `make demo`: the model's bits per byte beside four compressors, and a sample.

usage: demo_report.py DEMO_FOLDER RESULT_JSON STARTED (seconds since 1970)

A compressor is measured twice on the same held-out bytes: alone, and after the training text, which
is the growth of the compressed size when the held-out text is appended to the training text.
"""

import concurrent.futures
import json
import os
import subprocess
import sys
import time

COMPRESSORS = {
    "gzip": ["gzip", "-9"],
    "bzip2": ["bzip2", "-9"],
    "xz": ["xz", "-9e"],
    "zstd": ["zstd", "-22", "--ultra", "--long=27"],
}
SAMPLE_CHARACTERS = 400


def compressed_size(command, text):
    return len(subprocess.run(command + ["-c"], input=text, check=True, capture_output=True).stdout)


def measure(training, heldout):
    """Bits per held-out byte by compressor: alone, and after the training text."""
    texts = {"training": training, "heldout": heldout, "both": training + heldout}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        size = {(name, text): pool.submit(compressed_size, command, texts[text])
                for name, command in COMPRESSORS.items() for text in texts}
        size = {key: future.result() for key, future in size.items()}
    bits = 8 / len(heldout)
    alone = {name: bits * size[name, "heldout"] for name in COMPRESSORS}
    after = {name: bits * (size[name, "both"] - size[name, "training"]) for name in COMPRESSORS}
    return alone, after


def print_table(model_bpb, alone, after, heldout_bytes):
    print(f"\nBits per byte on {heldout_bytes:,} bytes of held-out text (less is better)\n")
    print(f"  {'':22}{'alone':>8}{'after the training text':>27}")
    for name in sorted(COMPRESSORS, key=alone.get, reverse=True):
        print(f"  {' '.join(COMPRESSORS[name][:2]):22}{alone[name]:8.3f}{after[name]:27.3f}")
    print(f"  {'godwit':22}{'':8}{model_bpb:27.3f}\n")


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as file:
        return file.read()


def main():
    folder, result_path, started = sys.argv[1], sys.argv[2], float(sys.argv[3])
    heldout = read(folder, "heldout.txt")
    model_bpb = json.loads(read(folder, "eval.json"))["bits_per_byte"]
    alone, after = measure(read(folder, "training.txt"), heldout)
    print_table(model_bpb, alone, after, len(heldout))

    seconds = time.time() - started
    with open(result_path, "w", encoding="utf-8") as file:
        json.dump({"model_bpb": model_bpb, "alone": alone, "after_training": after,
                   "seconds": round(seconds, 1)}, file, indent=2)
        file.write("\n")

    beaten = [sum(model_bpb < bpb for bpb in column.values()) for column in (alone, after)]
    print(f"The model beats {beaten[0]} of {len(alone)} compressors alone, {beaten[1]} of "
          f"{len(after)} after the training text; {seconds:.0f} s in all.\n")
    sample = read(folder, "sample.txt").decode("utf-8", errors="replace")[:SAMPLE_CHARACTERS]
    print(f"A sample of {len(sample)} characters:\n\n{sample}")
    return 0 if beaten[0] == len(alone) else 1


if __name__ == "__main__":
    sys.exit(main())
