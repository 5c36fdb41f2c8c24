#!/bin/sh
# bootstrap.sh: what the build needs and the machine lacks is installed by the system's package manager, as root or
# with sudo. Where that is not allowed, the one line to run is printed. Nothing missing: a few milliseconds, and the
# package manager is not asked.
#
# --tests: then what some tests use and skip without (the list at the end), as far as it can be had; that never fails.
need=""
want() { need="$need $1"; }

for manager in apt-get dnf pacman apk zypper none; do command -v $manager >/dev/null 2>&1 && break; done
case $manager in # packages of: compiler, C library headers, cmake, ninja, pkg-config, zlib
    apt-get) gcc=gcc libc=libc6-dev ninja=ninja-build pkgconf=pkg-config zlib=zlib1g-dev ;;
    dnf)     gcc="gcc libasan libubsan" libc=glibc-devel ninja=ninja-build pkgconf=pkgconf-pkg-config
             zlib="zlib-devel zlib-static" ;;
    pacman)  gcc=gcc libc=glibc ninja=ninja pkgconf=pkgconf zlib=zlib ;;
    apk)     gcc=gcc libc=musl-dev ninja=samurai pkgconf=pkgconf zlib="zlib-dev zlib-static" ;;
    zypper)  gcc=gcc libc=glibc-devel ninja=ninja pkgconf=pkg-config zlib="zlib-devel zlib-devel-static" ;;
    *)       gcc=gcc libc=libc-dev ninja=ninja pkgconf=pkg-config zlib=zlib-dev ;;
esac

command -v cc >/dev/null 2>&1 || command -v "${CC:-gcc}" >/dev/null 2>&1 || want "$gcc"
[ -e /usr/include/stdio.h ] || echo '#include <stdio.h>' | ${CC:-cc} -E - >/dev/null 2>&1 || want "$libc"
command -v cmake >/dev/null 2>&1 || want cmake
command -v ninja >/dev/null 2>&1 || want "$ninja"
command -v pkg-config >/dev/null 2>&1 || want "$pkgconf"
pkg-config --exists zlib 2>/dev/null || want "$zlib"

# get: installs what is wanted; says what to do where it cannot.
get() {
    [ -z "$need" ] && return 0
    case $manager in
        apt-get) install="apt-get install -y --no-install-recommends$need" refresh="apt-get update" ;;
        dnf)     install="dnf install -y$need" refresh=true ;;
        pacman)  install="pacman -S --noconfirm --needed$need" refresh="pacman -Sy" ;;
        apk)     install="apk add$need" refresh="apk update" ;;
        zypper)  install="zypper --non-interactive install$need" refresh=true ;;
        *)       echo "Please install:$need" >&2; return 1 ;;
    esac
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root="sudo"
    else
        echo "Missing:$need. Please run as root:  $refresh && $install" >&2
        return 1
    fi
    echo "Installing:$need"
    export DEBIAN_FRONTEND=noninteractive
    $as_root $install >/dev/null 2>&1 || { $as_root $refresh && $as_root $install; } || {
        echo "That did not work. Please run as root:  $refresh && $install" >&2
        return 1
    }
}

get || exit 1
[ "$1" = --tests ] || exit 0

# What tests skip without. A line: the file or command that shows it is there, the package, what is tested with it.
need=""
loader=/usr/lib/libOpenCL.so.1
for found in /usr/lib/*/libOpenCL.so.1; do [ -e "$found" ] && loader=$found; done
while read -r sign package what; do
    [ -e "$sign" ] || command -v "$sign" >/dev/null 2>&1 || {
        want "$package"
        echo "Not here: $package ($what)"
    }
done <<END
${TSR_ICD:-/etc/OpenCL/vendors/pocl.icd} pocl-opencl-icd OpenCL on the CPU
${TSR_ICD:-$loader} ocl-icd-libopencl1 the loader of OpenCL
tcc tcc the C that is written, with a compiler of another make
aarch64-linux-gnu-gcc gcc-aarch64-linux-gnu C files on another machine
riscv64-linux-gnu-gcc gcc-riscv64-linux-gnu C files on another machine
${TSR_CROSS:-/usr/aarch64-linux-gnu/include/stdio.h} libc6-dev-arm64-cross C files on another machine
${TSR_CROSS:-/usr/riscv64-linux-gnu/include/stdio.h} libc6-dev-riscv64-cross C files on another machine
qemu-aarch64 qemu-user C files on other machines
arm-none-eabi-gcc gcc-arm-none-eabi C files on a microcontroller
qemu-system-arm qemu-system-arm C files on a microcontroller
END
if [ -z "$TSR_NVRTC" ] && command -v python3 >/dev/null 2>&1; then
    sh "${0%/*}/nvrtc.sh" --get >/dev/null
fi
[ "$manager" = apt-get ] || exit 0 # the names are Debian's
get || echo "Tests that need them will be skipped."
exit 0
