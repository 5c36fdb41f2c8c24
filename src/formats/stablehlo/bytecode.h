/* bytecode.h: inside the reader of MLIR bytecode.
 *
 * A file is read once, front to back: bytecode.c takes the container apart (sections, strings, names, tables of where
 * each attribute and type lies), bytecode_attr.c decodes one attribute or type when an operation asks for it and keeps
 * it, bytecode_ir.c walks the operations. vhlo.c gives operations of the VHLO dialect their StableHLO form.
 *
 * Nothing is trusted. Everything is read through a cursor that never passes its end; the first failure is recorded
 * with the offset of its byte, after which every cursor is at its end and every read gives zero, so that callers test
 * `failed` once and not after each number. A count is believed only when as many bytes are left (bc_count), so what a
 * file makes the reader allocate is linear in its size. Depth is bounded (BC_DEPTH), and so is how far shared
 * attributes spread (BC_SPREAD): a printer or importer of the module writes them out in full. */
#ifndef FORMATS_STABLEHLO_BYTECODE_H
#define FORMATS_STABLEHLO_BYTECODE_H

#include "formats/stablehlo/ir.h"
#include "formats/stablehlo/vhlo.h"

enum { BC_VERSION_MAX = 6, BC_DEPTH = 200, BC_SPREAD = 1024 };

struct bc_string {
    const char *s; /* in the file; NUL follows */
    size_t n;
};

/* The dialects whose attributes and types this reader decodes. Of others it keeps the text, where the file has text. */
enum bc_dialect_kind { BC_OTHER, BC_BUILTIN, BC_VHLO, BC_SDY, BC_DIALECT_COUNT };
struct bc_dialect {
    struct bc_string name;
    enum bc_dialect_kind kind;
};

struct bc_op_name {
    const struct bc_dialect *dialect;
    struct bc_string name;      /* without the dialect */
    bool registered;            /* its properties have the op's own layout; else they are one dictionary */
    const char *full;           /* "stablehlo.add"; NULL until used */
    const struct vhlo_op *vhlo; /* NULL: not of VHLO */
};

/* An attribute or type of the tables. */
struct bc_entry {
    const struct bc_dialect *dialect;
    const uint8_t *data;
    size_t n;
    bool custom;       /* in the dialect's own encoding, else text */
    bool busy;         /* being decoded: asked for again means that it holds itself */
    uint64_t spread;   /* entries it holds, each as often as it occurs */
    const void *value; /* hlo_attr or hlo_type; NULL until decoded */
};

struct bc_span {
    const uint8_t *p;
    size_t n;
};
struct bc_resource {
    struct bc_string key;
    struct bc_span blob;
};

/* X(NAME, number, first container version that must have it or -1, "what messages call it") */
#define BC_SECTION_LIST(X)                     \
    X(STRINGS, 0, 0, "strings")                \
    X(DIALECTS, 1, 0, "dialects")              \
    X(ATTRS, 2, 0, "attributes and types")     \
    X(ATTR_OFFSETS, 3, 0, "attribute offsets") \
    X(IR, 4, 0, "operations")                  \
    X(RESOURCES, 5, -1, "resources")           \
    X(RESOURCE_OFFSETS, 6, -1, "resource offsets") \
    X(DIALECT_VERSIONS, 7, -1, "dialect versions") \
    X(PROPERTIES, 8, 5, "properties")
enum bc_section {
#define X(name, number, required, text) BC_##name = number,
    BC_SECTION_LIST(X)
#undef X
        BC_SECTION_COUNT
};

struct bc {
    struct hlo_module *m;
    tsr_ctx *c;
    const uint8_t *bytes;
    size_t n;
    uint64_t version; /* of the container, 0 to BC_VERSION_MAX */
    struct bc_string producer;
    bool failed;
    struct bc_span section[BC_SECTION_COUNT]; /* p NULL: absent */
    VEC(struct bc_string) strings;
    VEC(struct bc_dialect) dialects;
    VEC(struct bc_op_name) op_names;
    VEC(struct bc_entry) attrs;
    VEC(struct bc_entry) types;
    VEC(struct bc_span) properties;
    VEC(struct bc_resource) resources;
    int depth;       /* of attributes and types being decoded, and of regions */
    uint64_t spread; /* entries held by what was asked for so far; while one is decoded: by it */
    /* scratch of the operation being read */
    VEC(struct hlo_value *) values; /* those in scope, by number */
    size_t scope;                   /* where the numbers of the innermost isolated region begin */
    vhlo_attrs named;
    VEC(const struct hlo_type *) result;
    VEC(struct hlo_value *) operand;
};

struct bc_cursor {
    struct bc *b;
    const uint8_t *p, *end;
};
struct bc_cursor bc_cursor(struct bc *b, struct bc_span s);
size_t bc_left(const struct bc_cursor *c);
struct hlo_loc bc_here(const struct bc_cursor *c);
/* Records "FILE: byte OFFSET: message" unless something failed before; gives false. */
bool bc_fail(struct bc_cursor *c, const char *fmt, ...) TSR_PRINTF(2, 3);
bool bc_stop(struct bc *b); /* what failed (an allocation, say) has its error recorded already; gives false */

uint8_t bc_byte(struct bc_cursor *c);
uint64_t bc_uint(struct bc_cursor *c);                    /* varint */
int64_t bc_int(struct bc_cursor *c);                      /* zigzag varint */
uint64_t bc_flagged(struct bc_cursor *c, bool *flag);     /* varint whose low bit is a flag */
size_t bc_count(struct bc_cursor *c, const char *what);   /* varint: of things of a byte or more each */
size_t bc_index(struct bc_cursor *c, size_t n, const char *what); /* varint below n; 0 where it fails */
struct bc_span bc_take(struct bc_cursor *c, uint64_t n);  /* the next n bytes */
struct bc_span bc_blob(struct bc_cursor *c);              /* length, bytes */
struct bc_span bc_aligned(struct bc_cursor *c);           /* alignment, length, padding, bytes */
struct bc_string bc_string(struct bc_cursor *c);          /* index into the strings; "" where it fails */
struct bc_span bc_section(struct bc_cursor *c, unsigned *id);

/* Attributes and types: by the index that follows. NULL: failed. */
const struct hlo_attr *bc_attr(struct bc_cursor *c);
const struct hlo_attr *bc_attr_optional(struct bc_cursor *c); /* NULL also where the file says that there is none */
const struct hlo_type *bc_type(struct bc_cursor *c);
const struct hlo_attr *bc_attr_at(struct bc_cursor *c, uint64_t index);
const struct hlo_type *bc_type_at(struct bc_cursor *c, uint64_t index);

const struct hlo_attr *bc_sdy_attr(struct bc_cursor *c); /* of the dialect sdy, from its code on */
bool bc_read_ir(struct bc *b); /* the operations into b->m */

#endif
