#!/bin/sh
# lint.sh: the rules of the house, checked in seconds. Prints every breach as path:line: text and ends with the count
# line of the tests, one for each rule: floors, functions, switches, columns, essays (lint.awk); headers (each compiles
# alone, public ones as C++ too; a body that is included with macros set, once for each type, is named *.inc); map
# (docs/map.md has each tracked file once and no other).
cd "$(dirname "$0")/.." || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT

if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
    git ls-files --cached --others --exclude-standard
else
    find . -type f ! -path './build/*' ! -path './.git/*' | sed 's|^\./||'
fi | sort | while read -r f; do [ -f "$f" ] && echo "$f"; done >"$work/all"

grep -E '^(src|include|tests|bench|examples)/.*\.(c|h|inc|def)$|^tools/.*\.(c|sh|awk)$|^docs/.*\.c$' "$work/all" |
    xargs env LC_ALL=C awk -f tools/lint.awk >"$work/found"

grep -E '^(include|src|tests)/.*\.h$' "$work/all" | sh tools/check_headers.sh c gnu11 >>"$work/found"
if echo 'int x;' | ${CC:-cc} -x c++ -fsyntax-only - 2>/dev/null; then
    grep -E '^include/.*\.h$' "$work/all" | sh tools/check_headers.sh c++ c++17 >>"$work/found"
fi

# Map: a line is "path  what it is"; a path that ends in / stands for all below it.
LC_ALL=C awk -v tracked="$work/all" '
    /^#|^$/ { next }
    { path = $1
      if (path in line) printf "map\tdocs/map.md:%d: %s is listed twice\n", FNR, path
      line[path] = FNR
      if (NF < 2) printf "map\tdocs/map.md:%d: say what %s is\n", FNR, path }
    END {
        while ((getline f < tracked) > 0) {
            exists[f] = 1
            for (dir = f; sub(/[^\/]*$/, "", dir) && dir != ""; sub(/\/$/, "", dir)) {
                exists[dir] = 1
                if (dir in line) covered[f] = 1
            }
            if (f ~ /^(src|include|tests|tools|bench|examples|cmake|docs)\// && !(f in line) && !(f in covered))
                printf "map\t%s:1: is not in docs/map.md\n", f
        }
        for (p in line) if (!(p in exists)) printf "map\tdocs/map.md:%d: %s does not exist\n", line[p], p
    }' docs/map.md >>"$work/found"

passed=0 failed=0
for rule in floors functions switches columns essays headers map; do
    if grep -q "^$rule	" "$work/found"; then
        echo "lint: $rule:"
        sed -n "s/^$rule	/  /p" "$work/found"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
