#!/bin/sh
# replay.sh: plans and emitted text (tile programs, C, OpenCL C, CUDA C) of the known graphs, beside those of a base
# commit: BASE=rev, else where this branch left origin/main or main. A refactor leaves every text unchanged; what a
# change of the compiler does shows here. The base is built in a worktree of its own, build/replay/tree.
cd "$(dirname "$0")/.." || exit 1
base=${BASE:-$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main)} || exit 1
base=$(git rev-parse --verify "$base^{commit}") || exit 1
work=build/replay
tree=$work/tree
rm -rf "$work/base" "$work/here"
mkdir -p "$work"
[ -d "$tree" ] && git -C "$tree" checkout --quiet --detach "$base" ||
    { git worktree prune; rm -rf "$tree"; git worktree add --quiet --detach "$tree" "$base" || exit 1; }

# build FOLDER: the program of that tree, where `make` puts it too
build() {
    (cd "$1" && cmake --preset release && cmake --build build/release \
        -j "$(nproc 2>/dev/null || echo 2)" --target tessera_cli) >"$work/log" 2>&1 ||
        { echo "replay: $1 does not build:"; tail -n 20 "$work/log"; exit 1; }
}
build "$tree"
build .
if ! "$tree/build/release/tessera" plan --dump "$work/base" >"$work/log" 2>&1; then
    echo "replay: the base, $(git log -1 --format='%h %s' "$base"), cannot dump:"
    head -n 3 "$work/log"
    exit 1
fi
build/release/tessera plan --dump "$work/here" || exit 1

same=0 differ=0
for f in "$work"/here/* "$work"/base/*; do
    name=$(basename "$f")
    case $f in */base/*) [ -e "$work/here/$name" ] && continue ;; esac
    if cmp -s "$work/base/$name" "$work/here/$name"; then
        same=$((same + 1))
    else
        differ=$((differ + 1))
        changed=$(diff "$work/base/$name" "$work/here/$name" 2>/dev/null | grep -c '^[<>]')
        echo "replay: $name differs in $changed lines: diff $work/base/$name $work/here/$name"
    fi
done
echo "replay: $same texts equal, $differ differ, against $(git log -1 --format='%h %s' "$base")"
[ $differ = 0 ]
