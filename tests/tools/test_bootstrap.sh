#!/bin/sh
# test_bootstrap.sh: the bootstrap on machines that lack things, each made of a PATH with stand-ins: a package manager
# that writes down what it was asked, an `id` that says who we are. Wrong here, and the first command on a fresh
# machine fails.
script=$(cd "$(dirname "$0")/../../tools" && pwd)/bootstrap.sh
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
sh=$(command -v sh)
passed=0 failed=0 option=""

tool() { # NAME BODY
    printf '#!%s\n%s\n' "$sh" "$2" >"$work/bin/$1"
    chmod +x "$work/bin/$1"
}

# machine USER TOOLS...: a PATH with these tools alone; apt-get succeeds and writes down its arguments.
machine() {
    rm -rf "$work/bin" "$work/asked"
    mkdir "$work/bin"
    : >"$work/asked"
    tool id "echo $1"
    shift
    tool apt-get "echo apt-get \"\$@\" >>$work/asked"
    for t; do tool "$t" 'exit 0'; done
}

# run STATUS OUTPUT-PART ASKED: what the bootstrap should do.
run() {
    out=$(PATH="$work/bin" CC="" TSR_NVRTC="" XDG_CACHE_HOME="$work/cache" TSR_ICD="$work/icd" TSR_CROSS="$work/bin" "$sh" "$script" $option 2>&1)
    status=$?
    asked=$(cat "$work/asked")
    if [ $status = "$1" ] && [ "$asked" = "$3" ] && case $out in *"$2"*) true ;; *) false ;; esac; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        printf 'bootstrap: status %s, not %s\n  said: %s\n  not: %s\n  asked: %s\n  not: %s\n' \
            "$status" "$1" "$out" "$2" "$asked" "$3"
    fi
}

machine 0 cc cmake ninja pkg-config
run 0 "" ""
machine 0 cc pkg-config
run 0 "Installing: cmake ninja-build" "apt-get install -y --no-install-recommends cmake ninja-build"
machine 0
run 0 "gcc" "apt-get install -y --no-install-recommends gcc cmake ninja-build pkg-config zlib1g-dev"
machine 1000 cc cmake pkg-config
run 1 "apt-get update && apt-get install -y --no-install-recommends ninja-build" ""
machine 1000 cc cmake pkg-config
tool sudo '[ "$1" = -n ] && exit 0; "$@"'
run 0 "Installing: ninja-build" "apt-get install -y --no-install-recommends ninja-build"
machine 0 cc cmake pkg-config # stale lists: the first try fails, the second, after an update, does not
tool apt-get "echo apt-get \"\$@\" >>$work/asked; [ \"\$1\" = update ] && : >$work/bin/fresh; [ -e $work/bin/fresh ]"
run 0 "" "apt-get install -y --no-install-recommends ninja-build
apt-get update
apt-get install -y --no-install-recommends ninja-build"
machine 0 cc cmake pkg-config # no network
tool apt-get "echo apt-get \"\$@\" >>$work/asked; exit 100"
run 1 "That did not work. Please run as root:" "apt-get install -y --no-install-recommends ninja-build
apt-get update"
machine 0 cmake ninja pkg-config
rm "$work/bin/apt-get"
run 1 "Please install: gcc" ""

# What only tests need: never a failure.
option=--tests
cross="aarch64-linux-gnu-gcc riscv64-linux-gnu-gcc qemu-aarch64 arm-none-eabi-gcc qemu-system-arm"
machine 0 cc cmake ninja pkg-config $cross
run 0 "Not here: pocl-opencl-icd" "apt-get install -y --no-install-recommends pocl-opencl-icd ocl-icd-libopencl1 tcc"
: >"$work/icd"
machine 0 cc cmake ninja pkg-config tcc $cross
run 0 "" ""
machine 1000 cc cmake ninja pkg-config
run 0 "Tests that need them will be skipped" ""
machine 0 cc cmake ninja pkg-config
rm "$work/bin/apt-get"
run 0 "Not here: tcc" ""


# NVRTC by Python: there, got, not to be had.
machine 0 cc cmake ninja pkg-config tcc $cross
ln -s "$sh" "$work/bin/sh"
tool python3 'echo there'
run 0 "" ""
tool python3 "[ \"\$1\" = -m ] && echo venv \"\$3\" >>$work/asked; exit 1"
run 0 "Not here: NVRTC" "venv $work/cache/tessera/python"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
