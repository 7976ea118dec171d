# A thin front on CMake and its presets (CMakePresets.json). build/ is the release build; the
# presets gcc, clang, asan and fuzz live in folders of the same name inside it.
.DEFAULT_GOAL := build
.PHONY: build test test-interop demo check format format-check tidy soak fuzz clean help
.PHONY: install deb bench bench-build bench-train bench-generate bench-gemm bench-ops bench-abft
.PHONY: bench-ranks bench-serve bench-world bench-tokenizer

# Seconds per target of `make fuzz`.
SECONDS := 600
# `make bench-train PEERS=no` compares with nobody; BENCH="--models tiny" passes options on.
PEERS := yes
BENCH :=
# A folder with tiktoken's rank files, for bench-tokenizer.
RANKS :=
# `make test-interop LLAMA_CPP=yes` compiles llama.cpp once; it is used where it is there.
LLAMA_CPP := no
# `make test-interop GOLDEN=write` writes test/golden/interop anew, when all have read it.
GOLDEN :=

# Where `make install` puts things.
PREFIX := /usr/local

FORMATTED = $(shell find include src app test bench examples -name '*.[ch]' 2>/dev/null)

build: ## build build/godwit (the default)
	@tools/install-packages.sh build
	@tools/build.sh release

test: ## install what is missing, build, run the whole test suite
	@tools/install-packages.sh test
	@tools/run-tests.sh gcc

install: build ## install under PREFIX=/usr/local; DESTDIR as usual
	@DESTDIR="$(DESTDIR)" cmake --install build --prefix "$(PREFIX)"

deb: ## make a Debian package in build/
	@tools/install-packages.sh build
	@tools/install-packages.sh deb
	@tools/build.sh release
	@cd build && cpack -G DEB

test-interop: ## what godwit writes and serves, read by transformers, lm-eval and others from pip
	@tools/install-packages.sh test
	@tools/build.sh gcc
	@venv=$$(tools/peers.sh interop) && \
	  { [ "$(LLAMA_CPP)" != yes ] || \
	    { tools/install-packages.sh llama-cpp && tools/peers.sh llama-cpp >/dev/null; }; } && \
	  "$$venv/bin/python" test/interop/interop_test.py build/gcc test/golden/interop \
	    $(if $(filter write,$(GOLDEN)),--write-golden)
	@venv=$$(tools/peers.sh lm-eval) && "$$venv/bin/python" test/interop/lm_eval_test.py build/gcc

demo: ## train on the King James Bible in minutes and compare with compressors
	@tools/demo.sh

check: ## what CI runs: format, tidy, both compilers, sanitizers, all tests, short fuzzing
	@tools/install-packages.sh check
	@$(MAKE) --no-print-directory format-check tidy
	@tools/run-tests.sh gcc clang asan mpich fuzz

format: ## rewrite the sources as .clang-format says
	@clang-format -i $(FORMATTED)

format-check: ## fail where `make format` would change something
	@clang-format --dry-run -Werror $(FORMATTED)

tidy: ## check folder order, lengths, bans and documents (STYLE.md)
	@python3 tools/tidy.py

bench: bench-gemm bench-ops bench-abft bench-world bench-generate bench-train ## all, an hour

bench-build:
	@tools/install-packages.sh build
	@tools/build.sh bench
	@mkdir -p build/results

bench-train: bench-build ## training steps against PyTorch's, about 40 minutes
	@[ "$(PEERS)" = no ] || tools/peers.sh torch >/dev/null || true
	@python3 bench/bench_train.py --programs build/bench $(if $(filter no,$(PEERS)),--peers none) \
	  $(BENCH)

bench-generate: bench-build ## time per token and to the first token, against memory and FMA peak
	@build/bench/bench_generate build/results/generate.json

bench-tokenizer: bench-build ## encoding and BPE training against tiktoken and tokenizers, RANKS=DIR
	@[ "$(PEERS)" = no ] || tools/peers.sh tokenizers >/dev/null || true
	@python3 bench/bench_tokenizer.py --program build/bench/bench_tokenizer \
	  $(if $(RANKS),--ranks $(RANKS)) $(BENCH)

bench-gemm: bench-build ## matrix products by shape, as a share of peak
	@build/bench/bench_gemm

bench-ops: bench-build ## every op at the shapes of three models, as a share of what binds it
	@build/bench/bench_ops

bench-abft: bench-build ## what it costs that matrix products verify themselves
	@build/bench/bench_abft

bench-world: bench-build ## the sum of 64 MiB over two ranks, in shared memory and by MPI
	@build/bench/bench_world

bench-ranks: bench-build ## what ranks and their supervisor cost a step
	@tools/build.sh gcc
	@python3 bench/bench_ranks.py build/gcc/godwit

bench-serve: bench-build ## tokens per second of requests at once, beside godwit generate
	@python3 bench/bench_serve.py build/bench/godwit $(BENCH)

soak: ## the long proofs, hours: test/soak/*.sh
	@tools/install-packages.sh test
	@tools/build.sh gcc
	@for script in test/soak/*.sh; do \
	  echo "== $$script"; bash "$$script" "$(CURDIR)" "$(CURDIR)/build/gcc" || [ $$? -eq 77 ] || \
	    exit 1; \
	done

fuzz: ## fuzz every parser, SECONDS=600 each
	@tools/install-packages.sh check
	@tools/fuzz.sh $(SECONDS)

clean: ## remove build/
	@rm -rf build

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1|/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'
