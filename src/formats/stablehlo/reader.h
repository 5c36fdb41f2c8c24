/* reader.h: the state of reading one section of text, and the parts of the reader. For the read_*.c files alone.
 *
 * Functions that read something return false (or NULL) with an error recorded; the cursor then stands anywhere.
 * What an operation gathers (operands, attributes, types) is pushed on stacks that all operations share: each
 * remembers where it began and pops its own, so nothing is allocated for a token or an operation but its own memory. */
#ifndef FORMATS_STABLEHLO_READER_H
#define FORMATS_STABLEHLO_READER_H

#include "base/vec.h"
#include "formats/stablehlo/lex.h"
#include "formats/stablehlo/pretty.h"
#include "formats/stablehlo/read.h"

enum { READ_SIZE = 1 << 20 }; /* attributes and types that aliases may stand for, beyond the length of the text */
enum { READ_DEPTH = 256 }; /* levels of nesting: regions, types, attributes together */

/* A name of an operation or attribute, once for each module. */
struct read_name {
    uint32_t hash, n;
    enum hlo_opcode code;
    const char *text; /* NUL after it */
};
/* What a %name means: `count` values from value on. Entries are pushed and popped with the regions they stand in. */
struct read_ssa {
    const char *name; /* in the text, without '%' */
    uint32_t n, hash; /* hash and head are the table's own */
    uint64_t head;    /* the first eight bytes */
    struct hlo_value *value;
    int count;
    struct hlo_loc at;
};
struct read_alias {
    const char *name; /* with its '#' or '!' */
    size_t n;
    const struct hlo_attr *attr;
    const struct hlo_type *type;
    size_t size; /* attributes and types in it, written out */
};
enum { TYPE_CACHE = 256 };

struct reader {
    struct lex x;
    tsr_ctx *c;
    struct hlo_module *m;
    const char *begin; /* of the section */
    uint32_t first_line;
    int depth;
    size_t size; /* attributes and types read so far, aliases written out: bounded, so that few bytes stay few */
    bool in_module; /* the region being read is a module's */

    struct { struct read_name **slot; size_t slots, n; } names;
    struct { struct read_ssa *v; size_t n, cap; uint32_t *slot; size_t slots, base; } ssa;
    VEC(struct read_alias) aliases;
    const struct hlo_item *format[HLO_FORM_MODULE + 1]; /* formats cut into items, those that were needed */
    struct { const char *text; uint32_t n; const struct hlo_type *type; } type_cache[TYPE_CACHE];

    VEC(struct read_ssa) pending; /* names of results and arguments that are not there yet */
    VEC(struct hlo_value *) operand;
    VEC(struct hlo_named) named;
    VEC(const struct hlo_type *) type;
    VEC(const struct hlo_attr *) attr;
    VEC(struct hlo_region) region;
    VEC(int64_t) integer;
    VEC(double) real;
};

bool read_deeper(struct reader *r); /* one level of nesting more; false: too deep. r->depth-- afterwards */

/* names */
const struct read_name *read_name(struct reader *r, const char *s, size_t n);
bool read_is_name(struct reader *r, const char *s, size_t n); /* names end at a NUL byte, so none is inside */

/* %names (read_ssa.c) */
bool read_ssa_define(struct reader *r, const struct read_ssa *s); /* hash and head aside */
bool read_ssa_use(struct reader *r, struct hlo_value **out);         /* %x or %x#1 at the cursor; %x is %x#0 */
bool read_ssa_name(struct reader *r, struct read_ssa *out);          /* %x at the cursor: name, n, at; count 1 */
bool read_operands(struct reader *r); /* "%a, %b", maybe none, pushed on r->operand */
struct ssa_scope { size_t n, base; };
struct ssa_scope read_scope_open(struct reader *r, bool isolated);
void read_scope_close(struct reader *r, struct ssa_scope s);

/* types (read_type.c) */
const struct hlo_type *read_type(struct reader *r);
bool read_types(struct reader *r); /* "T, U", at least one, pushed on r->type */
bool read_type_group(struct reader *r); /* "(T, U)", maybe none, pushed on r->type */

/* attributes (read_attr.c, read_struct.c, read_elements.c) */
const struct hlo_attr *read_attr(struct reader *r);
bool read_attr_dict(struct reader *r); /* "{a = 1, b}" pushed on r->named; the cursor at '{' */
const char *read_attr_name(struct reader *r);
const struct hlo_attr *read_dialect_attr(struct reader *r);                         /* at '#' */
const struct hlo_attr *read_struct_body(struct reader *r, const char *name);        /* at '<' */
const struct hlo_attr *read_enum_value(struct reader *r, const char *name);         /* at its keyword */
const struct hlo_attr *read_conv_dims(struct reader *r);                            /* at "[b, 0, 1, f]x..." */
const struct hlo_attr *read_int_list(struct reader *r, enum hlo_elem e);            /* "[1, ?, -3]" */
const struct hlo_attr *read_elements(struct reader *r);                             /* after "dense" */
const struct hlo_attr *read_resource(struct reader *r);                             /* after "dense_resource" */
const struct hlo_attr *read_symbol(struct reader *r);                               /* at '@' */
bool read_symbol_text(struct reader *r, const char **s, size_t *n);
bool read_location(struct reader *r);                                               /* optional loc(...), dropped */
const struct read_alias *read_alias(struct reader *r);                              /* at "#name" or "!name" */
bool read_alias_definition(struct reader *r);

/* An operation while it is read: what it has pushed lies above the marks. */
struct read_op {
    const struct read_name *name;
    struct hlo_loc loc;
    size_t pending, operand, named, type, region; /* marks; what is on r->type above its mark are its results' types */
};
bool read_op(struct reader *r, struct hlo_block *block);
/* The region at '{', pushed on r->region. Its entry block has narg arguments of these types, named by arg; narg -1:
 * a label may say what it has. Functions and modules see no names from outside. */
enum read_scope { SCOPE_NESTED, SCOPE_FUNC, SCOPE_MODULE };
bool read_region(struct reader *r, int narg, const struct read_ssa *arg, const struct hlo_type *const *type,
    enum read_scope scope);
bool read_generic_tail(struct reader *r, struct read_op *o); /* from '(' on */
bool read_pretty(struct reader *r, struct read_op *o);
bool read_module(struct reader *r, struct read_op *o);
bool read_func(struct reader *r, struct read_op *o);
bool read_reduce(struct reader *r, struct read_op *o);
bool read_while(struct reader *r, struct read_op *o);
bool read_scan(struct reader *r, struct read_op *o);
bool read_constant(struct reader *r, struct read_op *o);
/* Pushes attribute `name` for the operation; value NULL: false. read_put: the name is read_name's, read_set: any. */
bool read_put(struct reader *r, const char *name, const struct hlo_attr *value);
bool read_set(struct reader *r, const char *name, const struct hlo_attr *value);
/* The types on r->type above `mark` (n of them) are said to be those of the operands above the operation's mark. */
bool read_check_operands(struct reader *r, const struct read_op *o, size_t mark, size_t n);
bool read_opt_dict(struct reader *r);       /* the dictionary, if one begins here */
bool read_dict_with_word(struct reader *r); /* "attributes {...}", if it begins here */
bool read_functional(struct reader *r, struct read_op *o); /* (T, U) -> V: operands checked, results pushed */

#endif
