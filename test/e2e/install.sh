#!/usr/bin/env bash
# What `make install` and `make deb` give: a prefix from which another program is built and run,
# manual pages and completion that say what --help says, a package. install.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

prefix=$work/prefix
cmake --install "$binary" --prefix "$prefix" >"$work/out" 2>"$work/err"
check "it is installed" test $? -eq 0
for file in bin/godwit lib/libgodwit.a include/godwit/train.h share/godwit/recipes/demo.yaml \
  share/doc/godwit/LICENSE; do
  check "$file is there" test -s "$prefix/$file"
done
godwit=$prefix/bin/godwit
run --version
check "the installed program runs" test $code -eq 0
mapfile -t commands < <(sed -n 's/^X(\([a-z]*\), "[^"].*/\1/p' "$source/app/commands.def")

# The options of a command, as its help lists them: "--data --run ...".
options_of() { "$godwit" "$1" --help | sed -n 's/^  \(--[a-z0-9-]*\) .*/\1/p'; }

# Manual pages.
check "an overview" test -s "$prefix/share/man/man1/godwit.1.gz"
zcat "$prefix/share/man/man1/godwit.1.gz" >"$work/godwit.1"
for command in "${commands[@]}"; do
  check "the overview names $command" grep -qx ".B $command" "$work/godwit.1"
  page=$work/godwit-$command.1
  zcat "$prefix/share/man/man1/godwit-$command.1.gz" >"$page"
  check "$command has a page" test $? -eq 0
  for option in $(options_of "$command"); do
    check "the page of $command explains $option" grep -qF "fB${option//-/\\-}\\fR" "$page"
  done
done
if command -v mandoc >/dev/null; then
  check "mandoc has nothing to say" mandoc -T lint -W warning "$work"/godwit*.1
else
  echo "skipped: mandoc is not installed"
fi

# Completion, as bash asks for it. complete_words WORD...: the last one is completed.
complete_words() {
  bash -c 'source "$0"; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _godwit; echo "${COMPREPLY[*]}"' "$prefix/share/bash-completion/completions/godwit" "$@"
}
completes() {
  local what=$1
  shift
  check "completing '$*'" test "$(complete_words "$@")" = "$what"
}
completes "${commands[*]} --help --version" godwit ""
completes "prepare program" godwit pr
for command in "${commands[@]}"; do
  check "all options of $command" test "$(complete_words godwit "$command" --)" = \
    "$(options_of "$command" | tr '\n' ' ' | sed 's/ $//')"
done
completes "cpu reference" godwit train x.yaml --backend ""
completes "reference" godwit eval runs --backend = r
completes "" godwit train --steps ""
mkdir "$work/place" && touch "$work/place/file.txt" && mkdir "$work/place/folder"
completes "$work/place/folder" godwit train --data "$work/place/f"
completes "$work/place/folder" godwit train --data = "$work/place/f"
completes "$work/place/file.txt" godwit eval --text "$work/place/fi"
check "a word may be a file" has "$(complete_words godwit hash "$work/place/")" file.txt
if command -v zsh >/dev/null; then
  check "zsh reads its script" zsh -n "$prefix/share/zsh/site-functions/_godwit"
else
  echo "skipped: zsh is not installed"
fi

# Another program with the library.
prepare_text 20000
recipe=("${llama[@]}")
train run
if sanitized; then
  echo "skipped: a program and a package with the library (built with sanitizers)"
  finish
fi
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
cc -std=c17 -Wall -Wextra -Werror "$source/examples/continue.c" \
  $(pkg-config --static --cflags --libs godwit) -o "$work/continue" 2>"$work/err"
code=$? err=$(cat "$work/err")
check "the example is built against what is installed" test $code -eq 0
"$work/continue" "$work/run" "the bird" >"$work/out" 2>"$work/err"
check "it goes on with a text" test $? -eq 0
check "from the start given" grep -q "^the bird" "$work/out"
check "in the run's state" grep -q "step 50, state $(state_hash "$work/run")" "$work/out"
"$work/continue" "$work/nothing" "the bird" >"$work/out" 2>"$work/err"
check "without a run it fails" test $? -eq 1
check "and says why" grep -q "^error: .*nothing" "$work/err"

# The package.
if ! command -v dpkg-shlibdeps >/dev/null || ! command -v file >/dev/null; then
  echo "skipped: a package (dpkg-dev or file are not installed)"
  finish
fi
(cd "$binary" && cpack -G DEB -B "$work/deb") >"$work/out" 2>"$work/err"
check "a package is made" test $? -eq 0
dpkg-deb -x "$work"/deb/godwit_*.deb "$work/root" && godwit=$work/root/usr/bin/godwit
run --version
check "its program runs" test $code -eq 0
check "its pages are there" test -s "$work/root/usr/share/man/man1/godwit-train.1.gz"
depends=$(dpkg-deb -f "$work"/deb/godwit_*.deb Depends)
for library in libc6 libcyaml1 libjansson4 libpcre2-8-0 libxxhash0 libzstd1 zlib1g; do
  check "it depends on $library" has "$depends" "$library"
done
finish
