#!/bin/sh
# bench.sh: runs every benchmark program of bench/, one after the other, on the release build.
cd "$(dirname "$0")/.." || exit 1
for program in build/release/bench/*; do
    [ -x "$program" ] || continue
    echo "== $(basename "$program")"
    "$program" || exit 1
done
