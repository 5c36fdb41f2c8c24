#!/bin/sh
# demo.sh: trains a network on real data, uses it, and says what to try next, with what the program of this build can
# do.
cd "$(dirname "$0")/.." || exit 1
program=build/release/tessera
if [ ! -x "$program" ]; then
    echo "The library is built: build/release/libtessera.a and libtessera.so. This tree has no program yet."
    exit 0
fi
"$program" --version || exit 1
if "$program" train --help >/dev/null 2>&1; then
    model=build/digits.safetensors
    "$program" train digits --out "$model" && "$program" predict "$model" || exit 1
fi
echo
echo "Try next:  $program --help"
