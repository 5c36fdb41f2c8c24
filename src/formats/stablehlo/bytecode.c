/* bytecode.c: MLIR bytecode: cursors, and the container.
 *
 * A file is the bytes "ML\xefR", a version, the name of who wrote it, and sections in any order, each at most once.
 * What follows finds the sections and reads their tables; what the tables point at (attributes, types, properties,
 * resources) stays where it lies until somebody asks. Versions of the container: 1 gave dialects a version (ignored:
 * VHLO's operations carry theirs in their names), 2 put isolated regions into sections of their own, 3 added orders of
 * uses (skipped: nothing of ours depends on them), 4 left out unknown locations of block arguments and counts operation
 * names, 5 moved an operation's own attributes into the properties section, 6 changed segment sizes (VHLO has none).
 * Offsets in messages count from the file's first byte; alignments do too (a mapped file begins on a page).
 * Source: mlir.llvm.org/docs/BytecodeFormat. */
#include "formats/stablehlo/bytecode.h"

#include <stdio.h>
#include <string.h>

#include "formats/stablehlo/read.h"

static const char magic[4] = {'M', 'L', '\xef', 'R'};
static const char writer[] = "StableHLO_v";

static const struct { const char *text; int required; } sections[BC_SECTION_COUNT] = {
#define X(name, number, required, text) [number] = {text, required},
    BC_SECTION_LIST(X)
#undef X
};

/* ---- cursors ---------------------------------------------------------------------------------------------------- */

struct bc_cursor bc_cursor(struct bc *b, struct bc_span s) {
    return (struct bc_cursor){b, s.p, s.p ? s.p + s.n : NULL};
}

size_t bc_left(const struct bc_cursor *c) {
    return c->b->failed ? 0 : (size_t)(c->end - c->p);
}

struct hlo_loc bc_here(const struct bc_cursor *c) {
    size_t at = c->p ? (size_t)(c->p - c->b->bytes) : c->b->n;
    return (struct hlo_loc){0, at < UINT32_MAX ? (uint32_t)at : UINT32_MAX};
}

bool bc_fail(struct bc_cursor *c, const char *fmt, ...) {
    if (!c->b->failed) {
        char text[400];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        hlo_fail(c->b->m, bc_here(c), "%s", text);
    }
    c->b->failed = true;
    return false;
}

bool bc_stop(struct bc *b) {
    b->failed = true;
    return false;
}

uint8_t bc_byte(struct bc_cursor *c) {
    if (bc_left(c)) return *c->p++;
    bc_fail(c, "the file ends, or the section does, where a byte is expected; it is truncated or damaged");
    return 0;
}

/* As many bytes follow as the first has zero bits at its low end; the value is above them. */
uint64_t bc_uint(struct bc_cursor *c) {
    uint64_t v = bc_byte(c);
    if (v & 1) return v >> 1;
    unsigned more = v ? (unsigned)__builtin_ctzll(v) : 8;
    if (bc_left(c) < more) return bc_fail(c, "the file ends, or the section does, within a number"), 0;
    uint64_t high = 0;
    for (unsigned i = 0; i < more; i++) high |= (uint64_t)c->p[i] << 8 * i;
    c->p += more;
    return more == 8 ? high : (v | high << 8) >> (more + 1);
}

int64_t bc_int(struct bc_cursor *c) {
    uint64_t v = bc_uint(c);
    return (int64_t)(v >> 1 ^ (0 - (v & 1)));
}

uint64_t bc_flagged(struct bc_cursor *c, bool *flag) {
    uint64_t v = bc_uint(c);
    *flag = v & 1;
    return v >> 1;
}

size_t bc_count(struct bc_cursor *c, const char *what) {
    uint64_t n = bc_uint(c);
    if (n <= bc_left(c) && n <= INT32_MAX) return (size_t)n;
    bc_fail(c, "%llu %s promised, but only %zu bytes are left", (unsigned long long)n, what, bc_left(c));
    return 0;
}

size_t bc_index(struct bc_cursor *c, size_t n, const char *what) {
    uint64_t i = bc_uint(c);
    if (i < n) return (size_t)i;
    bc_fail(c, "%s %llu asked for, but there are %zu", what, (unsigned long long)i, n);
    return 0;
}

struct bc_span bc_take(struct bc_cursor *c, uint64_t n) {
    if (n > bc_left(c)) {
        bc_fail(c, "%llu bytes promised, but only %zu are left", (unsigned long long)n, bc_left(c));
        return (struct bc_span){c->p, 0};
    }
    struct bc_span s = {c->p, (size_t)n};
    c->p += n;
    return s;
}

struct bc_span bc_blob(struct bc_cursor *c) {
    return bc_take(c, bc_uint(c));
}

static void align(struct bc_cursor *c, uint64_t to) {
    if (!to || (to & (to - 1))) {
        bc_fail(c, "an alignment of %llu, which is no power of two", (unsigned long long)to);
        return;
    }
    uint64_t at = (uint64_t)(c->p - c->b->bytes);
    bc_take(c, (to - at % to) % to);
}

struct bc_span bc_aligned(struct bc_cursor *c) {
    uint64_t to = bc_uint(c), n = bc_uint(c);
    align(c, to);
    return bc_take(c, n);
}

struct bc_string bc_string(struct bc_cursor *c) {
    size_t i = bc_index(c, c->b->strings.n, "string");
    return c->b->failed ? (struct bc_string){"", 0} : c->b->strings.v[i];
}

struct bc_span bc_section(struct bc_cursor *c, unsigned *id) {
    uint8_t head = bc_byte(c);
    uint64_t n = bc_uint(c);
    *id = head & 127;
    if (*id >= BC_SECTION_COUNT) bc_fail(c, "section %u is none of the %d kinds of section", *id, BC_SECTION_COUNT);
    if (head & 128) align(c, bc_uint(c));
    return bc_take(c, n);
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

/* Lengths (each with its NUL) of the strings from the last to the first, then the strings. */
static bool read_strings(struct bc *b) {
    struct bc_cursor c = bc_cursor(b, b->section[BC_STRINGS]);
    size_t n = bc_count(&c, "strings");
    if (!vec_reserve(b->c, &b->strings, n)) return bc_stop(b);
    b->strings.n = n;
    const uint8_t *end = c.end;
    for (size_t i = n; i-- > 0 && !b->failed;) {
        uint64_t length = bc_uint(&c);
        if (b->failed) break;
        if (!length || c.p > end || length > (uint64_t)(end - c.p) || end[-1] != 0) {
            return bc_fail(&c, "string %zu has no end, or does not fit its section", i);
        }
        end -= length;
        b->strings.v[i] = (struct bc_string){(const char *)end, (size_t)length - 1};
    }
    if (!b->failed && c.p > end) bc_fail(&c, "the strings begin before their lengths end");
    if (!b->failed && c.p != end) bc_fail(&c, "%zu bytes between the lengths of the strings and the strings",
        (size_t)(end - c.p));
    return !b->failed;
}

static enum bc_dialect_kind dialect_kind(const char *name) {
    static const char *const known[BC_DIALECT_COUNT] = {[BC_BUILTIN] = "builtin", [BC_VHLO] = "vhlo",
        [BC_SDY] = "sdy"};
    for (int i = 0; i < BC_DIALECT_COUNT; i++) {
        if (known[i] && !strcmp(known[i], name)) return (enum bc_dialect_kind)i;
    }
    return BC_OTHER;
}

static void read_dialect(struct bc_cursor *c) {
    struct bc *b = c->b;
    bool versioned = false;
    size_t n = b->strings.n;
    uint64_t i = b->version >= 1 ? bc_flagged(c, &versioned) : bc_uint(c);
    if (i >= n) {
        bc_fail(c, "a dialect's name is string %llu, but there are %zu", (unsigned long long)i, n);
        return;
    }
    struct bc_string name = b->strings.v[i];
    unsigned id;
    if (versioned) bc_section(c, &id);
    if (!vec_push(b->c, &b->dialects, ((struct bc_dialect){name, dialect_kind(name.s)}))) bc_stop(b);
}

static void read_op_name(struct bc_cursor *c, const struct bc_dialect *dialect) {
    struct bc *b = c->b;
    bool registered = true;
    uint64_t i = b->version >= 5 ? bc_flagged(c, &registered) : bc_uint(c);
    if (i >= b->strings.n) {
        bc_fail(c, "an operation's name is string %llu, but there are %zu", (unsigned long long)i, b->strings.n);
        return;
    }
    struct bc_op_name name = {.dialect = dialect, .name = b->strings.v[i], .registered = registered};
    if (!vec_push(b->c, &b->op_names, name)) bc_stop(b);
}

/* A group: its dialect and how many entries follow. */
static const struct bc_dialect *read_group(struct bc_cursor *c, size_t *n) {
    size_t i = bc_index(c, c->b->dialects.n, "dialect");
    *n = bc_count(c, "entries of a dialect");
    return c->b->failed ? NULL : &c->b->dialects.v[i];
}

static bool read_dialects(struct bc *b) {
    struct bc_cursor c = bc_cursor(b, b->section[BC_DIALECTS]);
    size_t n = bc_count(&c, "dialects");
    for (size_t i = 0; i < n && !b->failed; i++) read_dialect(&c);
    if (b->version >= 4) bc_uint(&c); /* how many names follow: said again by the groups */
    while (bc_left(&c)) {
        const struct bc_dialect *dialect = read_group(&c, &n);
        for (size_t i = 0; i < n && !b->failed; i++) read_op_name(&c, dialect);
    }
    return !b->failed;
}

/* Where the entries lie that follow `at`: groups of (length << 1 | custom). */
static bool read_entries(struct bc_cursor *c, struct bc_cursor *data, struct bc_entry *entry, size_t n) {
    for (size_t i = 0; i < n && !c->b->failed;) {
        size_t in_group;
        const struct bc_dialect *dialect = read_group(c, &in_group);
        if (in_group > n - i) return bc_fail(c, "%zu entries of a dialect where %zu are left", in_group, n - i);
        for (; in_group-- && !c->b->failed; i++) {
            struct bc_entry *e = &entry[i];
            *e = (struct bc_entry){.dialect = dialect};
            uint64_t length = bc_flagged(c, &e->custom);
            struct bc_span s = bc_take(data, length);
            e->data = s.p, e->n = s.n;
        }
    }
    return !c->b->failed;
}

static bool read_attr_table(struct bc *b) {
    struct bc_cursor c = bc_cursor(b, b->section[BC_ATTR_OFFSETS]), data = bc_cursor(b, b->section[BC_ATTRS]);
    size_t attrs = bc_count(&c, "attributes"), types = bc_count(&c, "types");
    if (!vec_reserve(b->c, &b->attrs, attrs) || !vec_reserve(b->c, &b->types, types)) return bc_stop(b);
    b->attrs.n = attrs, b->types.n = types;
    if (!read_entries(&c, &data, b->attrs.v, attrs) || !read_entries(&c, &data, b->types.v, types)) return false;
    return !bc_left(&c) || bc_fail(&c, "%zu bytes after the last type", bc_left(&c));
}

static bool read_properties(struct bc *b) {
    if (!b->section[BC_PROPERTIES].n) return true;
    struct bc_cursor c = bc_cursor(b, b->section[BC_PROPERTIES]);
    size_t n = bc_count(&c, "properties");
    for (size_t i = 0; i < n && !b->failed; i++) {
        struct bc_span s = bc_blob(&c);
        if (!vec_push(b->c, &b->properties, s)) return bc_stop(b);
    }
    return !b->failed;
}

/* Resources: of external keepers first (skipped), then of dialects: key, length, kind (0 blob, 1 bool, 2 string). A
 * dialect's resource without bytes is a name only. */
static void read_resource_group(struct bc_cursor *c, struct bc_cursor *data, bool keep) {
    struct bc *b = c->b;
    size_t n = bc_count(c, "resources");
    for (size_t i = 0; i < n && !b->failed; i++) {
        struct bc_resource r = {.key = bc_string(c)};
        struct bc_span s = bc_take(data, bc_uint(c));
        uint8_t kind = bc_byte(c);
        struct bc_cursor inside = bc_cursor(b, s);
        if (keep && kind == 0 && s.n) r.blob = bc_aligned(&inside);
        if (keep && !vec_push(b->c, &b->resources, r)) bc_stop(b);
    }
}

static bool read_resources(struct bc *b) {
    if (!b->section[BC_RESOURCE_OFFSETS].p) return true;
    struct bc_cursor c = bc_cursor(b, b->section[BC_RESOURCE_OFFSETS]), data = bc_cursor(b, b->section[BC_RESOURCES]);
    size_t external = bc_count(&c, "groups of resources");
    for (size_t i = 0; i < external && !b->failed; i++) bc_string(&c), read_resource_group(&c, &data, false);
    while (bc_left(&c)) bc_index(&c, b->dialects.n, "dialect"), read_resource_group(&c, &data, true);
    return !b->failed;
}

/* ---- the file --------------------------------------------------------------------------------------------------- */

/* "StableHLO_v1.20.0" gives the version of the module. Other writers' files have none. */
static bool read_version(struct bc_cursor *c, int64_t version[3]) {
    const char *s = c->b->producer.s;
    if (strncmp(s, writer, sizeof writer - 1)) return true;
    s += sizeof writer - 1;
    for (int i = 0; i < 3; i++) {
        int64_t v = 0;
        if (*s < '0' || *s > '9') return bc_fail(c, "the writer's version in '%.40s' is not of the form x.y.z",
            c->b->producer.s);
        for (; *s >= '0' && *s <= '9' && v < 1000000; s++) v = v * 10 + (*s - '0');
        version[i] = v;
        if (*s == '.') s++;
    }
    const int64_t at = version[0] * 1000000 + version[1];
    const int64_t least = VHLO_MIN_MAJOR * 1000000 + VHLO_MIN_MINOR, most = VHLO_MAX_MAJOR * 1000000 + VHLO_MAX_MINOR;
    if (at >= least && at <= most) return true;
    return bc_fail(c, "written as StableHLO %lld.%lld.%lld, but versions %d.%d to %d.%d can be read; write it again "
        "for one of them (the target version of the serializer)", (long long)version[0], (long long)version[1],
        (long long)version[2], VHLO_MIN_MAJOR, VHLO_MIN_MINOR, VHLO_MAX_MAJOR, VHLO_MAX_MINOR);
}

static bool read_header(struct bc_cursor *c) {
    struct bc *b = c->b;
    if (bc_left(c) < sizeof magic || memcmp(c->p, magic, sizeof magic)) {
        return bc_fail(c, "not MLIR bytecode, which begins with the bytes 4D 4C EF 52");
    }
    c->p += sizeof magic;
    b->version = bc_uint(c);
    if (b->version > BC_VERSION_MAX) {
        return bc_fail(c, "bytecode of version %llu, but versions 0 to %d can be read", (unsigned long long)b->version,
            BC_VERSION_MAX);
    }
    const uint8_t *nul = bc_left(c) ? memchr(c->p, 0, bc_left(c)) : NULL;
    if (!nul) return bc_fail(c, "the name of the file's writer has no end; it is truncated or damaged");
    b->producer = (struct bc_string){(const char *)c->p, (size_t)(nul - c->p)};
    if (!read_version(c, b->m->version)) return false;
    c->p = nul + 1;
    return true;
}

static bool find_sections(struct bc_cursor *c) {
    struct bc *b = c->b;
    while (bc_left(c)) {
        unsigned id;
        struct bc_span s = bc_section(c, &id);
        if (b->failed) return false;
        if (b->section[id].p) return bc_fail(c, "a second section of %s", sections[id].text);
        b->section[id] = s;
    }
    for (int i = 0; i < BC_SECTION_COUNT; i++) {
        if (b->section[i].p || sections[i].required < 0 || b->version < (uint64_t)sections[i].required) continue;
        return bc_fail(c, "no section of %s; the file is truncated or damaged", sections[i].text);
    }
    if (!b->section[BC_RESOURCES].p == !b->section[BC_RESOURCE_OFFSETS].p) return true;
    return bc_fail(c, "resources without their offsets, or offsets without resources");
}

static bool read_file(struct bc *b) {
    struct bc_cursor c = {b, b->bytes, b->bytes + b->n};
    return read_header(&c) && find_sections(&c) && read_strings(b) && read_properties(b) && read_dialects(b) &&
        read_resources(b) && read_attr_table(b) && bc_read_ir(b);
}

static void release(struct bc *b) {
    vec_release(b->c, &b->strings);
    vec_release(b->c, &b->dialects);
    vec_release(b->c, &b->op_names);
    vec_release(b->c, &b->attrs);
    vec_release(b->c, &b->types);
    vec_release(b->c, &b->properties);
    vec_release(b->c, &b->resources);
    vec_release(b->c, &b->values);
    vec_release(b->c, &b->named);
    vec_release(b->c, &b->result);
    vec_release(b->c, &b->operand);
}

struct hlo_module *hlo_read_bytecode(tsr_ctx *c, const char *file, const void *bytes, size_t n) {
    struct hlo_module *m = hlo_module_new(c, file);
    if (!m) return NULL;
    struct bc b = {.m = m, .c = c, .bytes = bytes, .n = n};
    bool ok = read_file(&b);
    release(&b);
    if (ok) return m;
    hlo_module_free(m);
    return NULL;
}
