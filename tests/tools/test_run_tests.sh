#!/bin/sh
# test_run_tests.sh: the test driver must not lose a failure: programs that pass, fail, skip, crash, hang, or end
# without a word, and a build that does not build, in a small tree with a stand-in for cmake.
tools=$(cd "$(dirname "$0")/../../tools" && pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tools" "$work/bin" "$work/build/release"
cp "$tools/run_tests.sh" "$work/tools/"
echo 'echo "2 passed, 0 failed, 0 skipped"' >"$work/tools/lint.sh"
printf '#!/bin/sh\ncase "$*" in *broken*) echo "error: no" >&2; exit 1 ;; esac\n' >"$work/bin/cmake"
chmod +x "$work/bin/cmake"
passed=0 failed=0

# expect STATUS LAST-LINE TEXT PRESET...: what the driver should end with and mention.
expect() {
    status=$1 last=$2 text=$3
    shift 3
    out=$(PATH="$work/bin:$PATH" TSR_TEST_TIMEOUT=1 sh "$work/tools/run_tests.sh" "$@" 2>&1)
    got=$?
    if [ $got = "$status" ] && [ "$(echo "$out" | tail -n 1)" = "$last" ] && echo "$out" | grep -qF -- "$text"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'run_tests: status %s, not %s; wanted "%s" and "%s" in\n' "$got" "$status" "$last" "$text"
        echo "$out" | sed 's/^/    /'
    fi
}

# programs BODY...: one test program for each.
programs() {
    n=0
    : >"$work/build/release/tests.list"
    for body; do
        n=$((n + 1))
        printf '%s\n' "$body" >"$work/$n.sh"
        printf 'room/test_%s\tsh\t%s\n' $n "$work/$n.sh" >>"$work/build/release/tests.list"
    done
}
good='echo "5 passed, 0 failed, 1 skipped"'
bad='echo why; echo "3 passed, 2 failed, 0 skipped"; exit 1'

programs "$good" "$good"
expect 0 "12 passed, 0 failed, 2 skipped" "release room/test_2: 5 passed" release
programs "$good" "$bad"
expect 1 "10 passed, 2 failed, 1 skipped" "    why" release
programs "$good" 'kill -SEGV $$'
expect 1 "7 passed, 1 failed, 1 skipped" "room/test_2: 0 passed, 0 failed, 0 skipped; crashed" release
programs "$good" 'sleep 20'
expect 1 "7 passed, 1 failed, 1 skipped" "ran longer than 1 s" release
programs "$good" 'exit 0'
expect 1 "7 passed, 1 failed, 1 skipped" "ended without its count" release
programs "$good" 'echo "4 passed, 0 failed, 0 skipped"; exit 23'
expect 1 "11 passed, 1 failed, 1 skipped" "failed at exit (exit status 23)" release
programs "$good"
expect 1 "7 passed, 1 failed, 1 skipped" "broken: does not build:" release broken
programs 'printf "%s" "1 passed, 0 failed, 0 skipped"'
expect 0 "3 passed, 0 failed, 0 skipped" "room/test_1: 1 passed" release

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
