#!/bin/sh
# test_docs.sh BUILD: the programs in the documentation compile without warnings and run: docs/tour.c, and the C example of
# README.md. If one fails, what we tell people first is wrong.
build=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

try() { # NAME SOURCE WORD_IN_OUTPUT
    if ${CC:-cc} -std=c11 -Wall -Wextra -Werror -Iinclude "$2" "$build/libtessera.a" $libs -lm -lpthread -o "$work/$1" \
        >"$work/log" 2>&1 && "$work/$1" >>"$work/log" 2>&1 && grep -q "$3" "$work/log"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "docs: $1 failed:"
        tail -n 20 "$work/log"
    fi
}

libs=$(sed -n 's/^Libs.private: *//p' "$build/tessera.pc" 2>/dev/null)
awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$work/readme.c"
try tour docs/tour.c "the tour is over"
try readme "$work/readme.c" "loss"
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
