#!/bin/sh
# test_install.sh BUILD: installs the build under a new prefix and uses it as a stranger would: a ten-line program
# through pkg-config (shared and static) and through find_package(tessera), in a tree that was moved after it was
# installed. Also: the shared library exports tsr_* and nothing else, and the libraries need nothing but libc and libm
# at run time.
build=$1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
log=$work/log
passed=0 failed=0

check() { # WHAT COMMAND...
    what=$1
    shift
    if "$@" >"$log" 2>&1; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "install: $what: failed"
        sed 's/^/    /' "$log"
    fi
}

cat >"$work/use.c" <<'END'
#include <stdio.h>
#include <string.h>
#include <tessera/base.h>
int main(void) {
    tsr_ctx *c = tsr_open(NULL);
    if (!c || tsr_threads(c) < 1) return 1;
    printf("%s %zu\n", tsr_version(), tsr_memory(c).now);
    tsr_close(c);
    return strcmp(tsr_version(), EXPECTED);
}
END
version=$(sed -n 's/^CMAKE_PROJECT_VERSION:STATIC=//p' "$build/CMakeCache.txt")
expected="-DEXPECTED=\"$version\""

check "cmake --install" cmake --install "$build" --prefix "$work/first"
mv "$work/first" "$work/prefix"
libdir=$(dirname "$(find "$work/prefix" -name libtessera.a)")
export PKG_CONFIG_PATH=$libdir/pkgconfig
cc=${CC:-cc}

check "version in tessera.pc" test "$(pkg-config --modversion tessera)" = "$version"
for header in include/tessera/*.h; do
    check "$header is installed" test -f "$work/prefix/$header"
done

check "pkg-config, shared: compile" \
    $cc "$expected" "$work/use.c" -o "$work/shared" $(pkg-config --cflags --libs tessera)
check "pkg-config, shared: run" env LD_LIBRARY_PATH="$libdir" "$work/shared"
check "pkg-config, static: compile" $cc "$expected" "$work/use.c" -o "$work/static" $(pkg-config --cflags tessera) \
    -Wl,-Bstatic -L"$libdir" -ltessera -Wl,-Bdynamic -pthread \
    $(pkg-config --static --libs-only-l tessera | sed 's/-ltessera//')
check "pkg-config, static: run" "$work/static"

cat >"$work/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.20)
project(use C)
find_package(tessera REQUIRED)
foreach(lib tessera tessera_shared)
    add_executable(use_${lib} use.c)
    target_link_libraries(use_${lib} PRIVATE tessera::${lib})
    target_compile_definitions(use_${lib} PRIVATE EXPECTED="${tessera_VERSION}")
endforeach()
END
check "find_package: configure" \
    cmake -S "$work" -B "$work/use" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$cc"
check "find_package: build" cmake --build "$work/use"
check "find_package: run, static" "$work/use/use_tessera"
check "find_package: run, shared" "$work/use/use_tessera_shared"

strangers() { nm -D --defined-only "$libdir/libtessera.so" | awk '$3 !~ /^tsr_/ { print; bad = 1 } END { exit bad }'; }
check "the shared library exports tsr_* alone" strangers
needed() { # FILE: fails when a shared library other than libc, libm or the loader is needed
    readelf -d "$1" | awk '/NEEDED/ && !/\[(libc|libm|ld-linux[^]]*)\.so/ { print; bad = 1 } END { exit bad }'
}
check "libtessera.so needs libc and libm alone" needed "$libdir/libtessera.so"
if [ -x "$work/prefix/bin/tessera" ]; then
    check "the program needs libc and libm alone" needed "$work/prefix/bin/tessera"
    check "the program says its version" sh -c "\"$work/prefix/bin/tessera\" --version | grep -F \"$version\""
fi

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
