#!/usr/bin/env bash
# Ranks that an MPI launcher starts compute and exchange the same, however many of them count as
# a node; one that fails ends them all. world_mpi.sh SOURCE BINARY
set -uo pipefail
source "$(dirname "$0")/checks.bash"

program=$binary/test/world_ranks
if [ ! -x "$program" ]; then
  echo "built without MPI"
  exit 77
fi
library=$("$program" library)

# launch RANKS ARGUMENTS...: exit code in $code, standard output and error in $out and $err; there,
# each rank that ends by itself says its own code, which a launcher that then kills others does not
# always hand on. MPI libraries keep memory until the end of a process, which is no leak of ours;
# and one test asks for too much.
case $library in
Open*) launcher=(mpirun.openmpi --allow-run-as-root --oversubscribe) ;;
MPICH*) launcher=(mpiexec.mpich) ;;
*) launcher=(mpiexec) ;;
esac
command -v "${launcher[0]}" >/dev/null || launcher[0]=mpiexec
launch() {
  ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 timeout 120 \
    "${launcher[@]}" -n "$1" "$work/rank" "${@:2}" >"$work/out" 2>"$work/err" </dev/null
  code=$?
  out=$(cat "$work/out")
  err=$(cat "$work/err")
}
cat >"$work/rank" <<END
#!/bin/bash
"$program" "\$@"
code=\$?
echo "a rank ended with \$code" >&2
exit \$code
END
chmod +x "$work/rank"
# Exit codes of ranks that were not killed, each once.
codes() { grep -o 'a rank ended with .*' <<<"$err" | grep -vE ' (137|143)$' | sort -u; }
name=world-mpi-$$
nothing_left() { ! compgen -G "/dev/shm/$name*" >/dev/null; }

seed=${3:-1}
echo "$library, seed $seed"
for expected in "0 1 4" "1 4 1" "2 2 2" "3 2 3"; do
  read -r per_node nodes here <<<"$expected"
  launch 4 check "$name" "$per_node" "$seed"
  check "4 ranks, $per_node per node" test $code -eq 0
  check "4 ranks, $per_node per node: $nodes nodes" \
    has "$out" "ok: 4 ranks, $nodes nodes, $here ranks here"
  check "no names are left" nothing_left
done
launch 1 check "$name" 0 "$seed"
check "one rank" test $code -eq 0

launch 4 full "$name" 3
check "memory that is not there fails the job" test $code -ne 0 -a $code -ne 124
check "its ranks end with the code of an error" test "$(codes)" = "a rank ended with 1"
# The launcher ends the others when the first has failed; test_world sees that all say so.
check "a rank says why" grep -q 'error: rank 0: .*MiB' "$work/err"
check "no names are left when memory fails" nothing_left

launch 3 fail "$name" 2
check "a rank that gives up ends the job" test $code -ne 0
check "without waiting for the time limit" test $code -ne 124
check "it says why" has "$err" "rank 1 gives up"
finish
