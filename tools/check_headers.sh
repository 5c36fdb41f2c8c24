#!/bin/sh
# check_headers.sh LANGUAGE STANDARD < list of headers: compiles each alone, in parallel; prints what does not, as
# lint.sh wants it.
language=$1 standard=$2
one() {
    path=${1#include/}
    path=${path#src/}
    path=${path#tests/}
    out=$(echo "#include \"$path\"" | ${CC:-cc} -x "$language" -std="$standard" -Wall -Wextra -Werror -fsyntax-only \
        -Iinclude -Isrc -Itests - 2>&1) && return
    printf 'headers\t%s:1: does not compile alone (%s)\n' "$1" "$language"
    echo "$out" | head -n 5 | sed 's/^/headers\t    /'
}
if [ $# = 3 ]; then
    one "$3"
else
    xargs -P "$(nproc 2>/dev/null || echo 2)" -n 1 sh "$0" "$language" "$standard"
fi
