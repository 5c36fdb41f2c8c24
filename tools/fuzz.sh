#!/bin/sh
# fuzz.sh SECONDS: builds the fuzz targets of tests/fuzz with clang and runs each that long, starting from
# tests/fuzz/corpus/NAME where there is one. An input that crashes is left in build/fuzz and named; the exit status
# says whether there was any.
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-60}
if ! command -v clang >/dev/null 2>&1; then
    echo "The fuzz targets need clang (apt-get install clang)" >&2
    exit 1
fi
[ -e build/fuzz/build.ninja ] ||
    CC=clang cmake -G Ninja -B build/fuzz -DTSR_FUZZ=ON -DTSR_TESTS=OFF >/dev/null || exit 1
cmake --build build/fuzz --target fuzzers || exit 1
mkdir -p build/fuzz/corpus && sh tests/fuzz/seeds.sh build/fuzz/corpus || exit 1
status=0
for program in build/fuzz/fuzz/fuzz_*; do
    [ -x "$program" ] || continue
    name=$(basename "$program")
    corpus=build/fuzz/corpus/$name
    mkdir -p "$corpus"
    [ -d "tests/fuzz/corpus/$name" ] && seeds=tests/fuzz/corpus/$name || seeds=
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="build/fuzz/$name-" \
        -print_final_stats=1 "$corpus" $seeds >"build/fuzz/$name.log" 2>&1
    result=$?
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "build/fuzz/$name.log")
    if [ $result = 0 ]; then
        echo "$name: $runs runs in $seconds s, no failure"
    else
        echo "$name: FAILED, see build/fuzz/$name.log"
        tail -n 30 "build/fuzz/$name.log"
        status=1
    fi
done
exit $status
