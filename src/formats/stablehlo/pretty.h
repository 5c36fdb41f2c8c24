/* pretty.h: the custom assembly of operations, described once for the reader and the printer.
 *
 * Most operations are written to a format of pretty.def: text with directives. Text stands for itself (the printer
 * writes it verbatim, spaces and all; to the reader spaces mean nothing); what begins with '$' is a directive:
 *
 *   $0 .. $9         that operand
 *   $*               the operands not named before, "%a, %b", maybe none
 *   $*,              the same, each followed by ", " ("%a, %b, ")
 *   $i32.N $i64.N $ui32.N $ui64.N    attribute N: an integer of that type, written without its type
 *   $f64.N           attribute N: a float of that type, written without its type (9.000000e-01)
 *   $bool.N          attribute N: true or false
 *   $ints.N          attribute N: an array of i64, [1, 2]
 *   $enum.N          attribute N: an enum, its bare keyword (the dialect's mnemonic is in attrs.def)
 *   $string.N        attribute N: "..." escaped
 *   $symbol.N        attribute N: a symbol, @name (@"a b" where it is no identifier)
 *   $target.N        attribute N: a string written as a symbol, @name
 *   $elements.N      attribute N: dense<...> : type
 *   $( ... $)        printed if the first attribute named inside is there, or, where none is named, if the operation
 *                    has operands; read if its first text (or operand) comes next
 *   $attrs           " {name = value, ...}" of the attributes the format does not name (nor does one of the
 *                    directives below write), nothing if there are none
 *   $same            one type if all operands and the result have it (or there are no operands), else $functional
 *   $functional      (T, U) -> V;  () -> V;  (T) -> (V, W);  (T) -> ()
 *   $operands        the operands' types, T, U;   $results: the results' types, T, U
 *   $type            the one type that all operands and results have
 *   $select          P, T if operands 1 and 2 and the result have type T, else $functional
 *   $complex         the result's type if both operands have the type of its parts, else $functional
 *   $tuple           the result's type, whose items are the operands' types
 *   $pairwise        " %a, %b : T, U" with results of the operands' types; with no operands "()"
 *   $slice           [start:limit, start:limit:stride] from start_indices, limit_indices, strides (stride 1 is left
 *                    out)
 *   $dot             dot_dimension_numbers: "batching_dims = [0] x [0], contracting_dims = [2] x [1]", the batching
 *                    part left out where both lists are empty
 *   $precision       ", precision = [DEFAULT, HIGHEST]" of precision_config, then ", algorithm = <...>" of algorithm,
 *                    each only where it is there
 *   $conv            dimension_numbers: [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]
 *   $window          "stride = [1, 1], pad = [[0, 0], [1, 1]], lhs_dilate = [1, 1], rhs_dilate = [1, 1],
 *                    reverse = [false, false]" of window_strides, padding, lhs_dilation, rhs_dilation,
 *                    window_reversal, those that are there (booleans may be read as 0 and 1)
 *   $format          e5m2 of exponent_bits and mantissa_bits
 *
 * The types at the end also say what types the operands have; the reader checks them against their definitions.
 * An operation that does not fit its form (an operand too many, regions where the form has none, a result accuracy
 * that is no enum, ...) is written in the generic form: HLO_OP_FITS of print.c. The generic form is always read:
 *
 *   %r:2 = "dialect.op"(%a, %b) <{properties}> ({ regions }, { ... }) {attributes} : (T, U) -> (V, W)
 *
 * Forms with a syntax of their own ([x] is optional; "attributes" is the word itself):
 *   CONSTANT   stablehlo.constant [{attrs}] dense<...> : T     the attribute's type is the result's; where it is not,
 *              stablehlo.constant() <{value = dense<...> : T}> [{attrs}] : () -> V
 *   REDUCE     stablehlo.reduce(%x init: %a), (%y init: %b) applies stablehlo.add across dimensions = [0] [{attrs}]
 *              : (X, Y, A, B) -> (V, W)
 *              where the body is one commutative operation of two operands (add, multiply, and, or, xor, minimum,
 *              maximum) of the two block arguments in order, 0-rank of the first input's element type, and returns
 *              it; else in place of "applies ... ":
 *              stablehlo.reduce(%x init: %a), (%y init: %b) across dimensions = [0, 1] [{attrs}] : functional
 *               reducer(%p: T, %q: T) (%r: U, %s: U)  { body without argument list }
 *              pair i names block arguments i and i + inputs.
 *   WHILE      stablehlo.while(%arg = %init, ...) [: T, U] [attributes {...}]
 *              cond { ... } do { ... }
 *              the names are those of the arguments of both regions; the types are those of operands and results.
 *   SCAN       chlo.scan(%in, ...) inits (%init, ...) dimension=0 [attributes {...}] { ^bb0(%a: T, ...): body }
 *              : (T, U) -> (V, W)
 *              operandSegmentSizes = [inputs, inits] and resultSegmentSizes = [results - inits, inits] as array<i32>
 *   FUNC       func.func [private|public|nested] @name(%a: T {attrs}, %b: U) [-> T | -> (T {attrs}, U)]
 *              [attributes {...}] { body }      without body: a declaration, (T, U {attrs}) without names.
 *              Attributes: sym_name (STRING), function_type (TYPE), sym_visibility (STRING), arg_attrs and res_attrs
 *              (LIST of DICT, there only if one is not empty), then those of the dictionary.
 *   MODULE     module [@name] [attributes {...}] { body };  name is sym_name
 *
 * Inside func.func and module, func.call, func.return and func.func are also read without "func.", and builtin.module
 * as module. The printer writes: module, func.func, return, and "call" as func.call.
 * A location, loc(...), may follow any operation, block argument or function argument; it is read and dropped.
 * Source of the facts: the operation definitions of openxla/stablehlo (StablehloOps.td, ChloOps.td, CheckOps.td,
 * InterpreterOps.td) and MLIR's language reference. */
#ifndef FORMATS_STABLEHLO_PRETTY_H
#define FORMATS_STABLEHLO_PRETTY_H

#include "formats/stablehlo/ir.h"

const char *hlo_form_format(enum hlo_form form); /* "": generic, or a syntax of its own */

/* One item of a format. Directives with an attribute have it in text; HLO_F_TEXT has the verbatim text. */
/* clang-format off */
#define HLO_DIRECTIVE_LIST(X)                                                                                     \
    X(I32, "i32") X(I64, "i64") X(UI32, "ui32") X(UI64, "ui64") X(F64, "f64") X(BOOL, "bool") X(INTS, "ints")     \
    X(ENUM, "enum") X(STRING, "string") X(SYMBOL, "symbol") X(TARGET, "target") X(ELEMENTS, "elements")           \
    X(ATTRS, "attrs") X(SAME, "same") X(FUNCTIONAL, "functional") X(OPERANDS, "operands") X(RESULTS, "results")   \
    X(TYPE, "type") X(SELECT, "select") X(COMPLEX, "complex") X(TUPLE, "tuple") X(PAIRWISE, "pairwise")           \
    X(SLICE, "slice") X(DOT, "dot") X(PRECISION, "precision") X(CONV, "conv") X(WINDOW, "window")                 \
    X(FORMAT, "format")
/* clang-format on */
enum hlo_directive {
    HLO_F_END,
    HLO_F_TEXT,
    HLO_F_OPERAND,    /* $0: operand */
    HLO_F_REST,       /* $* */
    HLO_F_REST_COMMA, /* $*, */
    HLO_F_OPEN,       /* $( */
    HLO_F_CLOSE,      /* $) */
#define X(NAME, word) HLO_F_##NAME,
    HLO_DIRECTIVE_LIST(X)
#undef X
};
struct hlo_item {
    enum hlo_directive kind;
    const char *text; /* TEXT: n bytes; a directive with an attribute: its name, n bytes */
    size_t n;
    int operand;
};
/* The item at *at of a format; *at moves past it. */
struct hlo_item hlo_format_next(const char **at);
/* Whether the format of `form` writes attribute `name` (so that $attrs leaves it out), by name or by directive. */
bool hlo_form_writes(enum hlo_form form, const char *name);

#endif
