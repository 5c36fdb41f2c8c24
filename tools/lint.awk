# lint.awk: the rules of the house that can be seen line by line. Prints "RULE<TAB>path:line: what is wrong".
#
# Strings and comments are blanked before the code rules look, so a name in a comment is no use of it. A rule's
# exceptions stand beside it. Rules: floors, functions, switches, columns, essays.

BEGIN {
    n = split("base graph transform tile compile emit device run nn optim data train ml formats text vision models " \
              "llm serve track hub dist lang cli", order, " ")
    for (i = 1; i <= n; i++) floor[order[i]] = i

    # name -> where it may stand (a regular expression on the path)
    tests_or_bench = "^(tests|bench|examples)/"
    heap = "^src/base/mem\\.c$|" tests_or_bench
    split("malloc calloc realloc free aligned_alloc posix_memalign strdup strndup alloca", names, " ")
    for (i in names) allowed[names[i]] = heap
    split("strcpy strcat sprintf vsprintf gets strtok rand srand setjmp longjmp", names, " ")
    for (i in names) allowed[names[i]] = "^$"
    split("exit _exit abort", names, " ")
    for (i in names) allowed[names[i]] = "^src/cli/|^src/base/ctx\\.c$|" tests_or_bench
    split("printf vprintf puts putchar assert", names, " ")
    for (i in names) allowed[names[i]] = "^src/cli/|^docs/|" tests_or_bench
    allowed["getenv"] = "^src/base/env\\.c$|" tests_or_bench
    allowed["system"] = allowed["popen"] = tests_or_bench
}

function complain(rule, text) { printf "%s\t%s:%d: %s\n", rule, FILENAME, FNR, text }

# The code of a line: comments and the insides of literals removed; `inside` remembers an open comment.
function code_of(line,   out, at) {
    if (inside) {
        at = index(line, "*/")
        if (!at) return ""
        line = substr(line, at + 2)
        inside = 0
    }
    gsub(/'([^'\\]|\\.)+'/, "0", line)
    gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
    out = ""
    while (match(line, /\/[*\/]/)) {
        out = out substr(line, 1, RSTART - 1) " "
        if (substr(line, RSTART, 2) == "//") return out
        line = substr(line, RSTART + 2)
        at = index(line, "*/")
        if (!at) { inside = 1; return out }
        line = substr(line, at + 2)
    }
    return out line
}

# A floor includes public headers, itself, and floors above it. base knows base.h alone; device never sees a node.
function check_include(target,   room, path) {
    if (target ~ /^\.\.?\//) complain("floors", "include by path from the root, not \"" target "\"")
    if (mine == "include" && target !~ /^tessera\//) complain("floors", "a public header includes \"" target "\"")
    if (!(mine in floor)) return
    if (mine == "base" && target ~ /^tessera\// && target != "tessera/base.h")
        complain("floors", "base knows no tensors: \"" target "\"")
    if (mine == "device" && target ~ /^(graph|transform|compile)\/|^tessera\/(graph|prim|ops|transform|compile)\.h/)
        complain("floors", "a device sees no nodes: \"" target "\"")
    if (target ~ /^tessera\//) return
    split(target, path, "/")
    room = path[1]
    if (room == target) complain("floors", "name the room: \"" mine "/" target "\"")
    else if (!(room in floor)) complain("floors", "no such room: \"" target "\"")
    else if (floor[room] > floor[mine])
        complain("floors", mine "/ is above " room "/ (docs/design.md, section 3) and includes \"" target "\"")
}

function check_calls(code,   name, before) {
    while (match(code, /[A-Za-z_][A-Za-z_0-9]*[ ]*\(/)) {
        name = substr(code, RSTART, RLENGTH - 1)
        before = RSTART > 1 ? substr(code, RSTART - 1, 1) : ""
        sub(/ +$/, "", name)
        if ((name in allowed) && before !~ /[.>]/ && FILENAME !~ allowed[name])
            complain("functions", name "() is not used here")
        code = substr(code, RSTART + RLENGTH)
    }
}

FNR == 1 {
    inside = 0
    split(FILENAME, part, "/")
    mine = part[1] == "src" ? part[2] : part[1]
    if (FILENAME ~ /^src\/.*\.(c|h|inc)$/ && $0 !~ /^\/\*/)
        complain("essays", "a file opens with a comment that says what it is")
}

{
    width = $0
    gsub(/[\200-\277]/, "", width) # UTF-8 continuation bytes take no column
    if (length(width) > 120 && FILENAME !~ /\.def$/) complain("columns", length(width) " columns, at most 120")
    if (FILENAME !~ /\.(c|h|inc|def)$/) next
    if (!inside && match($0, /^[ \t]*#[ \t]*include[ \t]*"[^"]+"/)) {
        target = substr($0, RSTART, RLENGTH)
        gsub(/^[^"]*"|"$/, "", target)
        check_include(target)
        next
    }
    code = code_of($0)
    if (FILENAME !~ /^(src|include)\//) { check_calls(code); next }
    check_calls(code)
    if (code ~ /(^|[^A-Za-z_0-9])stdout([^A-Za-z_0-9]|$)/ && FILENAME !~ /^src\/cli\//)
        complain("functions", "the library does not write to stdout")
    if (code ~ /(^|[^A-Za-z_0-9])stderr([^A-Za-z_0-9]|$)/ && FILENAME !~ /^src\/cli\/|^src\/base\/(log|ctx)\.c$/)
        complain("functions", "the library does not write to stderr; use log_line")
    if (code ~ /case[ \t]+TSR_OP_/ && FILENAME !~ /^src\/graph\/|^src\/compile\/lower/)
        complain("switches", "a switch over graph ops outside graph/ and compile/lower*: it belongs in the op's record")
}
