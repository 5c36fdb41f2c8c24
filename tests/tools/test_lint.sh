#!/bin/sh
# test_lint.sh: the lint is given one breach of each rule in a small tree of its own and must name it; the tree without
# it must pass.
tools=$(cd "$(dirname "$0")/../../tools" && pwd)
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
cd "$tree" || exit 1
passed=0 failed=0

fresh() {
    rm -rf ./*
    mkdir -p tools docs include/tessera src/base src/graph src/compile src/device src/cli tests
    cp "$tools"/lint.sh "$tools"/lint.awk "$tools"/check_headers.sh tools/
    printf '/* base.h: x */\nint tsr_x(void);\n' >include/tessera/base.h
    printf '/* graph.h: x */\nint tsr_g(void);\n' >include/tessera/graph.h
    printf '/* mem.h: x */\n#include "tessera/base.h"\n' >src/base/mem.h
    printf '/* node.h: x */\n#include "base/mem.h"\n#include "tessera/graph.h"\n' >src/graph/node.h
    printf '/* a.c: strcpy( and malloc( in a comment\n * or exit(1) */\n#include "graph/node.h"\n' >src/graph/a.c
    printf 'const char *s = "printf(";\nvoid arena_free(int);\nvoid f(void) { arena_free(1); }\n' >>src/graph/a.c
}

map() {
    find include src tests tools docs -type f | grep -v 'docs/map.md' | sed 's/$/  what it is/' >docs/map.md
    echo 'docs/map.md  this' >>docs/map.md
}

# expect RULE TEXT: lint fails, and a line under RULE has TEXT. RULE none: it passes.
expect() {
    out=$(sh tools/lint.sh 2>&1)
    status=$?
    if [ "$1" = none ]; then
        [ $status = 0 ]
    else
        [ $status != 0 ] && echo "$out" | sed -n "/^lint: $1:/,/^lint: [^ ]*:\$/p" | grep -qF -- "$2" &&
            echo "$out" | tail -n 1 | grep -q '^6 passed, 1 failed, 0 skipped$'
    fi
    if [ $? = 0 ]; then passed=$((passed + 1)); else
        failed=$((failed + 1))
        echo "lint did not say: $1 $2"
        echo "$out" | sed 's/^/    /'
    fi
}

# breach RULE TEXT FILE LINES: FILE is added to the clean tree.
breach() {
    fresh
    mkdir -p "$(dirname "$3")"
    printf "$4" >"$3"
    map
    expect "$1" "$2"
}

fresh; map; expect none
breach floors 'base/ is above graph/' src/base/b.c '/* b */\n#include "graph/node.h"\n'
breach floors 'base knows no tensors' src/base/b.c '/* b */\n#include "tessera/graph.h"\n'
breach floors 'compile/ is above device/' src/compile/b.c '/* b */\n  #  include "device/x.h"\n'
breach floors 'a device sees no nodes' src/device/b.c '/* b */\n#include "graph/node.h"\n'
breach floors 'name the room' src/graph/b.c '/* b */\n#include "node.h"\n'
breach floors 'by path from the root' src/graph/b.c '/* b */\n#include "../base/mem.h"\n'
breach floors 'no such room' src/graph/b.c '/* b */\n#include "attic/x.h"\n'
for f in strcpy strcat sprintf gets strtok malloc calloc realloc free exit abort printf getenv setjmp; do
    breach functions "$f() is not used here" src/graph/b.c "/* b */\nvoid g(void) { /* x */ $f (0); }\n"
done
breach functions 'src/graph/b.c:4: malloc()' src/graph/b.c \
    '/* b\n */\nchar *q = "\\""; /* malloc(\n*/ void *p = malloc(3);\n'
breach functions 'does not write to stdout' src/graph/b.c '/* b */\nvoid *p = stdout;\n'
breach functions 'use log_line' src/graph/b.c '/* b */\nvoid *p = stderr;\n'
breach none '' src/cli/b.c '/* b */\nvoid g(void) { printf("x"); exit(1); }\n'
breach none '' src/base/mem.c '/* b */\nvoid *g(void) { return malloc(1); }\n'
breach none '' src/graph/b.c '/* b */\nvoid g(int k) { switch (k) { case TSR_OP_ADD: return; } }\n'
breach none '' src/compile/lower_x.c '/* b */\nvoid g(int k) { switch (k) { case TSR_OP_ADD: return; } }\n'
breach switches 'a switch over graph ops' src/compile/b.c \
    '/* b */\nvoid g(int k) { switch (k) { case TSR_OP_ADD: return; } }\n'
breach essays 'opens with a comment' src/graph/b.c 'int x;\n'
breach columns '121 columns' src/graph/b.c "/* $(printf '%118s' x)\n*/\n"
breach none '' src/graph/b.c "/* $(printf '%116s' x)é\n*/\n"
breach headers 'src/graph/b.h:1: does not compile alone (c)' src/graph/b.h '/* b */\nsize_t x(void);\n'
breach headers 'include/tessera/b.h:1: does not compile alone (c++)' include/tessera/b.h '/* b */\nint x(int class);\n'
fresh; map; echo '/* n */' >src/graph/new.c; expect map 'src/graph/new.c:1: is not in docs/map.md'
fresh; map; rm src/graph/a.c; expect map 'src/graph/a.c does not exist'
fresh; map; echo 'src/graph/a.c  again' >>docs/map.md; expect map 'is listed twice'
fresh; mkdir tests/data; echo x >tests/data/x.c; map; sed -i 's|tests/data/x.c|tests/data/|' docs/map.md; expect none

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
