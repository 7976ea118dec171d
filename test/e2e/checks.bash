# What the end-to-end scripts share. Source it with the script's own arguments, SOURCE and BINARY:
# it sets $source, $godwit and $work (a scratch folder, removed at the end with all that runs), and
# ends the script through `finish`.
source=$1
binary=$2
godwit=$binary/godwit
work=$(mktemp -d)
# Where Open MPI has its own shared memory, which it leaves behind when a rank is killed.
export OMPI_MCA_btl_vader_backing_directory=$work
failures=0
checks=0
code=0

leave() {
  local children
  children=$(jobs -p)
  [ -z "$children" ] || kill -9 $children 2>/dev/null
  rm -rf "$work"
}
trap leave EXIT

# run ARGUMENTS...: exit code in $code, standard output and error in $out and $err
run() {
  "$godwit" "$@" >"$work/out" 2>"$work/err" </dev/null
  code=$?
  out=$(cat "$work/out")
  err=$(cat "$work/err")
}

# check WHAT CONDITION...: the condition is a command that must succeed
check() {
  local what=$1
  shift
  checks=$((checks + 1))
  "$@" && return
  failures=$((failures + 1))
  echo "FAILED: $what"
  echo "  exit code $code; stdout: ${out:0:300}"
  echo "  stderr: ${err:0:600}"
}

finish() {
  echo "$checks checks, $failures failed"
  [ $failures -eq 0 ]
  exit
}

has() { [[ "$1" == *"$2"* ]]; }
lacks() { [[ "$1" != *"$2"* ]]; }
# one line that begins with "error: " and nothing else
one_error() { [[ "$err" == "error: "* ]] && [ "$(grep -c '' "$work/err")" -eq 1 ]; }

# Whether the binary was built with sanitizers: then sizes and times are not the program's own.
sanitized() { grep -q '^GODWIT_SANITIZE:[^=]*=.' "$binary/CMakeCache.txt"; }
# sized KEY=VALUE...: these go to $size; none with sanitizers, where steps of $small take as long
sized() { sanitized && size=() || size=("$@"); }

# seed_random SEED: the script's random choices, to be repeated by giving it the printed seed
seed_random() {
  RANDOM=$1
  echo "seed $1"
}
# below N: a random whole number in [0, N), N <= 2^30, in $random
below() { random=$(((RANDOM << 15 | RANDOM) % $1)); }

# write_text FILE BYTES: text that a small model can learn a little about
write_text() {
  python3 - "$1" "$2" <<'END'
import random, sys
random.seed(1)
words = "the bird flies over sea and sand where wind meets water on a long quiet night".split()
size, text = int(sys.argv[2]), []
while size > 0:
    text.append(" ".join(random.choices(words, k=9)) + ".\n")
    size -= len(text[-1])
open(sys.argv[1], "w").write("".join(text)[:int(sys.argv[2])])
END
}

# prepare_text BYTES: such a text in $work/text.txt, and a corpus of it in $work/data
prepare_text() {
  write_text "$work/text.txt" "$1"
  run prepare --out "$work/data" "$work/text.txt"
  check "prepare succeeds" test $code -eq 0
}

# flip FILE PLACE: changes the byte at PLACE
flip() {
  python3 - "$1" "$2" <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(int(sys.argv[2]))
    byte = file.read(1)[0]
    file.seek(int(sys.argv[2]))
    file.write(bytes([byte ^ 0x10]))
END
}

# The state hash of a run or checkpoint, empty when there is none.
state_hash() { "$godwit" hash "$1" 2>/dev/null | tail -n 1; }

# train NAME ARGUMENTS...: the run $work/NAME, of the script's $recipe on the corpus in $work/data
train() {
  local name=$1
  shift
  run train "${recipe[@]}" --data "$work/data" --run "$work/$name" "$@"
}
# start NAME ARGUMENTS...: as `train`, but in the background, as $pid
start() {
  local name=$1
  shift
  "$godwit" train "${recipe[@]}" --data "$work/data" --run "$work/$name" "$@" \
    >"$work/out" 2>"$work/err" </dev/null &
  pid=$!
}

# The steps that the run in folder RUN has recorded.
steps_made() {
  local lines
  lines=$(grep -cs '' "$1/metrics.jsonl")
  echo "${lines:-0}"
}

# find_launcher: the library of MPI that godwit was built with to $library, what starts {ranks} ranks
# to $launcher; both empty where it was built without
find_launcher() {
  library=$("$godwit" doctor 2>/dev/null | grep -o "Open MPI\|MPICH" | head -1)
  case $library in
  Open*) launcher="mpirun.openmpi --allow-run-as-root --oversubscribe -n {ranks}" ;;
  MPICH*) launcher="mpiexec.mpich -n {ranks}" ;;
  *) launcher= ;;
  esac
  [ -z "$launcher" ] || export ASAN_OPTIONS=detect_leaks=0 # MPI keeps memory to the end
}

# What runs leave in shared memory, by name: areas that were not there when the script began and
# that no process has. Those of other tests are in use.
areas() { (cd /dev/shm && compgen -G "godwit-*" | sort) || true; }
areas_before=$(areas)
leftovers() {
  local name
  for name in $(comm -13 <(echo "$areas_before") <(areas)); do
    cat /proc/[0-9]*/maps 2>/dev/null | grep -q "/dev/shm/$name" || echo "$name"
  done
}
# Between its making and its mapping an area looks left: only what stays so is.
nothing_left() {
  local left
  left=$(leftovers)
  for _ in 1 2 3 4 5; do
    [ -z "$left" ] && return
    sleep 0.3
    left=$(comm -12 <(echo "$left") <(leftovers))
  done
  [ -z "$left" ] || echo "left: $left"
  [ -z "$left" ]
}

# train_undisturbed: the run that others are compared with; its state goes to $expected
train_undisturbed() {
  train undisturbed
  check "the undisturbed run ends" test $code -eq 0
  expected=$(state_hash "$work/undisturbed")
}
# same_result NAME: state and ledger are those of the undisturbed run
same_result() {
  check "$1: the same state" test "$(state_hash "$work/$1")" = "$expected"
  check "$1: the same ledger" cmp -s "$work/$1/ledger.bin" "$work/undisturbed/ledger.bin"
}

# The two families as recipes that train in a second. Use: run train "${llama[@]}" --data ...
small=(model.layers=2 model.width=32 model.heads=4 model.context=16 train.steps=50 train.lanes=2
  train.lane_batch=2 train.schedule.warmup_steps=5 train.validate_every=0)
llama=("$source/recipes/demo.yaml" dtype=f32 "${small[@]}" model.kv_heads=2)
gpt2=("$source/recipes/shakespeare-cpu.yaml" "${small[@]}" model.dropout=0.1)
