#!/usr/bin/env bash
# Every recipe that comes with godwit plans, the large ones in under a second of processor time.
# plan.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

# plans NAME PARAMETERS: the totals of recipes/NAME.yaml
plans() {
  local TIMEFORMAT='%U %S' seconds
  seconds=$({ time "$godwit" program "$source/recipes/$1.yaml" >"$work/out" 2>"$work/err"; } 2>&1)
  code=$? out=$(tail -n 30 "$work/out") err=$(cat "$work/err")
  echo "$1: user and system time $seconds s"
  check "$1 plans" test $code -eq 0
  check "$1: nothing but the program is printed" test -z "$err"
  check "$1: it has ops" grep -q '^ *[^;].*linear' "$work/out"
  check "$1: its parameters" grep -qE "^; +parameters +$2 " <(tail -n 30 "$work/out")
  check "$1: its work" grep -qE '^; +FLOPs per token +[1-9]' <(tail -n 30 "$work/out")
  check "$1: its memory" grep -qE '^; +peak memory +[1-9]' <(tail -n 30 "$work/out")
  sanitized || check "$1: in under a second" awk '{ exit !($1 + $2 < 1) }' <<<"$seconds"
}

plans gpt2-124m 124439808
plans llama-1b 1235814400
for path in "$source"/recipes/*.yaml; do plans "$(basename "$path" .yaml)" '[1-9][0-9]*'; done
finish
