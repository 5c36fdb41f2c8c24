#!/bin/sh
# gpu_check.sh: everything that only a GPU can tell, in one command: the self-test under compute-sanitizer where it is
# installed, training beside the CPU, bandwidth, products. Writes bench/results/cuda.md (hip.md).
#
#     sh bench/gpu_check.sh [--device cuda|cuda:1|hip] [--build FOLDER] [--out FILE] [--small]
#
# Uses gpu_check of the build folder (build/release), and builds it where it is missing. --small: so small that a
# look-alike of a GPU can run it, to see that this script works; writes nowhere but to FILE.
cd "$(dirname "$0")/.." || exit 1
device=cuda build=build/release out='' small=''
while [ $# -gt 0 ]; do
    case $1 in
    --device) device=$2; shift ;;
    --build) build=$2; shift ;;
    --out) out=$2; shift ;;
    --small) small=small ;;
    *) echo "gpu_check.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift
done
[ -n "$out" ] || { [ -z "$small" ] && out=bench/results/${device%%:*}.md; } || out=/dev/stdout
[ -x "$build/gpu_check" ] || cmake --build "$build" --target gpu_check || exit 1
export TSR_DEVICE="$device"
check="$build/gpu_check"
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

head=$("$check" header $small) || { echo "$head" >&2; exit 1; }
status=0
part() { # name, what goes around it
    name=$1
    shift
    "$@" "$check" "$name" $small >>"$work/parts" 2>"$work/said" || { status=1; echo "gpu_check.sh: $name failed" >&2; }
    cat "$work/said" >&2
}
sanitizer=''
if [ "${device%%:*}" = cuda ] && [ -z "$small" ] && command -v compute-sanitizer >/dev/null 2>&1; then
    sanitizer='compute-sanitizer --error-exitcode 1 --log-file /dev/stderr'
fi
part ops $sanitizer
[ -n "$sanitizer" ] && echo "Under compute-sanitizer (memcheck)." >>"$work/parts"
[ -z "$sanitizer" ] && echo "compute-sanitizer was not used." >>"$work/parts"
for name in train bandwidth gemm; do part $name; done
{
    echo "# What a GPU reaches (${device%%:*})"
    echo
    echo "By \`sh bench/gpu_check.sh\`, $(git log -1 --format='commit %h' 2>/dev/null), $(date -u +%Y-%m-%d)."
    echo "$head"
    cat "$work/parts"
} >"$out"
exit $status
