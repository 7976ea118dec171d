#!/usr/bin/env bash
# The command line as a user meets it: exit codes, help, errors, colour. cli.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

run
check "no command is misuse" test $code -eq 2
check "no command: help on stderr" has "$err" "usage: godwit"
check "no command: nothing on stdout" test -z "$out"

for flag in --help -h; do
  run $flag
  check "$flag succeeds" test $code -eq 0
  check "$flag on stdout" has "$out" "usage: godwit"
  check "$flag has an example" has "$out" "example:"
  check "$flag: nothing on stderr" test -z "$err"
done
mapfile -t commands < <(sed -n 's/^X(\([a-z]*\), "[^"].*/\1/p' "$source/app/commands.def")
check "commands.def has rows" test ${#commands[@]} -gt 0

run --version
check "--version succeeds" test $code -eq 0
check "--version is a number" grep -qE '^godwit [0-9]+\.[0-9]+\.[0-9]+$' "$work/out"

run dcotor
check "unknown command is misuse" test $code -eq 2
check "unknown command: one error line" one_error
check "unknown command suggests" has "$err" "did you mean 'doctor'?"
run zzzzzzzz
check "unlike any command: no suggestion" lacks "$err" "did you mean"
check "unlike any command: points to the help" has "$err" "godwit --help"

for command in "${commands[@]}"; do
  run --help
  check "--help lists $command" grep -q "^  $command " "$work/out"
  run "$command" --help
  check "$command --help succeeds" test $code -eq 0
  check "$command --help has a usage line" has "$out" "usage: godwit $command"
  check "$command --help has an example" has "$out" "example:"
  check "$command --help explains --help" has "$out" "--help"
  run "$command" --no-such-option
  check "$command: unknown option is misuse" test $code -eq 2
  check "$command: unknown option, one error line" one_error
  check "$command: the error names the help" has "$err" "godwit $command --help"
  run "$command" -x
  check "$command: a short option is misuse" test $code -eq 2
done

run doctor
check "doctor succeeds" test $code -eq 0
for word in processor threads memory libcyaml jansson pcre2 xxhash zstd zlib CUDA MPI; do
  check "doctor says $word" has "$out" "$word"
done
run doctor --json
check "doctor --json succeeds" test $code -eq 0
check "doctor --json is one line" test "$(grep -c '' "$work/out")" -eq 1
check "doctor --json is JSON" python3 -c "
import json, sys
report = json.load(open(sys.argv[1]))
assert report['threads'] >= 1 and report['best_isa'] in ('generic', 'avx2', 'avx512')
assert report['libraries']['zlib']['version'] and 'NCCL' in report['optional']" "$work/out"
run doctor --jsno
check "a near option is suggested" has "$err" "did you mean --json?"
run doctor --json=1
check "a flag takes no value" test $code -eq 2
check "a flag takes no value: says so" has "$err" "--json takes no value"
run doctor something
check "an argument too many is misuse" test $code -eq 2
check "an argument too many is named" has "$err" "'something'"
run doctor -- --json
check "what follows -- is no option" has "$err" "unexpected argument '--json'"

# Colour only on a terminal, and never with NO_COLOR.
escape=$'\033'
check "no colour on a pipe" lacks "$err" "$escape"
if ! script -qec true /dev/null </dev/null >/dev/null 2>&1; then
  echo "skipped: colour on a terminal (no pseudo-terminal can be made here)"
else
  terminal() { script -qec "$godwit dcotor" /dev/null </dev/null; }
  out=$(env -u NO_COLOR bash -c "$(declare -f terminal); godwit=$godwit; terminal")
  check "colour on a terminal" has "$out" "$escape"
  out=$(NO_COLOR=1 bash -c "$(declare -f terminal); godwit=$godwit; terminal")
  check "NO_COLOR on a terminal" lacks "$out" "$escape"
  check "NO_COLOR: the error is there" has "$out" "error: "
fi

finish
