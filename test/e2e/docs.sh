#!/usr/bin/env bash
# The commands that README.md shows work: every fenced block marked "sh test" runs, in order, in one
# scratch folder that looks like the repository after `make`. Arguments: source, binary folder.
set -euo pipefail
source=$1
binary=$2

# The marked blocks, one after the other.
blocks() { awk '/^```/ { on = ($0 ~ /^```sh test/) && !on; next } on' "$source/README.md"; }

if [ ! -f "$source/README.md" ] || [ -z "$(blocks)" ]; then
  echo "README.md has no block marked 'sh test'"
  exit 77
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/build"
ln -s "$binary/godwit" "$scratch/build/godwit"
ln -s "$source/recipes" "$scratch/recipes"
blocks >"$scratch/commands.sh"
cd "$scratch"
bash -euxo pipefail commands.sh
