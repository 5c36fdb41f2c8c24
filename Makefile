# A short front for the CMake build. `make demo` and `make test` work as the first command on a fresh machine.
PREFIX ?= /usr/local
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

.PHONY: all demo test lint replay install bench fuzz clean
all: build/release/build.ninja
	@cmake --build build/release -j $(JOBS)

build/release/build.ninja:
	@sh tools/bootstrap.sh
	@cmake --preset release

demo: all
	@sh tools/demo.sh

# Lint, then every test program under the release and the asan build; the last line is the count.
test:
	@sh tools/bootstrap.sh --tests
	@sh tools/run_tests.sh release asan

lint:
	@sh tools/lint.sh

# Plans and emitted text of the known graphs beside those of a base commit: BASE=rev, else where the branch began.
replay:
	@sh tools/replay.sh

install: all
	cmake --install build/release --prefix "$(PREFIX)"

bench: all
	@cmake --build build/release -j $(JOBS) --target bench_programs
	@sh tools/bench.sh

# Each fuzz target for SECONDS (clang); what it finds is left in build/fuzz.
SECONDS ?= 60
fuzz:
	@sh tools/fuzz.sh $(SECONDS)

clean:
	rm -rf build
