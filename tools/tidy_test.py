#!/usr/bin/env python3
"""The test of tidy: small trees, each with one fault that tidy must find, or none.

Every case writes its files into a scratch folder beside a tree that is clean and compares the rules
that tidy reports with the ones expected.
"""

import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import tidy  # noqa: E402 (the folder must be on the path first)

WAIVE = "tidy: " + "waiver "
CLEAN = {
    "Makefile": "# Targets.\nbuild: ## build\n",
    "include/godwit/world.h": "/* The public header. */\n",
    "src/base/ground.h": "/* The ground. */\n",
    "src/train/loop.h": "/* The loop. */\n",
    "test/unit/helper.h": "/* For tests. */\n",
    "app/fly.c": '/* godwit fly. */\n#include "godwit/world.h"\n',
}


def function(lines, inside=""):
    """A C file with one function of `lines` lines."""
    body = ["int long_one(int a) {" + inside] + ["  a++;"] * (lines - 2) + ["}"]
    return "/* A file. */\n" + "\n".join(body) + "\n"


def calls(statement):
    return "/* A file. */\nvoid f(void) { " + statement + " }\n"


# name, files added to CLEAN, the rules expected in the order of the report
CASES = [
    ("a clean tree", {}, []),
    ("a folder includes a later one",
     {"src/base/up.c": '/* Up. */\n#include "train/loop.h"\n'}, ["folder-order"]),
    ("a folder includes an earlier one",
     {"src/train/down.c": '/* Down. */\n#include "base/ground.h"\n'}, []),
    ("a public header includes a private one",
     {"include/godwit/leak.h": '/* Leak. */\n#include "base/ground.h"\n'}, ["folder-order"]),
    ("app includes a private header",
     {"app/dig.c": '/* Dig. */\n#include "base/ground.h"\n'}, ["folder-order"]),
    ("the library includes a test header",
     {"src/base/odd.c": '/* Odd. */\n#include "../../test/unit/helper.h"\n'}, ["folder-order"]),
    ("an include in a comment is none",
     {"src/base/said.c": '/* Said:\n#include "train/loop.h"\n*/\n'}, []),
    ("a folder that is in no list",
     {"src/attic/old.c": "/* Old. */\n"}, ["folder-order"]),
    ("an include that leads nowhere",
     {"src/base/lost.c": '/* Lost. */\n#include "base/nowhere.h"\n'}, ["include-path"]),
    ("a function of 70 lines", {"src/base/long.c": function(70)}, []),
    ("a function of 71 lines", {"src/base/long.c": function(71)}, ["function-length"]),
    ("a function of 71 lines, waived",
     {"src/base/long.c": function(71, f" /* {WAIVE}function-length one table */")}, []),
    ("a macro of 71 lines",
     {"src/base/macro.h": "/* M. */\n#define M \\\n" + "  x; \\\n" * 69 + "  x\n"},
     ["function-length"]),
    ("a file of 801 lines", {"src/base/big.h": "/* Big. */\n" + "\n" * 800}, ["file-length"]),
    ("a file of 801 lines, waived",
     {"src/base/big.h": f"/* Big. {WAIVE}file-length tables */\n" + "\n" * 800}, []),
    ("a file of 1201 lines, waived in vain",
     {"src/base/big.h": f"/* Big. {WAIVE}file-size tables */\n" + "\n" * 1200},
     ["file-size", "waiver"]),
    ("a line of 101 columns", {"src/base/wide.h": "/* W. */\n/* " + "w" * 95 + " */\n"},
     ["line-length"]),
    ("exit in the library", {"src/train/x.c": calls("exit(1);")}, ["banned-call"]),
    ("abort in the library", {"src/train/x.c": calls("abort();")}, ["banned-call"]),
    ("printf in the library", {"src/train/x.c": calls('printf("x");')}, ["banned-call"]),
    ("fprintf to stderr", {"src/train/x.c": calls('fprintf(stderr, "x");')}, ["banned-call"]),
    ("fputs to stdout", {"src/train/x.c": calls('fputs("x", stdout);')}, ["banned-call"]),
    ("getenv in the library", {"src/train/x.c": calls('getenv("X");')}, ["banned-call"]),
    ("fprintf to a given file", {"src/train/x.c": calls('fprintf(file, "exit(1)");')}, []),
    ("exit in base", {"src/base/x.c": calls("exit(1);")}, []),
    ("getenv in app", {"app/ask.c": calls('getenv("NO_COLOR");')}, []),
    ("libm", {"src/train/x.c": "/* X. */\n#include <math.h>\n"}, ["math-header"]),
    ("libm in a test", {"test/unit/x.c": "/* X. */\n#include <math.h>\n"}, []),
    ("libm by a builtin", {"src/op/x.c": calls("y = __builtin_expf(x);")}, ["math-header"]),
    ("fused multiply-add by a builtin", {"src/op/x.c": calls("y = __builtin_fmaf(a, b, c);")}, []),
    ("malloc in a kernel", {"src/kernel/cpu/x.c": calls("p = malloc(1);")}, ["kernel-allocation"]),
    ("malloc elsewhere", {"src/train/x.c": calls("p = malloc(1);")}, []),
    ("dead code", {"src/base/x.c": "/* X. */\n#if 0\n#endif\n"}, ["banned-word"]),
    ("a promise", {"src/base/x.c": "/* X. TO" + "DO more */\n"}, ["banned-word"]),
    ("the same name twice", {"src/os/ground.h": "/* Again. */\n"}, ["unique-name"]),
    ("a command named like a part of the library", {"src/base/hash.c": "/* H. */\n",
                                                    "app/hash.c": "/* H. */\n"}, []),
    ("no opening comment", {"src/base/x.c": "int x;\n"}, ["header-comment"]),
    ("no opening comment in a script", {"tools/x.sh": "#!/bin/sh\ntrue\n"}, ["header-comment"]),
    ("an empty opening comment", {"src/base/x.c": "/* */\n"}, ["header-comment"]),
    ("a waiver for nothing",
     {"src/base/x.c": f"/* X. */\nint x; /* {WAIVE}line-length wide */\n"}, ["waiver"]),
    ("a waiver without a reason",
     {"src/train/x.c": calls(f"exit(1); /* {WAIVE}banned-call */")}, ["waiver", "banned-call"]),
    ("commands that exist", {"README.md": "`make build`, `godwit fly --far`, `make`\n"}, []),
    ("a target that does not exist", {"README.md": "Run `make haste`.\n"}, ["docs-command"]),
    ("a command that does not exist",
     {"docs/tour.md": "```sh\nmake build && build/godwit swim\n```\n"}, ["docs-command"]),
    ("prose is no command", {"README.md": "Birds make haste; godwit swim.\n"}, []),
]


def rules_found(files):
    with tempfile.TemporaryDirectory() as root:
        for path, text in {**CLEAN, **files}.items():
            full = os.path.join(root, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        findings, _, _ = tidy.tidy(root)
        return [finding.rule for finding in findings]


def main():
    failed = 0
    for name, files, expected in CASES:
        found = rules_found(files)
        if sorted(found) != sorted(expected):
            failed += 1
            print(f"{name}: found {found}, expected {expected}")
    print(f"tidy_test: {len(CASES) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
