#!/bin/sh
# test_backward.sh BUILD: what `tessera compile --with-backward` and `--blob` write is compiled and called: gradients
# beside finite differences of the formula in double, steps beside the loss they say they take, constants from a file.
tessera=$1/tessera
here=$(dirname "$0")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
stop() {
    echo "backward: $1"
    echo "0 passed, $2 failed, $3 skipped"
    exit "$2"
}
command -v cc >/dev/null 2>&1 || stop "skipped: no C compiler: apt-get install gcc" 0 1

"$tessera" train digits --epochs 1 --out "$work/m.safetensors" >/dev/null &&
    "$tessera" compile "$here/f.mlir" -o "$work/g.c" --with-backward >/dev/null &&
    "$tessera" compile "$here/f.mlir" -o "$work/b.c" --blob "$work/b.bin" >/dev/null &&
    "$tessera" compile "$work/m.safetensors" -o "$work/s.c" --size batch=8 --with-backward >/dev/null ||
    stop "tessera compile failed" 1 0
for name in conv1.weight conv1.bias conv2.weight conv2.bias fc.weight fc.bias; do
    [ "$(grep -c "  $name\$" "$work/s.h")" = 2 ] || stop "s.h does not name $name as an input of both functions" 1 0
done
for file in g b s; do
    cc -std=c99 -pedantic-errors -O1 -ffp-contract=off -fno-math-errno -fno-strict-aliasing -w -c "$work/$file.c" \
        -o "$work/$file.o" || stop "$file.c does not compile" 1 0
done
cc -std=gnu11 -Wall -Wextra -Werror -I"$work" "$here/backward.c" "$work/g.o" "$work/b.o" "$work/s.o" -lm \
    -o "$work/backward" || stop "backward.c does not compile" 1 0
"$work/backward" "$work/b.bin"
