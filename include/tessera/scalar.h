/* scalar.h: the elementwise functions, one list for the graph, the tile programs, the VM and every renderer.
 *
 * X(NAME, "name", arity, result, domain, formula)
 *   result  SAME: the operands' dtype; BOOL; REAL: the real dtype of a complex operand; CPLX: the complex dtype
 *           of a real one
 *   domain  which operand kinds it admits: letters of f float, i int, u uint, b bool, c complex
 * Semantics and corner cases are those of the StableHLO specification where it has the function:
 *   integer arithmetic wraps; integer x/0 = -1 (all bits set), x rem 0 = x, INT_MIN / -1 = INT_MIN, INT_MIN rem -1
 *   = 0; shifts by >= the width give 0 (sign bits for shr of a negative value); max/min give NaN when either
 *   operand is NaN and order -0 < +0; rem has the sign of the dividend (fmod); round is half away from zero,
 *   round_even half to even; sign(NaN) = NaN, sign(-0) = -0; bool add is or, bool mul is and; integer pow by a
 *   negative exponent truncates towards 0 (1, -1 keep their powers); pow follows IEEE 754 pow. Complex max/min
 *   compare lexicographically (re, then im).
 * f16, bf16 and f8 compute in f32 and round once per function. */
#ifndef TESSERA_SCALAR_H
#define TESSERA_SCALAR_H

/* clang-format off */
#define TSR_SCALAR_LIST(X)                                                                   \
    X(NEG,      "neg",      1, SAME, "fiuc",  "-x")                                          \
    X(ABS,      "abs",      1, REAL, "fic",   "|x|")                                         \
    X(SIGN,     "sign",     1, SAME, "fic",   "x / |x|, 0 at 0")                             \
    X(CEIL,     "ceil",     1, SAME, "f",     "least integer >= x")                          \
    X(FLOOR,    "floor",    1, SAME, "f",     "greatest integer <= x")                       \
    X(ROUND,    "round",    1, SAME, "f",     "nearest integer, halves away from zero")      \
    X(ROUND_EVEN,"round_even",1,SAME,"f",     "nearest integer, halves to even")             \
    X(NOT,      "not",      1, SAME, "iub",   "bitwise or logical complement")               \
    X(POPCNT,   "popcnt",   1, SAME, "iu",    "number of one bits")                          \
    X(CLZ,      "clz",      1, SAME, "iu",    "number of leading zero bits")                 \
    X(EXP,      "exp",      1, SAME, "fc",    "e^x")                                         \
    X(EXP2,     "exp2",     1, SAME, "f",     "2^x")                                         \
    X(EXPM1,    "expm1",    1, SAME, "fc",    "e^x - 1")                                     \
    X(LOG,      "log",      1, SAME, "fc",    "ln x")                                        \
    X(LOG2,     "log2",     1, SAME, "f",     "log2 x")                                      \
    X(LOG1P,    "log1p",    1, SAME, "fc",    "ln(1 + x)")                                   \
    X(SQRT,     "sqrt",     1, SAME, "fc",    "x^(1/2)")                                     \
    X(RSQRT,    "rsqrt",    1, SAME, "fc",    "x^(-1/2)")                                    \
    X(CBRT,     "cbrt",     1, SAME, "f",     "x^(1/3)")                                     \
    X(SIN,      "sin",      1, SAME, "fc",    "sin x")                                       \
    X(COS,      "cos",      1, SAME, "fc",    "cos x")                                       \
    X(TAN,      "tan",      1, SAME, "fc",    "tan x")                                       \
    X(ASIN,     "asin",     1, SAME, "fc",    "arcsin x")                                    \
    X(ACOS,     "acos",     1, SAME, "fc",    "arccos x")                                    \
    X(ATAN,     "atan",     1, SAME, "fc",    "arctan x")                                    \
    X(SINH,     "sinh",     1, SAME, "fc",    "sinh x")                                      \
    X(COSH,     "cosh",     1, SAME, "fc",    "cosh x")                                      \
    X(TANH,     "tanh",     1, SAME, "fc",    "tanh x")                                      \
    X(ASINH,    "asinh",    1, SAME, "fc",    "arsinh x")                                    \
    X(ACOSH,    "acosh",    1, SAME, "fc",    "arcosh x")                                    \
    X(ATANH,    "atanh",    1, SAME, "fc",    "artanh x")                                    \
    X(LOGISTIC, "logistic", 1, SAME, "fc",    "1 / (1 + e^-x)")                              \
    X(ERF,      "erf",      1, SAME, "f",     "2/sqrt(pi) integral_0^x e^(-t^2) dt")         \
    X(ERFC,     "erfc",     1, SAME, "f",     "1 - erf x")                                   \
    X(ERF_INV,  "erf_inv",  1, SAME, "f",     "y with erf y = x")                            \
    X(LGAMMA,   "lgamma",   1, SAME, "f",     "ln |Gamma(x)|")                               \
    X(DIGAMMA,  "digamma",  1, SAME, "f",     "d/dx ln Gamma(x)")                            \
    X(IS_FINITE,"is_finite",1, BOOL, "f",     "neither NaN nor infinite")                    \
    X(REAL,     "real",     1, REAL, "fc",    "real part")                                   \
    X(IMAG,     "imag",     1, REAL, "fc",    "imaginary part")                              \
    X(ADD,      "add",      2, SAME, "fiubc", "x + y")                                       \
    X(SUB,      "sub",      2, SAME, "fiuc",  "x - y")                                       \
    X(MUL,      "mul",      2, SAME, "fiubc", "x * y")                                       \
    X(DIV,      "div",      2, SAME, "fiuc",  "x / y (integers: towards zero)")              \
    X(REM,      "rem",      2, SAME, "fiu",   "x - trunc(x / y) * y")                        \
    X(POW,      "pow",      2, SAME, "fiuc",  "x^y")                                         \
    X(ATAN2,    "atan2",    2, SAME, "f",     "angle of the point (y: x operand first)")     \
    X(NEXTAFTER,"nextafter",2, SAME, "f",     "next value after x towards y")                \
    X(MAX,      "max",      2, SAME, "fiubc", "greater of x, y")                             \
    X(MIN,      "min",      2, SAME, "fiubc", "lesser of x, y")                              \
    X(AND,      "and",      2, SAME, "iub",   "bitwise or logical and")                      \
    X(OR,       "or",       2, SAME, "iub",   "bitwise or logical or")                       \
    X(XOR,      "xor",      2, SAME, "iub",   "bitwise or logical exclusive or")             \
    X(SHL,      "shl",      2, SAME, "iu",    "x << y")                                      \
    X(SHR,      "shr",      2, SAME, "iu",    "x >> y, sign bits shifted in (arithmetic)")   \
    X(SHR_LOGICAL,"shr_logical",2,SAME,"iu",  "x >> y, zeros shifted in")                    \
    X(COMPLEX,  "complex",  2, CPLX, "f",     "x + iy")                                      \
    X(EQ,       "eq",       2, BOOL, "fiubc", "x == y (NaN compares unequal)")               \
    X(NE,       "ne",       2, BOOL, "fiubc", "x != y (true for NaN)")                       \
    X(LT,       "lt",       2, BOOL, "fiub",  "x < y")                                       \
    X(LE,       "le",       2, BOOL, "fiub",  "x <= y")                                      \
    X(GT,       "gt",       2, BOOL, "fiub",  "x > y")                                       \
    X(GE,       "ge",       2, BOOL, "fiub",  "x >= y")                                      \
    X(SELECT,   "select",   3, SAME, "fiubc", "p ? x : y (p bool, first operand)")           \
    X(CLAMP,    "clamp",    3, SAME, "fiub",  "min(max(x, lo), hi) (operands lo, x, hi)")    \
    X(FMA,      "fma",      3, SAME, "f",     "x * y + z, rounded once")
/* clang-format on */

typedef enum tsr_scalar {
#define X(name, text, arity, result, domain, formula) TSR_S_##name,
    TSR_SCALAR_LIST(X)
#undef X
        TSR_SCALAR_COUNT
} tsr_scalar;

#endif
