#!/usr/bin/env bash
# N1 of the numbers contract: the hash of the full training state after fifty steps (ten with
# sanitizers) does not depend on threads, on the instruction set, or on whether kernels or
# references compute, for both dtypes.
# contract.sh SOURCE BINARY [key=value...], the latter for other sizes than the small ones
set -uo pipefail
source "$(dirname "$0")/checks.bash"
sizes=("${@:3}")
! sanitized || sizes+=(train.steps=10)

prepare_text 20000

# The instruction sets of this machine, from the report of doctor.
run doctor --json
best=$(python3 -c 'import json, sys; print(json.loads(sys.argv[1])["best_isa"])' "$out")
case $best in
avx512) isas=(generic avx2 avx512) ;;
avx2) isas=(generic avx2) ;;
*) isas=(generic) ;;
esac
echo "instruction sets: ${isas[*]}"

# trained NAME ARGUMENTS...: trains a run and leaves its hash in $hash
trained() {
  local name=$1
  shift
  run train "$@" "${sizes[@]}" --data "$work/data" --run "$work/$name" --json
  check "$name trains" test $code -eq 0
  hash=$(state_hash "$work/$name")
  check "$name: the hash is one" grep -qE '^0x[0-9a-f]{16}$' <<<"$hash"
  check "$name: train and hash agree" has "$out" "\"state_hash\":\"$hash\""
  rm -rf "${work:?}/$name"
}

previous=
for variant in llama-f32 llama-bf16 gpt2-f32 gpt2-bf16; do
  declare -n family=${variant%-*}
  recipe=("${family[@]}" "dtype=${variant#*-}")
  trained "$variant" "${recipe[@]}" --threads 1
  expected=$hash
  echo "$variant: $expected"
  check "$variant: its state is its own" test "$expected" != "$previous"
  previous=$expected
  for threads in 2 3 4; do
    trained "$variant-$threads-threads" "${recipe[@]}" --threads $threads
    check "$variant: $threads threads give the same state" test "$hash" = "$expected"
  done
  for isa in "${isas[@]}"; do
    trained "$variant-$isa" "${recipe[@]}" --threads 2 --isa "$isa"
    check "$variant: $isa gives the same state" test "$hash" = "$expected"
  done
  trained "$variant-abft" "${recipe[@]}" --threads 2 --abft
  check "$variant: products that verify themselves give the same state" test "$hash" = "$expected"
  trained "$variant-reference" "${recipe[@]}" --threads 2 --backend reference
  check "$variant: the references give the same state" test "$hash" = "$expected"
  trained "$variant-other-seed" "${recipe[@]}" train.seed=2
  check "$variant: another seed gives another state" test "$hash" != "$expected"
done

run train "${llama[@]}" --data "$work/data" --run "$work/abft" --steps 2 --abft
check "the journal says that products verify themselves" \
  grep -q '"abft": *true' "$work/abft/journal.jsonl"
run train "${llama[@]}" --data "$work/data" --run "$work/both" --abft --backend reference
check "--abft with references is misuse" test $code -eq 2
check "--abft with references: one error line" one_error

if [ "$best" != avx512 ]; then
  run train "${llama[@]}" --data "$work/data" --run "$work/missing" --isa avx512
  check "an instruction set that is not there is refused" test $code -ne 0
  check "an instruction set that is not there: one error line" one_error
fi
run train "${llama[@]}" --data "$work/data" --run "$work/unknown" --isa avx1024
check "an unknown instruction set is misuse" test $code -eq 2
check "an unknown instruction set: one error line" one_error
check "an unknown instruction set leaves no run" test ! -e "$work/unknown"
finish
