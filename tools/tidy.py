#!/usr/bin/env python3
"""Checks the rules of style that a compiler does not know: `make tidy`.

One line per finding, "file:line: rule: text"; the last line is "tidy: N files, N waivers, ok", or
ends with the number of findings. A finding is waived by a comment of the form "tidy: waiver", the
rule's name and a reason, on the same line or anywhere in the function concerned (in the file, for
file-length). A waiver that waives nothing is itself a finding.

Rules: folder-order, include-path, header-comment, function-length, file-length, file-size (the
length that no waiver lifts), line-length, banned-call, banned-word, math-header, kernel-allocation,
unique-name, docs-command, waiver.
"""

import os
import re
import sys

# From the ground up: a folder may include only itself and the folders before it.
FOLDER_ORDER = [
    "include/godwit", "base", "os", "program", "op", "pass", "kernel", "exec", "model", "comm",
    "tokenizer", "data", "state", "infer", "train", "guard", "cluster", "plan", "codec", "interop",
    "serve",
]
SCANNED = ["include", "src", "app", "test", "bench", "examples", "packaging", "tools", "recipes",
           ".ci"]
DATA_FOLDERS = ("test/fuzz/corpus/", "test/golden/")  # content, not code: only names are checked
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"]  # and all of docs/, bench/

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 800
FILE_LINES_WAIVED_MAX = 1200
COLUMNS_MAX = 100

BANNED_CALLS = {
    "exit", "_exit", "_Exit", "quick_exit", "abort", "printf", "vprintf", "puts", "putchar",
    "perror", "getenv", "secure_getenv",
}
BANNED_STREAMS = {"stdout", "stderr"}
ALLOCATORS = {"malloc", "calloc", "realloc", "aligned_alloc", "posix_memalign", "strdup"}
LIBM_BUILTIN = re.compile(
    r"\b__builtin_(?:exp2?|expm1|log(?:2|10|1p)?|sin|cos|tan|tanh|sinh|cosh|pow|cbrt|erf)f?l?\b")
BANNED_WORDS = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
WAIVER = re.compile(r"tidy: waiver ([a-z-]+)((?:(?!\*/).)*)")
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<([^>]+)>)')
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


class Finding:
    def __init__(self, file, line, rule, text):
        self.file, self.line, self.rule, self.text = file, line, rule, text

    def __str__(self):
        return f"{self.file}:{self.line}: {self.rule}: {self.text}"


class Waiver:
    def __init__(self, line, rule):
        self.line, self.rule, self.used = line, rule, False


class Source:
    """A file, its lines, and for C its text without comments, strings and directives."""

    def __init__(self, root, path):
        self.path = path
        with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
            self.text = file.read()
        self.lines = self.text.split("\n")
        if self.lines[-1] == "":
            self.lines.pop()
        self.is_c = path.endswith((".c", ".h", ".cu", ".cuh"))
        self.findings, self.waivers, self.functions = [], [], []
        if self.is_c:
            self.without_comments = blank(self.text, keep_strings=True)
            self.code, long_macros = blank_directives(blank(self.text, keep_strings=False))
            self.functions = find_functions(self.code)
            for line, count in long_macros:
                self.find(line, "function-length", f"macro of {count} lines")
        for number, line in enumerate(self.lines, 1):
            match = WAIVER.search(line)
            if match and match[2].strip():
                self.waivers.append(Waiver(number, match[1]))
            elif match:
                self.find(number, "waiver", "no reason given")

    def find(self, line, rule, text):
        self.findings.append(Finding(self.path, line, rule, text))

    def covers(self, waiver, finding):
        if waiver.rule != finding.rule or finding.rule == "file-size":
            return False
        if waiver.line == finding.line or finding.rule == "file-length":
            return True
        return any(first <= waiver.line <= last and first <= finding.line <= last
                   for _, first, last in self.functions)

    def unwaived(self):
        """The findings left over, and one for each waiver that waives nothing."""
        left = []
        for finding in self.findings:
            covering = [waiver for waiver in self.waivers if self.covers(waiver, finding)]
            for waiver in covering:
                waiver.used = True
            if not covering:
                left.append(finding)
        for waiver in self.waivers:
            if not waiver.used:
                left.append(Finding(self.path, waiver.line, "waiver",
                                    f"nothing here needs a waiver of {waiver.rule}"))
        return left


def blank(text, keep_strings):
    """C text with comments (and strings) turned to spaces; lines stay where they are."""
    token = re.compile(
        r'//(?:[^\n\\]|\\.|\\\n)*|/\*.*?\*/|"(?:[^"\\\n]|\\.|\\\n)*"|\'(?:[^\'\\\n]|\\.)*\'', re.S)

    def spaces(match):
        found = match[0]
        if found[0] in "\"'":
            if keep_strings:
                return found
            return found[0] + re.sub(r"[^\n]", " ", found[1:-1]) + found[0]
        return re.sub(r"[^\n]", " ", found)

    return token.sub(spaces, text)


def blank_directives(code):
    """Code with preprocessor lines (continued ones too) emptied, and the macros too long."""
    lines, long_macros, start, inside = code.split("\n"), [], 0, False
    for index, line in enumerate(lines):
        if not inside and line.lstrip().startswith("#"):
            inside, start = True, index
        if inside:
            inside = line.rstrip().endswith("\\")
            lines[index] = ""
            if not inside and index - start + 1 > FUNCTION_LINES_MAX:
                long_macros.append((start + 1, index - start + 1))
    return "\n".join(lines), long_macros


def find_functions(code):
    """(name, first line, last line) of every function body at file level."""
    functions, depth, line, statement, first, name = [], 0, 1, "", 0, None
    for char in code:
        if char == "\n":
            line += 1
        if depth == 0 and not char.isspace() and not statement.strip():
            first = line
        if char == "{":
            if depth == 0:
                head = statement.strip()
                is_body = head.endswith(")") and "=" not in re.sub(r"\(.*\)", "", head, flags=re.S)
                name = IDENTIFIER.findall(head.split("(")[0])[-1:] if is_body else None
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                if name:
                    functions.append((name[0], first, line))
                statement, name = "", None
                continue
        elif char == ";" and depth == 0:
            statement = ""
            continue
        if depth == 0:
            statement += char
    return functions


def folder_of(path):
    """The folder of FOLDER_ORDER that a path under include/ or src/ belongs to; None if neither."""
    parts = path.split("/")
    if parts[0] == "include":
        return "include/godwit"
    if parts[0] == "src":
        return parts[1] if len(parts) > 2 else "src"
    return None


def resolve(root, path, included):
    """The repository path that #include "included" in `path` means, or None."""
    beside = os.path.normpath(os.path.join(os.path.dirname(path), included))
    for candidate in (beside, "include/" + included, "src/" + included):
        if os.path.isfile(os.path.join(root, candidate)):
            return candidate
    if path.startswith("test/") and os.path.isfile(os.path.join(root, "test/unit", included)):
        return "test/unit/" + included
    return None


def check_include(root, source, number, included):
    target = resolve(root, source.path, included)
    if target is None:
        source.find(number, "include-path", f'"{included}" is not found from src/ or include/')
        return
    if target.startswith("test/") and not source.path.startswith("test/"):
        source.find(number, "folder-order", f'"{included}": only tests include test/')
        return
    if source.path.startswith("app/"):
        if not target.startswith(("app/", "include/godwit/")):
            source.find(number, "folder-order", f'app/ includes public headers only: "{included}"')
        return
    ours, theirs = folder_of(source.path), folder_of(target)
    if ours not in FOLDER_ORDER:
        return
    if theirs not in FOLDER_ORDER:
        source.find(number, "folder-order", f'"{included}" is in no folder of the order')
    elif FOLDER_ORDER.index(theirs) > FOLDER_ORDER.index(ours):
        source.find(number, "folder-order", f"{ours} may not include {theirs}, which is above it")


def check_includes(root, source):
    ours = folder_of(source.path)
    if ours is not None and ours not in FOLDER_ORDER:
        source.find(1, "folder-order", f"{ours} is not in the list of folders in tools/tidy.py")
    for number, line in enumerate(source.without_comments.split("\n"), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        if match[1]:
            check_include(root, source, number, match[1])
        elif match[2] in ("math.h", "tgmath.h", "complex.h"):
            if not source.path.startswith("test/"):
                source.find(number, "math-header", f"<{match[2]}> outside test/: use base/mathd.h")


def check_calls(source):
    library = source.path.startswith(("include/", "src/"))
    free = source.path.startswith("src/base/")
    kernel = source.path.startswith("src/kernel/")
    exact = source.path.startswith(("src/op/", "src/kernel/"))
    for number, line in enumerate(source.code.split("\n"), 1):
        for match in IDENTIFIER.finditer(line):
            word, called = match[0], line[match.end():].lstrip().startswith("(")
            if library and not free and (word in BANNED_CALLS and called or word in BANNED_STREAMS):
                source.find(number, "banned-call", f"{word} outside app/ and src/base/")
            if kernel and called and word in ALLOCATORS:
                source.find(number, "kernel-allocation", f"{word} in a kernel: plan the memory")
        if exact and LIBM_BUILTIN.search(line):
            source.find(number, "math-header", "libm's function by another name: use our own")


def check_lengths(source):
    for name, first, last in source.functions:
        if last - first + 1 > FUNCTION_LINES_MAX:
            source.find(first, "function-length",
                        f"{name} has {last - first + 1} lines, {FUNCTION_LINES_MAX} at most")
    count = len(source.lines)
    if count > FILE_LINES_WAIVED_MAX:
        source.find(1, "file-size", f"{count} lines; {FILE_LINES_WAIVED_MAX} even with a waiver")
    elif count > FILE_LINES_MAX:
        source.find(1, "file-length", f"{count} lines, {FILE_LINES_MAX} at most")
    for number, line in enumerate(source.lines, 1):
        if len(line) > COLUMNS_MAX:
            source.find(number, "line-length", f"{len(line)} columns, {COLUMNS_MAX} at most")


def check_words(source):
    for number, line in enumerate(source.lines, 1):
        match = BANNED_WORDS.search(line)
        if match:
            source.find(number, "banned-word", f"{match[0]}: do it, or write it in docs/")
        if source.is_c and re.match(r"\s*#\s*if\s+0\b", line):
            source.find(number, "banned-word", "#if 0: delete dead code")


def check_header_comment(source):
    lines = [line for line in source.lines if not line.startswith("#!")]
    first = lines[0] if lines else ""
    opening = ("/*", "//") if source.is_c or source.path.endswith(".def") else ("#", '"""')
    if not first.startswith(opening) or not first.strip("/*#\" "):
        source.find(1, "header-comment", "the file does not open by saying what it is")


def command_words(document):
    """(line, words) for each command in a document's code: fenced lines and inline spans."""
    fenced = False
    for number, line in enumerate(document.split("\n"), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
            continue
        spans = [line] if fenced else re.findall(r"`([^`]+)`", line)
        for span in spans:
            for part in re.split(r"&&|\|\||[;|]", span.split(" #")[0]):
                words = [word for word in part.split() if word not in ("$", "sudo", "time")]
                if words:
                    yield number, words


def check_document(root, path, targets, commands):
    with open(os.path.join(root, path), encoding="utf-8") as file:
        text = file.read()
    findings = []
    for number, words in command_words(text):
        program, rest = words[0], words[1:]
        if program == "make":
            for word in rest:
                if re.fullmatch(r"[a-z][a-z0-9-]*", word) and word not in targets:
                    text = f"no target: make {word}"
                    findings.append(Finding(path, number, "docs-command", text))
        elif program == "godwit" or program.endswith("/godwit"):
            if rest and re.fullmatch(r"[a-z][a-z0-9-]*", rest[0]) and rest[0] not in commands:
                text = f"no app/{rest[0]}.c: godwit {rest[0]}"
                findings.append(Finding(path, number, "docs-command", text))
    return findings


def make_targets(root):
    path = os.path.join(root, "Makefile")
    if not os.path.isfile(path):
        return set()
    with open(path, encoding="utf-8") as file:
        return set(re.findall(r"^([a-z][\w-]*):(?!=)", file.read(), re.M))


def walk(root, folders):
    """Every file below the folders, as sorted paths relative to the root."""
    paths = []
    for folder in folders:
        for base, names, files in os.walk(os.path.join(root, folder)):
            names[:] = [name for name in names if name != "__pycache__"]
            paths += [os.path.relpath(os.path.join(base, name), root) for name in files]
    return sorted(paths)


def check_unique(paths):
    findings, seen = [], {}
    for path in paths:
        name = os.path.basename(path)
        if name in ("CMakeLists.txt", "README.md") or re.fullmatch(r"app/\w+\.c", path):
            continue  # app/NAME.c bears the name of its command
        if path.startswith("test/golden/interop/"):
            continue  # names that a format wants
        if name in seen:
            findings.append(Finding(path, 1, "unique-name", f"{seen[name]} has this name already"))
        seen.setdefault(name, path)
    return findings


def is_source(path):
    if path.startswith(DATA_FOLDERS) and not path.endswith((".py", ".c", ".h")):
        return False
    return (path.endswith((".c", ".h", ".cu", ".cuh", ".def", ".py", ".sh", ".yaml", ".cmake"))
            or os.path.basename(path) in ("CMakeLists.txt", "Makefile") or path.startswith(".ci/"))


def check_source(root, path):
    source = Source(root, path)
    if source.is_c:
        check_includes(root, source)
        check_calls(source)
    check_lengths(source)
    check_words(source)
    check_header_comment(source)
    return source


def tidy(root):
    """All findings of a tree, the number of files read and of waivers used."""
    paths = walk(root, SCANNED)
    top = [name for name in sorted(os.listdir(root)) if os.path.isfile(os.path.join(root, name))]
    sources = [check_source(root, path) for path in paths + top if is_source(path)]
    findings = [finding for source in sources for finding in source.unwaived()]
    findings += check_unique(paths + walk(root, ["docs"]) + top)

    commands = {os.path.basename(path)[:-2] for path in paths
                if path.startswith("app/") and path.endswith(".c")} - {"main", "cli"}
    documents = [name for name in DOCUMENTS if name in top]
    documents += [path for path in walk(root, ["docs", "bench"]) if path.endswith(".md")]
    for path in documents:
        findings += check_document(root, path, make_targets(root), commands)
    waivers = sum(waiver.used for source in sources for waiver in source.waivers)
    return findings, len(sources) + len(documents), waivers


def main():
    root = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..")
    findings, files, waivers = tidy(os.path.abspath(root))
    for finding in findings:
        print(finding)
    verdict = f"{len(findings)} findings" if findings else "ok"
    print(f"tidy: {files} files, {waivers} waivers, {verdict}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
