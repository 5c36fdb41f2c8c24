#!/bin/sh
# startup.sh [BUILD]: what the program costs before it does anything: median wall time of `tessera --version` beside /bin/true,
# size of the stripped program, and its dynamic dependencies.
build=${1:-build/release}
program=$build/tessera
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cp "$program" "$work/stripped" && strip "$work/stripped" || exit 1

median_us() { # COMMAND...
    i=0
    while [ $i -lt 101 ]; do
        a=$(date +%s%N)
        "$@" >/dev/null
        b=$(date +%s%N)
        echo $(((b - a) / 1000))
        i=$((i + 1))
    done | sort -n | sed -n 51p
}

floor=$(median_us /bin/true)
start=$(median_us "$work/stripped" --version)
echo "start-up, median of 101: tessera --version $start us, /bin/true $floor us (each includes the shell's fork)"
echo "stripped program: $(wc -c <"$work/stripped") bytes"
echo "dynamic dependencies:"
ldd "$work/stripped" | sed 's/ =>.*//; s/(0x[0-9a-f]*)//'
