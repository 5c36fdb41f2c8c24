#!/bin/sh
# test_gpu_check.sh BUILD: bench/gpu_check.sh, which only a machine with a GPU runs in earnest, works: it runs, small, on
# a look-alike of a GPU that computes on the host, and says what was wrong when something is.
build=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
if ! c++ --version >/dev/null 2>&1; then
    echo "test_gpu_check: skipped: needs a C++ compiler named c++ to run kernels on the look-alike"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi
fake=$(ls "$build"/libfake_gpu.* 2>/dev/null | head -n 1)
export TSR_CUDA="$fake" TSR_NVRTC="$fake" TSR_CACHE="$work/cache"
passed=0 failed=0
check() { # what, then a command
    what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "FAILED: $what"; fi
}

check "runs" sh bench/gpu_check.sh --small --build "$build" --out "$work/out.md"
cat "$work/out.md"
check "names the device" grep -q "look-alike 0, sm_70, CUDA 12.8" "$work/out.md"
check "does not pass for a measurement" grep -q "figures mean nothing" "$work/out.md"
for model in "digits, convnet, Adam" "GPT, 1 layer, AdamW"; do
    line=$(grep "^| $model |" "$work/out.md")
    check "$model learns like the CPU" test "$(echo "$line" | grep -c '| 6 | .* | yes |')" = 1
    check "$model is replayed" test "$(echo "$line" | sed 's/.*| \([0-9]*\) |$/\1/')" -gt 0
done
check "no op fails" grep -q "passed, 0 failed" "$work/out.md"
for line in "copy by the driver" "relu(x y + x)" "softmax, rows" "layer_norm, rows" "f32 as tf32" "bf16"; do
    check "has a line for $line" grep -qF "$line" "$work/out.md"
done
check "says that there is no device" test "$(TSR_CUDA=/none sh bench/gpu_check.sh --small --build "$build" 2>&1 |
    grep -c 'cannot be loaded')" = 1
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
