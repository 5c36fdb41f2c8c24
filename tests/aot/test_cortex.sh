#!/bin/sh
# test_cortex.sh BUILD: the digits model for Cortex-M: trained, compiled to C, built by arm-none-eabi-gcc, its flash and
# RAM printed, and run on the boards that qemu-system-arm has: the bits are those of tessera run.
program=$1/tessera
here=$(dirname "$0")
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

summary() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
    exit
}
if ! command -v arm-none-eabi-gcc >/dev/null 2>&1; then
    echo "cortex: skipped: not here: apt-get install gcc-arm-none-eabi qemu-system-arm"
    skipped=1
    summary
fi

# An image: the pixels 0 .. 16 in turn, as NumPy's u8 (1, 8, 8) and as C.
printf "\223NUMPY\001\000\107\000{'descr': '|u1', 'fortran_order': False, 'shape': (1, 8, 8), }        \n" >"$work/x.npy"
awk 'BEGIN { for (i = 0; i < 64; i++) printf "\\%03o", i * 7 % 17 }' | xargs -0 printf >>"$work/x.npy"
{ echo "static const unsigned char input[64] = {"
  awk 'BEGIN { for (i = 0; i < 64; i++) printf "%d, ", i * 7 % 17 }'
  echo "};"; } >"$work/input.h"
if ! "$program" train digits -e 2 -o "$work/digits.safetensors" >"$work/log" 2>&1 ||
    ! "$program" compile "$work/digits.safetensors" -o "$work/digits.tsr" >>"$work/log" 2>&1 ||
    ! "$program" compile "$work/digits.safetensors" -o "$work/digits.c" --size batch=1 >>"$work/log" 2>&1 ||
    ! "$program" run "$work/digits.tsr" -i "$work/x.npy" -o "$work/want" >>"$work/log" 2>&1; then
    echo "cortex model: FAILED"
    cat "$work/log"
    failed=1
    summary
fi
tail -c 40 "$work/want/0.npy" | od -An -v -tx4 -w4 | tr -d ' ' >"$work/want.txt"

# board NAME QEMU-BOARD FLAGS
board() {
    name=$1 machine=$2
    shift 2
    if ! arm-none-eabi-gcc "$@" -mthumb -std=c99 -Os -ffp-contract=off -fno-math-errno -fno-strict-aliasing \
        -ffunction-sections -ffreestanding -fno-tree-loop-distribute-patterns -nostartfiles -nostdlib -I"$work" \
        -Wl,--gc-sections -T"$here/cortex.ld" "$here/cortex.c" "$work/digits.c" -lgcc -o "$work/$name.elf" 2>"$work/log"
    then
        echo "cortex $name: FAILED: it does not build"
        cat "$work/log"
        failed=$((failed + 1))
        return
    fi
    arm-none-eabi-size "$work/$name.elf" | awk -v name="$name" 'NR == 2 {
        printf "%s: flash %d bytes, RAM %d bytes and the stack\n", name, $1 + $2, $2 + $3 }'
    passed=$((passed + 1))
    if ! command -v qemu-system-arm >/dev/null 2>&1; then
        echo "cortex $name: not run: apt-get install qemu-system-arm"
        skipped=$((skipped + 1))
        return
    fi
    timeout 120 qemu-system-arm -M "$machine" -nographic -semihosting-config enable=on,target=native \
        -kernel "$work/$name.elf" >"$work/got.txt" 2>&1 </dev/null
    if cmp -s "$work/got.txt" "$work/want.txt"; then
        passed=$((passed + 1))
    else
        echo "cortex $name: FAILED: other bits, or none"
        paste "$work/got.txt" "$work/want.txt"
        failed=$((failed + 1))
    fi
}
board m4 mps2-an386 -mcpu=cortex-m4 -mfloat-abi=hard -mfpu=fpv4-sp-d16
board m7 mps2-an500 -mcpu=cortex-m7 -mfloat-abi=hard -mfpu=fpv5-d16
board m3 mps2-an385 -mcpu=cortex-m3 -mfloat-abi=soft
summary
