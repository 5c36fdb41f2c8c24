#!/bin/sh
# nvrtc.sh [--get]: prints where Python's packages hold NVIDIA's compiler: those of the python3 on the path, else those
# of a virtual environment of ours outside the tree. With it the tests compile CUDA C for real devices, without one.
#
# --get: where neither has it, it is put into that environment (some 100 MB); that never fails.
own=${XDG_CACHE_HOME:-$HOME/.cache}/tessera/python
look='import glob, nvidia
found = [p for d in nvidia.__path__ for p in glob.glob(d + "/cu*/lib/libnvrtc.so.1[0-9]")]
print(sorted(found)[-1])'

find_nvrtc() {
    for python in python3 "$own/bin/python3"; do
        "$python" -c "$look" 2>/dev/null && return 0
    done
    return 1
}

get_nvrtc() {
    [ -x "$own/bin/pip" ] || python3 -m venv "$own" || return 1
    "$own/bin/pip" install --quiet --retries 1 --timeout 15 nvidia-cuda-nvrtc-cu12
}

find_nvrtc && exit 0
[ "$1" = --get ] || exit 1
get_nvrtc >/dev/null 2>&1 && find_nvrtc ||
    echo "Not here: NVRTC (pip install nvidia-cuda-nvrtc-cu12). Tests that need it will be skipped." >&2
exit 0
