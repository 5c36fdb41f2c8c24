#!/bin/sh
# run_tests.sh PRESET...: lint, then build each preset and run all of its test programs, two at a time, five minutes
# each at most.
#
# Every program ends with `N passed, N failed, N skipped`; the last line here is their sum. A program that crashed, ran
# out of time, lost that line, or failed without saying so counts as one failure more, and is named. So does a build
# that does not build. The output of a program is in build/test-logs/PRESET/NAME.log; its end is shown when it failed,
# and the checks that failed are told once more before the last line, for whoever sees only the end.
cd "$(dirname "$0")/.." || exit 1
logs=build/test-logs
limit=${TSR_TEST_TIMEOUT:-300}
export TSR_JIT="${TSR_JIT:-off}" # the tests of the C tier switch it on themselves
counts='^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'

# run_one PRESET NAME COMMAND...
run_one() {
    preset=$1 name=$2
    shift 2
    log=$logs/$preset/$name.log
    mkdir -p "$(dirname "$log")"
    begin=$(date +%s)
    timeout -k 10 "$limit" "$@" >"$log" 2>&1
    status=$?
    took=$(($(date +%s) - begin))
    line=$(grep -E "$counts" "$log" | tail -n 1)
    crashed=0 why=""
    [ $status = 124 ] && why="ran longer than $limit s"
    [ $status -gt 124 ] && why="crashed (exit status $status)"
    [ -z "$line" ] && [ -z "$why" ] && why="ended without its count (exit status $status)"
    case $line in
        *", 0 failed,"*) [ $status != 0 ] && [ -z "$why" ] && why="failed at exit (exit status $status)" ;;
    esac
    [ -n "$why" ] && crashed=1
    line=${line:-0 passed, 0 failed, 0 skipped}
    echo "$line" | awk -v crashed=$crashed '{ print $1, $3 + crashed, $5 }' >"$log.counts"
    if [ $status = 0 ] && [ $crashed = 0 ]; then
        echo "$preset $name: $line (${took} s)"
    else
        echo "$preset $name: $line${why:+; $why}; TSR_TEST_SEED=$TSR_TEST_SEED; the end of $log:"
        tail -n 60 "$log" | sed 's/^/    /'
    fi
}

if [ "$1" = --one ]; then
    IFS='	'
    set -- $2 # preset, name, command and its arguments
    unset IFS
    report=$(run_one "$@") # printed at once, so that two programs' lines do not mix
    echo "$report"
    exit
fi

export TSR_TEST_SEED="${TSR_TEST_SEED:-$(date +%s)}" # one for all programs, so a crash can be had again
rm -rf $logs
mkdir -p $logs
run_one all lint sh tools/lint.sh
for preset; do
    if cmake --preset "$preset" >$logs/$preset-configure.log 2>&1 &&
        cmake --build build/$preset -j "$(nproc 2>/dev/null || echo 2)" >$logs/$preset-build.log 2>&1; then
        sed "s/^/$preset	/" build/$preset/tests.list | tr '\n' '\0' | xargs -0 -P 2 -n 1 sh "$0" --one
    else
        echo "$preset: does not build:"
        cat $logs/$preset-configure.log $logs/$preset-build.log 2>/dev/null |
            grep -E -A 12 'error|Error|FAILED' | tail -n 60
        echo "0 1 0" >$logs/$preset.counts
    fi
done

find $logs -name '*.counts' | sort | while read -r counted; do
    read -r _ failed _ <"$counted"
    [ "$failed" = 0 ] && continue
    echo "failed: ${counted#$logs/} ($failed), TSR_TEST_SEED=$TSR_TEST_SEED" | sed 's/\.log\.counts//; s/\.counts//'
    grep -B 4 ': FAILED (' "${counted%.counts}" 2>/dev/null | head -n 20 | cut -c 1-400 | sed 's/^/    /'
done
find $logs -name '*.counts' -exec cat {} + | awk '
    { passed += $1; failed += $2; skipped += $3 }
    END { printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped; exit failed > 0 }'
