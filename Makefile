# A thin front on CMake and its presets (CMakePresets.json). build/ is the release build; the
# presets gcc, clang, asan and fuzz live in folders of the same name inside it.
.DEFAULT_GOAL := build
.PHONY: build test demo check format format-check tidy soak fuzz bench-ops clean help

# Seconds per target of `make fuzz`.
SECONDS := 600

FORMATTED = $(shell find include src app test bench -name '*.[ch]' 2>/dev/null)

build: ## build build/godwit (the default)
	@tools/install-packages.sh build
	@tools/build.sh release

test: ## install what is missing, build, run the whole test suite
	@tools/install-packages.sh test
	@tools/run-tests.sh gcc

demo: ## train on the King James Bible in four minutes and compare with compressors
	@tools/demo.sh

check: ## what CI runs: format, tidy, both compilers, sanitizers, all tests, short fuzzing
	@tools/install-packages.sh check
	@$(MAKE) --no-print-directory format-check tidy
	@tools/run-tests.sh gcc clang asan fuzz

format: ## rewrite the sources as .clang-format says
	@clang-format -i $(FORMATTED)

format-check: ## fail where `make format` would change something
	@clang-format --dry-run -Werror $(FORMATTED)

tidy: ## check folder order, lengths, bans and documents (STYLE.md)
	@python3 tools/tidy.py

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

bench-ops: ## speed of every op at the shapes of three models, as a share of what binds it
	@cmake --preset release -B build/bench -DGODWIT_BENCH=ON >/dev/null
	@ninja -C build/bench bench_ops
	@build/bench/bench_ops

clean: ## remove build/
	@rm -rf build

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1|/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'
