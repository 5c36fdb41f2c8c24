/* ir.h: a StableHLO program as it is written: modules of operations, before any of it becomes a graph.
 *
 * The text reader and the bytecode reader build this form, the printer prints it, the importer turns it into fns and
 * the exporter makes it from fns. It is MLIR's own shape (operations with operands, attributes and regions of blocks),
 * cut down to what programs in the func, stablehlo, chlo, check and interpreter dialects need.
 *
 * Canonical form, which both readers must give, so that nobody after them asks where a module came from:
 *   - operations and attributes carry the names of StableHLO's specification ("stablehlo.add", "dimensions"), whatever
 *     the pretty form or the VHLO version called them; properties and discardable attributes are one list, sorted by
 *     name; an attribute that equals its default (attrs.def) is left out;
 *   - lists of integers are HLO_A_INTS (i1, i8, i32 or i64 elements), also where old versions wrote dense<...>; the
 *     two-dimensional ones (padding, replica_groups, source_target_pairs) stay HLO_A_ELEMENTS;
 *   - enums (#stablehlo<comparison_direction EQ>) are HLO_A_ENUM; structures (#stablehlo.gather<...>) are
 *     HLO_A_STRUCT with named fields, omitted where they are empty lists;
 *   - a called or composed symbol is HLO_A_SYMBOL; func.return and stablehlo.return keep their names.
 *
 * Everything of a module lives in its arena and goes with it. Types are interned within a module: equal types are one
 * pointer. Source bytes (text, or a mapped bytecode file) must outlive the module: constants point into them.
 * Source: MLIR language reference (mlir.llvm.org/docs/LangRef),
 * StableHLO specification (openxla.org/stablehlo/spec). */
#ifndef FORMATS_STABLEHLO_IR_H
#define FORMATS_STABLEHLO_IR_H

#include "base/map.h"
#include "base/vec.h"
#include "tessera/dtype.h"

/* Element types: X(NAME, "text", bits, dtype that holds its values exactly). The last column is the carrier of a type
 * that has no dtype of its own: such values are kept in the carrier and rounded to the type's grid after each
 * operation. Complex types print as complex<...>. */
/* clang-format off */
#define HLO_ELEM_LIST(X)                                                                             \
    X(I1,   "i1",   1,  BOOL) X(I2,  "i2",  2,  I8)  X(I4,  "i4",  4,  I4)  X(I8,  "i8",  8,  I8)     \
    X(I16,  "i16",  16, I16)  X(I32, "i32", 32, I32) X(I64, "i64", 64, I64)                          \
    X(UI2,  "ui2",  2,  U8)   X(UI4, "ui4", 4,  U4)  X(UI8, "ui8", 8,  U8)                           \
    X(UI16, "ui16", 16, U16)  X(UI32, "ui32", 32, U32) X(UI64, "ui64", 64, U64)                      \
    X(F4E2M1FN, "f4E2M1FN", 4, F32) X(F6E2M3FN, "f6E2M3FN", 6, F32) X(F6E3M2FN, "f6E3M2FN", 6, F32)   \
    X(F8E3M4, "f8E3M4", 8, F32) X(F8E4M3, "f8E4M3", 8, F32) X(F8E4M3FN, "f8E4M3FN", 8, F8E4M3)       \
    X(F8E4M3FNUZ, "f8E4M3FNUZ", 8, F32) X(F8E4M3B11FNUZ, "f8E4M3B11FNUZ", 8, F32)                    \
    X(F8E5M2, "f8E5M2", 8, F8E5M2) X(F8E5M2FNUZ, "f8E5M2FNUZ", 8, F32)                               \
    X(F8E8M0FNU, "f8E8M0FNU", 8, F32)                                                                \
    X(BF16, "bf16", 16, BF16) X(F16, "f16", 16, F16) X(TF32, "tf32", 32, F32)                        \
    X(F32,  "f32",  32, F32)  X(F64, "f64", 64, F64)                                                 \
    X(C64,  "complex<f32>", 64, C64) X(C128, "complex<f64>", 128, C128)                              \
    X(INDEX, "index", 64, I64) X(NONE, "none", 0, BOOL)
/* clang-format on */
enum hlo_elem {
#define X(name, text, bits, dtype) HLO_##name,
    HLO_ELEM_LIST(X)
#undef X
        HLO_ELEM_COUNT
};
struct hlo_elem_info {
    const char *text;
    int bits;
    tsr_dtype dtype; /* own or carrier */
    bool exact;      /* dtype is the type itself, not a carrier */
};
const struct hlo_elem_info *hlo_elem_of(enum hlo_elem e);

/* ---- positions -------------------------------------------------------------------------------------------------- */
struct hlo_loc {
    uint32_t line, col; /* from 1; bytecode: line 0, col is the byte's offset */
};

/* ---- types ------------------------------------------------------------------------------------------------------ */
#define HLO_DYNAMIC INT64_MIN /* an extent written '?' */

/* !quant.uniform<...>: real = scale * (stored - zero_point). axis -1: per tensor (n 1); else per axis; sub-channel
 * types have nblock > 0: axis[i], block[i], and scales in row-major order of the blocks. */
struct hlo_quant { /* hlo_type.elem is the storage type too */
    enum hlo_elem storage, expressed;
    int64_t storage_min, storage_max;
    int axis, n, nblock;
    const int64_t *block_axis, *block;
    const double *scale;
    const int64_t *zero_point;
};

enum hlo_type_kind {
    HLO_T_TENSOR,   /* elem (and quant), rank, dim, encoding */
    HLO_T_UNRANKED, /* tensor<*xf32> */
    HLO_T_BUFFER,   /* memref<...>: as a tensor */
    HLO_T_SCALAR,   /* i64, f32, index, none: the types of attributes */
    HLO_T_TUPLE,    /* item[n] */
    HLO_T_TOKEN,
    HLO_T_FUTURE,   /* item[n] */
    HLO_T_FUNCTION, /* item[n]: nin inputs, then results */
    HLO_T_OPAQUE,   /* text: a type of a dialect we do not know */
};
struct hlo_type {
    enum hlo_type_kind kind;
    enum hlo_elem elem;
    const struct hlo_quant *quant;
    int rank;
    const int64_t *dim;
    const struct hlo_attr *encoding; /* NULL, or e.g. #stablehlo.bounds<4, ?> (HLO_A_STRUCT "stablehlo.bounds") */
    int n, nin;
    const struct hlo_type *const *item;
    const char *text;
    uint64_t hash;
};

/* ---- attributes ------------------------------------------------------------------------------------------------- */
enum hlo_attr_kind {
    HLO_A_UNIT,
    HLO_A_BOOL,     /* i */
    HLO_A_INT,      /* i, type (the bits of an unsigned 64-bit one) */
    HLO_A_FLOAT,    /* f, type */
    HLO_A_STRING,   /* s, ns: unescaped; may hold any byte; NUL follows */
    HLO_A_TYPE,     /* type */
    HLO_A_SYMBOL,   /* s: name without the '@'; nested references join with "::" */
    HLO_A_LIST,     /* item[n] */
    HLO_A_DICT,     /* field[n], sorted by name */
    HLO_A_INTS,     /* array<i64: ...>: ints[n], type is the element's */
    HLO_A_FLOATS,   /* array<f32: ...>: floats[n], type is the element's */
    HLO_A_ELEMENTS, /* dense<...> : type; see below */
    HLO_A_ENUM,     /* #dialect<mnemonic VALUE>: name "stablehlo.comparison_direction", s "EQ" */
    HLO_A_STRUCT,   /* #dialect.mnemonic<...>: name "stablehlo.gather", field[n] in the order of the specification;
                     * positional fields have the name "" */
    HLO_A_OPAQUE,   /* s: text of an attribute of a dialect we do not know, kept as it stands */
};
/* How the elements of a dense constant are stored. Bytes are little endian, row-major, as MLIR keeps them: one element
 * takes max(1, bits / 8) bytes (4-bit and smaller: one byte each; i1: one byte, except where `packed` says bits). */
enum hlo_store {
    HLO_STORE_BYTES, /* data, ndata */
    HLO_STORE_HEX,   /* data, ndata: hex digits of the source text, not yet decoded (length checked by the reader) */
    HLO_STORE_LIST,  /* data, ndata: the nested list of the source text, already checked to parse and to fit type */
};
struct hlo_named {
    const char *name;
    const struct hlo_attr *value;
};
struct hlo_attr {
    enum hlo_attr_kind kind;
    enum hlo_store store;
    bool splat, packed;
    int n;
    const struct hlo_type *type;
    const char *name;
    int64_t i;
    double f;
    const char *s;
    size_t ns;
    const struct hlo_attr *const *item;
    const struct hlo_named *field;
    const int64_t *ints;
    const double *floats;
    const void *data;
    size_t ndata;
};

/* ---- operations ------------------------------------------------------------------------------------------------- */
/* HLO_OP_ADD for "stablehlo.add", HLO_OP_CHLO_ERF for "chlo.erf", HLO_OP_FUNC for "func.func": the list is ops.def. */
enum hlo_opcode {
#define HLO_OP(code, name, form) HLO_OP_##code,
#include "formats/stablehlo/ops.def"
#undef HLO_OP
    HLO_OP_UNKNOWN, /* an op of another dialect: kept, printed in the generic form, an error to import */
    HLO_OPCODE_COUNT
};

struct hlo_value {
    const struct hlo_type *type;
    struct hlo_op *op;       /* that has it as a result; NULL: an argument of block */
    struct hlo_block *block; /* whose argument it is, else NULL */
    int index;               /* which result or argument */
    int id;                  /* number within the enclosing func.func, from 0, dense: index of side tables */
    const char *label;       /* what the text called it, without '%'; NULL: unnamed */
};
struct hlo_op {
    const char *name;
    enum hlo_opcode code;
    struct hlo_loc loc;
    int nresult, noperand, nattr, nregion;
    int nvalue;               /* func.func: values inside, the bound of their ids */
    struct hlo_value *result; /* (nresult), one block of memory */
    struct hlo_value **operand;
    const struct hlo_named *attr; /* (nattr), sorted by name */
    struct hlo_region *region;    /* (nregion) */
    struct hlo_block *parent;
    struct hlo_op *next; /* in its block */
};
struct hlo_block {
    int narg;
    struct hlo_value *arg;
    struct hlo_op *first, *last;
    struct hlo_region *parent;
};
struct hlo_region {
    int nblock;
    struct hlo_block *block;
    struct hlo_op *parent;
};

/* ---- modules ---------------------------------------------------------------------------------------------------- */
struct hlo_module {
    tsr_ctx *c;
    struct arena arena;
    struct map types;      /* interned */
    struct map symbols;    /* func.func by sym_name */
    const char *file;      /* for messages */
    struct hlo_op *op;     /* builtin.module: one region of one block; its attributes */
    int64_t version[3];    /* bytecode: the VHLO version, else 0 */
    struct hlo_module *next; /* of the same file, after "// -----" */
};
struct hlo_module *hlo_module_new(tsr_ctx *c, const char *file); /* an empty module; NULL: ENOMEM */
void hlo_module_free(struct hlo_module *m);                      /* and those after it; NULL is accepted */
struct hlo_op *hlo_find_func(const struct hlo_module *m, const char *name); /* NULL: none */

/* Types, interned. NULL: ENOMEM recorded. Arrays are copied. */
const struct hlo_type *hlo_type_intern(struct hlo_module *m, const struct hlo_type *proto);
const struct hlo_type *hlo_type_scalar(struct hlo_module *m, enum hlo_elem e);
const struct hlo_type *hlo_type_tensor(struct hlo_module *m, enum hlo_elem e, int rank, const int64_t *dim);
const struct hlo_type *hlo_type_function(struct hlo_module *m, int nin, const struct hlo_type *const *in, int nout,
    const struct hlo_type *const *out);
bool hlo_type_static(const struct hlo_type *t);                      /* a tensor without '?' */
int64_t hlo_type_count(const struct hlo_type *t); /* elements of a static tensor; -1: overflow, '?' */
void hlo_type_text(struct str *out, const struct hlo_type *t);       /* "tensor<4x?xf32>" */
void hlo_attr_text(struct str *out, const struct hlo_attr *a);       /* as the printer writes it; print_attr.c */

/* Attributes, in the module's arena; arrays are copied unless said. */
const struct hlo_attr *hlo_attr_unit(struct hlo_module *m);
const struct hlo_attr *hlo_attr_bool(struct hlo_module *m, bool v);
const struct hlo_attr *hlo_attr_int(struct hlo_module *m, enum hlo_elem type, int64_t v);
const struct hlo_attr *hlo_attr_float(struct hlo_module *m, enum hlo_elem type, double v);
const struct hlo_attr *hlo_attr_string(struct hlo_module *m, const char *s, size_t n);
const struct hlo_attr *hlo_attr_symbol(struct hlo_module *m, const char *name);
const struct hlo_attr *hlo_attr_type(struct hlo_module *m, const struct hlo_type *t);
const struct hlo_attr *hlo_attr_list(struct hlo_module *m, int n, const struct hlo_attr *const *item);
const struct hlo_attr *hlo_attr_dict(struct hlo_module *m, int n, const struct hlo_named *field); /* sorts */
const struct hlo_attr *hlo_attr_ints(struct hlo_module *m, enum hlo_elem type, int n, const int64_t *v);
const struct hlo_attr *hlo_attr_enum(struct hlo_module *m, const char *name, const char *value);
const struct hlo_attr *hlo_attr_struct(struct hlo_module *m, const char *name, int n, const struct hlo_named *field);
/* data is not copied: it must live as long as the module (hlo_arena). */
const struct hlo_attr *hlo_attr_elements(struct hlo_module *m, const struct hlo_type *t, bool splat, const void *data,
    size_t ndata);
/* How the data is stored is said (see hlo_store); data is not copied. */
const struct hlo_attr *hlo_attr_elements_stored(struct hlo_module *m, const struct hlo_type *t, enum hlo_store store,
    bool splat, bool packed, const void *data, size_t ndata);
const struct hlo_attr *hlo_attr_floats(struct hlo_module *m, enum hlo_elem type, int n, const double *v);
const struct hlo_attr *hlo_attr_opaque(struct hlo_module *m, const char *s, size_t n);
/* Both may be of two modules (a text and its bytecode twin). Elements are compared by value, however stored. */
bool hlo_attr_equal(const struct hlo_attr *a, const struct hlo_attr *b);
bool hlo_elements_equal(const struct hlo_attr *a, const struct hlo_attr *b);
bool hlo_type_equal(const struct hlo_type *a, const struct hlo_type *b);
void hlo_named_sort(struct hlo_named *v, int n); /* by name */

/* Elements of a dense constant (splats spread), as tsr_const takes them for the dtype of the element type (carrier
 * where it has none of its own: exact values of the type; 4-bit packed two to a byte, low nibble first). dst has as
 * many bytes as tsr_dtype_bytes gives. False: an error was recorded (no memory). */
bool hlo_elements_read(tsr_ctx *c, const struct hlo_attr *a, void *dst, size_t bytes);
/* The bytes of a dense constant as MLIR keeps them (HLO_STORE_BYTES, never packed, a splat: one element), however
 * stored. dst holds them all. */
void hlo_elements_bytes(const struct hlo_attr *a, void *dst);
/* The same as int64 (integer and bool elements only), n checked by the caller with hlo_type_count. */
bool hlo_elements_ints(tsr_ctx *c, const struct hlo_attr *a, int64_t *dst);

/* Whether two modules say the same: operations, attributes, types, the flow of values, whatever labels and positions
 * are. *why (may be NULL) tells the first difference with its positions; ir_equal.c. */
bool hlo_module_equal(const struct hlo_module *a, const struct hlo_module *b, struct str *why);

/* Operations. hlo_op_new takes its code from the name; results get their ids when the op is put into a function by
 * hlo_number. Arrays are copied; attributes are sorted. NULL: ENOMEM. */
struct hlo_op *hlo_op_new(struct hlo_module *m, const char *name, struct hlo_loc loc, int noperand,
    struct hlo_value *const *operand, int nattr, const struct hlo_named *attr, int nresult,
    const struct hlo_type *const *result, int nregion);
/* The same, empty: counts set, results and regions pointing back, everything else for the caller to fill. */
struct hlo_op *hlo_op_alloc(struct hlo_module *m, int noperand, int nattr, int nresult, int nregion);
bool hlo_op_set_attrs(struct hlo_module *m, struct hlo_op *op, int n,
    const struct hlo_named *attr); /* instead of its */
/* Enters a function in m->symbols; false: it has no name, or another has it (error recorded). */
bool hlo_module_add_func(struct hlo_module *m, struct hlo_op *func);
void hlo_block_append(struct hlo_block *b, struct hlo_op *op);
bool hlo_block_args(struct hlo_module *m, struct hlo_block *b, int n, const struct hlo_type *const *type);
bool hlo_region_blocks(struct hlo_module *m, struct hlo_region *r, int n);
/* Adds a func.func (attributes sym_name, function_type and what is given) with one empty block with its arguments. */
struct hlo_op *hlo_func_new(struct hlo_module *m, const char *name, struct hlo_loc loc, const struct hlo_type *type,
    int nattr, const struct hlo_named *attr);
void hlo_number(struct hlo_op *func); /* gives ids to all values inside, in order of text */

/* ---- reading an op's attributes: NULL or the fallback where it has none ----------------------------------------- */
const struct hlo_attr *hlo_get(const struct hlo_op *op, const char *name);
const struct hlo_attr *hlo_field(const struct hlo_attr *a, const char *name); /* of a dict or structure */
int64_t hlo_get_int(const struct hlo_op *op, const char *name, int64_t fallback);   /* INT and BOOL */
const char *hlo_get_text(const struct hlo_op *op, const char *name);                /* STRING, SYMBOL, ENUM */
const int64_t *hlo_get_ints(const struct hlo_op *op, const char *name, int *n);     /* INTS; n 0 where absent */
const int64_t *hlo_attr_ints_of(const struct hlo_attr *a, int *n);                  /* a NULL: n 0 */

/* ---- the ops table ---------------------------------------------------------------------------------------------- */
/* How an op is written when it is not written in the generic form; the forms are described in pretty.h. */
enum hlo_form {
#define HLO_FORM(name, format) HLO_FORM_##name,
#include "formats/stablehlo/pretty.def"
#undef HLO_FORM
};
struct hlo_op_info {
    const char *name;
    enum hlo_form form;
};
const struct hlo_op_info *hlo_op_of(enum hlo_opcode code);
enum hlo_opcode hlo_opcode_find(const char *name, size_t n); /* HLO_OP_UNKNOWN: none */

/* Puts the operation into the canonical form told above, by its table of attributes (attrs.def): old spellings made
 * new, defaults left out, what must be there looked for; and holds its numbers of operands, results, regions and
 * arguments against arity.def, so that an importer may index them. Both readers call it once for each operation, when
 * all of it (its regions too) is there. False: an error at the operation's position, or no memory. */
bool hlo_normalise(struct hlo_module *m, struct hlo_op *op);

/* Errors at a position: "file:line:col: message" recorded as TSR_EINVAL in the module's context; gives false. */
bool hlo_fail(const struct hlo_module *m, struct hlo_loc at, const char *fmt, ...) TSR_PRINTF(3, 4);

#endif
