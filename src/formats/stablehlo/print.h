/* print.h: the inside of the printer: text of numbers and attributes, the names of values, the forms of operations.
 *
 * The printer writes what MLIR's own printer writes for the same program (stablehlo-opt), so that texts of both can be
 * compared line by line. It never fails on its own: out of memory sets str.failed, which the caller looks at once. */
#ifndef FORMATS_STABLEHLO_PRINT_H
#define FORMATS_STABLEHLO_PRINT_H

#include "formats/stablehlo/read.h"

/* Dense constants with more elements than this are written as the hex digits of their bytes. */
#define PRINT_HEX_ABOVE 100

/* ---- numbers: print_number.c ------------------------------------------------------------------------------------ */
/* A float from its bits: six digits where they say it exactly, else those that do, hex for NaN and infinity. */
void print_float(struct str *o, enum hlo_elem e, uint64_t bits);
void print_integer(struct str *o, enum hlo_elem e, uint64_t v); /* i1: true, false */
/* One element of a dense constant from its bytes, as MLIR keeps them. */
void print_element(struct str *o, enum hlo_elem e, const uint8_t *p);

/* ---- attributes: print_attr.c ----------------------------------------------------------------------------------- */
void print_string(struct str *o, const char *s, size_t n); /* quoted, escaped */
void print_symbol(struct str *o, const char *name);        /* @name, @"odd name" */
void print_key(struct str *o, const char *name);           /* a name of a dictionary */
void print_ints(struct str *o, const struct hlo_attr *a);  /* [1, 2] */
void print_scalar(struct str *o, const struct hlo_attr *a); /* a number without its type */
void print_fields(struct str *o, const struct hlo_attr *a); /* <...> of a structure */
void print_named(struct str *o, const struct hlo_named *f); /* name = value; a unit: name */
void print_conv(struct str *o, const struct hlo_attr *a);  /* [b, 0, f]x[0, i, o]->[b, 0, f] */

/* ---- names of values: print_name.c ------------------------------------------------------------------------------ */
/* %0 for results, %arg0 for arguments, or the name that an op's definition gives (%cst, %c for constants, %iterArg),
 * made unique with _N among the names visible. A region continues the numbers of the block around it. */
struct print_names {
    struct arena arena;
    struct map label; /* by value */
    struct map used;  /* words visible where numbering stands */
};
bool print_names_init(struct print_names *n, const struct hlo_module *m); /* false: no memory */
void print_names_release(struct print_names *n);
void print_value(struct str *o, const struct print_names *n, const struct hlo_value *v);
void print_results(struct str *o, const struct print_names *n, const struct hlo_op *op); /* "%0:2 = " */

/* ---- operations: print.c, print_pretty.c ------------------------------------------------------------------------ */
struct printer {
    struct str *o;
    struct print_names *names;
    bool generic;
    int indent;
    const struct hlo_op *parent; /* whose region is being printed: inside func.func, "func." is left out */
};
void print_newline(struct printer *p);
void print_operands(struct printer *p, const struct hlo_op *op, int from, int to);
void print_operand_types(struct printer *p, const struct hlo_op *op);
void print_result_types(struct printer *p, const struct hlo_op *op);
void print_functional(struct printer *p, const struct hlo_op *op); /* (T, U) -> V */
/* What follows the name in the generic form. */
void print_generic(struct printer *p, const struct hlo_op *op);
/* { ops }, with the entry block's arguments named in it where `arguments`. */
void print_region(struct printer *p, const struct hlo_region *r, bool arguments);
/* The attributes that `skip` does not claim, in order, between before and after; nothing when there are none. */
typedef bool print_skip(const char *name, const void *user);
void print_attrs(struct printer *p, const struct hlo_op *op, const char *before, const char *after, print_skip *skip,
    const void *user);
/* What follows the name in the op's custom form. False: it does not fit the form (the caller takes back the text). */
bool print_pretty(struct printer *p, const struct hlo_op *op);

#endif
