#!/usr/bin/env bash
# usage: peers.sh torch|tokenizers|interop|llama-cpp|lm-eval
# Installs what godwit is compared with, once: from pip in a virtual environment of its own, outside
# the checkout, in pinned versions. PyTorch takes several GB on disk, as pip's build carries CUDA
# along. Prints the environment's path. Where it cannot be had it says so and fails; benchmarks then
# run without peers. `make bench-train PEERS=no` does not even try.
set -euo pipefail

folder=$1-venv
case $1 in
  torch) requirements=(torch==2.15.0 numpy==2.4.6 setuptools==84.2.1) ;;
  tokenizers) requirements=(tiktoken==0.14.0 tokenizers==0.23.3) ;;
  interop) # beside PyTorch, which is large
    folder=torch-venv
    requirements=(torch==2.15.0 numpy==2.4.6 setuptools==84.2.1 transformers==5.24.0
      safetensors==0.8.0 tokenizers==0.23.3 tensorboard==2.21.0)
    ;;
  llama-cpp) # beside them; from source, for the CPU: ten minutes
    folder=torch-venv
    requirements=(llama-cpp-python==0.3.36)
    export CMAKE_ARGS="-DLLAVA_BUILD=OFF -DGGML_CUDA=OFF"
    ;;
  lm-eval) # with what its API client needs, and OpenAI's own
    requirements=(lm_eval==0.4.13 datasets==5.2.0 requests==2.34.2 aiohttp==3.14.5 tenacity==9.2.1
      tqdm==4.70.1 openai==3.57.0)
    ;;
  *) echo "usage: peers.sh torch|tokenizers|interop|llama-cpp|lm-eval" >&2 && exit 2 ;;
esac
cache=${XDG_CACHE_HOME:-$HOME/.cache}/godwit
venv=$cache/$folder

# Whether every pinned version is there.
complete() {
  [ -x "$venv/bin/python" ] && "$venv/bin/python" - "${requirements[@]}" <<'END'
import importlib.metadata, sys
try:
    wrong = [pin for pin in sys.argv[1:]
             if importlib.metadata.version(pin.split("==")[0]).split("+")[0] != pin.split("==")[1]]
except importlib.metadata.PackageNotFoundError as missing:
    wrong = [missing]
sys.exit(bool(wrong))
END
}

if ! complete; then
  echo "installing ${requirements[*]} in $venv (PEERS=no leaves the peers out)" >&2
  mkdir -p "$cache"
  if ! { python3 -m venv "$venv" &&
    "$venv/bin/pip" install --disable-pip-version-check "${requirements[@]}"; } \
    >"$cache/pip.log" 2>&1; then
    echo "$1 could not be installed; $cache/pip.log says why" >&2
    exit 1
  fi
fi
echo "$venv"
