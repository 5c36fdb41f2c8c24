/* test_scalar_ref.c: the definition of the elementwise functions at particular points: numbers from a 40-digit
 * computation, and the corner cases that scalar.h and the StableHLO specification state. Were this wrong, every
 * other test would agree on it. */
#include <math.h>

#include "graph/op.h"
#include "harness.h"

/* ---- floats ----------------------------------------------------------------------------------------------------- */

struct float_row { tsr_scalar fn; tsr_dtype t; double x, y, z, want; };
#define F(fn, x, want) {TSR_S_##fn, TSR_F64, x, 0, 0, want}
#define F2(fn, x, y, want) {TSR_S_##fn, TSR_F64, x, y, 0, want}
#define T2(fn, t, x, y, want) {TSR_S_##fn, TSR_##t, x, y, 0, want}
#define F3(fn, x, y, z, want) {TSR_S_##fn, TSR_F64, x, y, z, want}
static const struct float_row float_rows[] = {
    F(NEG, 0.0, -0.0), F(ABS, -0.0, 0.0), F(SIGN, -0.0, -0.0), F(SIGN, NAN, NAN), F(SIGN, -INFINITY, -1), F(SIGN, 3, 1),
    F(CEIL, -0.5, -0.0), F(CEIL, 1.25, 2), F(FLOOR, -1.25, -2), F(FLOOR, INFINITY, INFINITY),
    F(ROUND, 0.5, 1), F(ROUND, -2.5, -3), F(ROUND, 0.49999999999999994, 0), F(ROUND, -0.25, -0.0),
    F(ROUND, 4503599627370497.5, 4503599627370498),
    F(ROUND_EVEN, 0.5, 0), F(ROUND_EVEN, -2.5, -2), F(ROUND_EVEN, 3.5, 4), F(ROUND_EVEN, -0.5, -0.0),
    F(ROUND_EVEN, NAN, NAN),
    F(EXP, 0, 1), F(EXP, -INFINITY, 0), F(EXP, 1000, INFINITY), F(EXP, 1, 2.718281828459045235),
    F(EXP2, 0.3, 1.231144413344916275), F(EXP2, -1074, 0x1p-1074),
    F(EXPM1, 1e-9, 1.0000000005000000624e-9), F(EXPM1, -INFINITY, -1), F(EXPM1, -0.0, -0.0),
    F(LOG, 0, -INFINITY), F(LOG, -1, NAN), F(LOG, INFINITY, INFINITY), F(LOG2, 10, 3.3219280948873623479),
    F(LOG2, 0x1p-1074, -1074),
    F(LOG1P, 1e-9, 9.9999999950000006261e-10), F(LOG1P, -1, -INFINITY), F(LOG1P, -2, NAN),
    F(SQRT, -0.0, -0.0), F(SQRT, -1, NAN), F(SQRT, 2, 1.4142135623730950488), F(RSQRT, 3, 0.57735026918962576451),
    F(RSQRT, 0, INFINITY), F(RSQRT, INFINITY, 0),
    F(CBRT, 27.5, 3.0184053683988429453), F(CBRT, -8, -2), F(TAN, 1.5, 14.101419947171719388), F(SIN, INFINITY, NAN),
    F(COS, 0, 1),
    F(ASIN, 0.5, 0.52359877559829887308), F(ASIN, 2, NAN), F(ACOS, 0.25, 1.3181160716528179657),
    F(ATAN, 2, 1.107148717794090503),
    F(SINH, 1.5, 2.1292794550948174968), F(COSH, 1.5, 2.3524096152432473258), F(TANH, 0.75, 0.63514895238728731921),
    F(TANH, -INFINITY, -1),
    F(ASINH, 1.5, 1.1947632172871093041), F(ACOSH, 1.5, 0.962423650119206895), F(ACOSH, 0.5, NAN),
    F(ATANH, 0.5, 0.5493061443340548457), F(ATANH, 1, INFINITY),
    F(LOGISTIC, -3, 0.047425873177566780879), F(LOGISTIC, 0, 0.5), F(LOGISTIC, -1000, 0), F(LOGISTIC, 1000, 1),
    F(ERF, 0.5, 0.52049987781304653768), F(ERF, -INFINITY, -1), F(ERFC, 3, 2.2090496998585441373e-5),
    F(ERFC, 10, 2.088487583762544757e-45), F(ERFC, -INFINITY, 2),
    F(ERF_INV, 0.5, 0.47693627620446987338), F(ERF_INV, 0.999, 2.3267537655135244939),
    F(ERF_INV, 1 - 0x1p-53, 5.8635847487551679272),
    F(ERF_INV, 1e-3, 0.00088622715746655212301), F(ERF_INV, -0.25, -0.22531205501217810473),
    F(ERF_INV, 0.03125, 0.027701675719584332137),
    F(ERF_INV, 1, INFINITY), F(ERF_INV, -1, -INFINITY), F(ERF_INV, 1.5, NAN), F(ERF_INV, -0.0, -0.0),
    F(ERF_INV, NAN, NAN),
    F(LGAMMA, 0.5, 0.57236494292470008707), F(LGAMMA, 10, 12.801827480081469611),
    F(LGAMMA, -1.5, 0.86004701537648101451), F(LGAMMA, 2.5, 0.28468287047291915963),
    F(LGAMMA, 100, 359.13420536957539878), F(LGAMMA, 1e-3, 6.9071788853838536617),
    F(LGAMMA, -0.25, 1.5895753125511859903), F(LGAMMA, 1e10, 220258509288.81058147),
    F(LGAMMA, 1, 0), F(LGAMMA, 2, 0), F(LGAMMA, 0, INFINITY), F(LGAMMA, -3, INFINITY), F(LGAMMA, INFINITY, INFINITY),
    F(DIGAMMA, 0.5, -1.9635100260214234794), F(DIGAMMA, 10, 2.2517525890667211076),
    F(DIGAMMA, -1.5, 0.70315664064524318723), F(DIGAMMA, 1e-3, -1000.5755719318102797),
    F(DIGAMMA, 100, 4.6001618527380874002), F(DIGAMMA, -0.25, 2.9141391202135278304),
    F(DIGAMMA, 3.75, 1.1825373886117962286), F(DIGAMMA, 171.5, 5.1416649814339996289),
    F(DIGAMMA, 1e10, 23.02585092989045684), F(DIGAMMA, 1, -0.57721566490153286061),
    F(DIGAMMA, -20.25, 6.1742356336144837692),
    F(DIGAMMA, 0, NAN), F(DIGAMMA, -4, NAN), F(DIGAMMA, INFINITY, INFINITY), F(DIGAMMA, -INFINITY, NAN),
    F(REAL, -2, -2), F(IMAG, 7, 0),
    F2(DIV, 1, 0, INFINITY), F2(DIV, -1, 0, -INFINITY), F2(DIV, 0, 0, NAN),
    F2(REM, -7.5, 2, -1.5), F2(REM, 7.5, -2, 1.5), F2(REM, 1, 0, NAN), F2(REM, 5, INFINITY, 5), F2(REM, -4, 2, -0.0),
    F2(POW, 0, 0, 1), F2(POW, NAN, 0, 1), F2(POW, 1, NAN, 1), F2(POW, -8, 3, -512), F2(POW, -8, 0.5, NAN),
    F2(POW, 0, -1, INFINITY), F2(POW, 0.5, -INFINITY, INFINITY),
    F2(ATAN2, 0, -1, 3.14159265358979323846), F2(ATAN2, -0.0, -1, -3.14159265358979323846),
    F2(ATAN2, 1, 1, 0.78539816339744830962),
    F2(MAX, NAN, 1, NAN), F2(MAX, 1, NAN, NAN), F2(MAX, -0.0, 0.0, 0.0), F2(MAX, 0.0, -0.0, 0.0),
    F2(MIN, 0.0, -0.0, -0.0), F2(MIN, -0.0, 0.0, -0.0), F2(MIN, NAN, -INFINITY, NAN),
    F2(NEXTAFTER, 1, 2, 1 + 0x1p-52), F2(NEXTAFTER, 0, -1, -0x1p-1074), F2(NEXTAFTER, NAN, 1, NAN),
    F2(NEXTAFTER, 0.0, -0.0, -0.0),
    T2(NEXTAFTER, F32, 1, 2, 1 + 0x1p-23), T2(NEXTAFTER, F32, 1, 0, 1 - 0x1p-24),
    T2(NEXTAFTER, F32, 0, -1, -0x1p-149), T2(NEXTAFTER, F32, -1, 0, -1 + 0x1p-24),
    T2(NEXTAFTER, F16, 65504, INFINITY, INFINITY), T2(NEXTAFTER, F16, 0, 1, 0x1p-24),
    T2(NEXTAFTER, BF16, 1, 2, 1 + 0x1p-7), T2(NEXTAFTER, F8E5M2, 1, 2, 1.25),
    T2(NEXTAFTER, F8E4M3, -1, -2, -1.125), T2(NEXTAFTER, F16, 3, 3, 3),
    F3(CLAMP, -1, 5, 1, 1), F3(CLAMP, -1, -5, 1, -1), F3(CLAMP, 2, 0, 1, 1), F3(CLAMP, -1, NAN, 1, NAN),
    F3(FMA, 1 + 0x1p-30, 1 + 0x1p-30, -1, 0x1p-29 + 0x1p-60), {TSR_S_FMA, TSR_F32, 1 + 0x1p-12, 1 + 0x1p-12, -1,
    0x1p-11 + 0x1p-24},
    {TSR_S_FMA, TSR_F32, 1, 0x1p-24 + 0x1p-40, 1, 1 + 0x1p-23},
};

/* Two ulps of f64, and the sign of zero. */
static void check_float(double got, double want) {
    CHECK_CLOSE(got, want, 5e-16, 0);
    if (want == 0) CHECK_EQ(signbit(got) != 0, signbit(want) != 0);
}

TEST(floats) {
    for (size_t i = 0; i < sizeof float_rows / sizeof *float_rows; i++) {
        const struct float_row *r = &float_rows[i];
        test_case("%s %s(%g, %g, %g)", op_name((enum tsr_op)r->fn), tsr_dtype_name(r->t), r->x, r->y, r->z);
        struct ref_val v[3] = {{.re = r->x}, {.re = r->y}, {.re = r->z}}, y = ref_scalar(r->fn, r->t, v);
        if (r->fn == TSR_S_DIGAMMA || r->fn == TSR_S_LGAMMA || r->fn == TSR_S_ERF_INV)
            CHECK_CLOSE(y.re, r->want, 4e-15, 0);
        else check_float(y.re, r->want);
    }
}

/* ---- integers and truth values ---------------------------------------------------------------------------------- */

struct int_row { tsr_scalar fn; tsr_dtype t; int64_t x, y, z, want; };
#define I(fn, t, x, want) {TSR_S_##fn, TSR_##t, x, 0, 0, want}
#define I2(fn, t, x, y, want) {TSR_S_##fn, TSR_##t, x, y, 0, want}
static const struct int_row int_rows[] = {
    I(NEG, I8, -128, -128), I(NEG, U8, 1, 255), I(NEG, I64, INT64_MIN, INT64_MIN), I(NEG, I4, -8, -8),
    I(NEG, U4, 3, 13),
    I(ABS, I8, -128, -128), I(ABS, I16, -5, 5), I(SIGN, I32, -7, -1), I(SIGN, I32, 0, 0), I(SIGN, I4, 7, 1),
    I(NOT, I8, 0, -1), I(NOT, U16, 1, 65534), I(NOT, BOOL, 1, 0), I(NOT, BOOL, 0, 1), I(NOT, U4, 5, 10),
    I(POPCNT, I8, -1, 8), I(POPCNT, U64, -1, 64), I(POPCNT, I4, -1, 4), I(CLZ, I8, 1, 7), I(CLZ, U16, 0, 16),
    I(CLZ, I32, -1, 0), I(CLZ, U4, 2, 2), I(CLZ, U64, 0, 64),
    I2(ADD, I8, 127, 1, -128), I2(ADD, U8, 255, 1, 0), I2(ADD, BOOL, 1, 1, 1), I2(ADD, I64, INT64_MAX, 1, INT64_MIN),
    I2(SUB, U32, 0, 1, 4294967295),
    I2(MUL, I16, 300, 300, 24464), I2(MUL, BOOL, 1, 0, 0), I2(MUL, I64, INT64_MIN, -1, INT64_MIN), I2(MUL, U4, 7, 7, 1),
    I2(DIV, I32, 7, 0, -1), I2(DIV, U8, 7, 0, 255), I2(DIV, I8, -128, -1, -128), I2(DIV, I32, -7, 2, -3),
    I2(DIV, I64, INT64_MIN, -1, INT64_MIN), I2(DIV, U64, -1, 2, INT64_MAX),
    I2(REM, I32, 7, 0, 7), I2(REM, U8, 7, 0, 7), I2(REM, I8, -128, -1, 0), I2(REM, I32, -7, 2, -1),
    I2(REM, I32, 7, -2, 1), I2(REM, U64, -1, 10, 5),
    I2(POW, I32, 2, 10, 1024), I2(POW, I32, 2, -1, 0), I2(POW, I32, -1, -3, -1), I2(POW, I32, -1, -4, 1),
    I2(POW, I32, 1, -9, 1), I2(POW, I8, 3, 5, -13),
    I2(POW, I32, 0, 0, 1), I2(POW, I32, 0, -1, 0), I2(POW, U8, 2, 8, 0),
    I2(POW, U64, 3, 40, (int64_t)12157665459056928801u),
    I2(MAX, I8, -1, 1, 1), I2(MAX, U8, 255, 1, 255), I2(MIN, U64, -1, 1, 1), I2(MIN, BOOL, 1, 0, 0),
    I2(MAX, BOOL, 1, 0, 1),
    I2(AND, I8, -1, 15, 15), I2(OR, U8, 240, 15, 255), I2(XOR, BOOL, 1, 1, 0), I2(XOR, I4, -1, 5, -6),
    I2(SHL, I8, 1, 7, -128), I2(SHL, I8, 1, 8, 0), I2(SHL, I8, 1, -1, 0), I2(SHL, U64, 1, 64, 0),
    I2(SHL, U64, 1, 63, INT64_MIN),
    I2(SHR, I8, -128, 7, -1), I2(SHR, I8, -128, 100, -1), I2(SHR, I8, 127, 8, 0), I2(SHR, U8, 128, 7, 1),
    I2(SHR, U8, 128, 8, 0), I2(SHR, I64, INT64_MIN, 64, -1),
    I2(SHR, I32, -5, -1, -1), I2(SHR_LOGICAL, I8, -128, 7, 1), I2(SHR_LOGICAL, I8, -1, 8, 0),
    I2(SHR_LOGICAL, I32, -1, 28, 15), I2(SHR_LOGICAL, I4, -1, 1, 7),
    I2(EQ, U64, -1, -1, 1), I2(LT, I64, INT64_MIN, INT64_MAX, 1), I2(LT, U64, INT64_MIN, INT64_MAX, 0),
    I2(GE, BOOL, 1, 0, 1), I2(NE, I4, 3, 4, 1), I2(GT, BOOL, 0, 0, 0), I2(LE, U4, 15, 3, 0),
    {TSR_S_CLAMP, TSR_I8, -3, 9, 3, 3}, {TSR_S_CLAMP, TSR_U8, 3, 1, 200, 3}, {TSR_S_CLAMP, TSR_I32, 5, 0, 1, 1},
    {TSR_S_CLAMP, TSR_BOOL, 0, 1, 0, 0},
};

TEST(integers) {
    for (size_t i = 0; i < sizeof int_rows / sizeof *int_rows; i++) {
        const struct int_row *r = &int_rows[i];
        test_case("%s %s(%lld, %lld, %lld)", op_name((enum tsr_op)r->fn), tsr_dtype_name(r->t), (long long)r->x,
            (long long)r->y, (long long)r->z);
        struct ref_val v[3] = {{.i = r->x, .u = (uint64_t)r->x}, {.i = r->y, .u = (uint64_t)r->y},
            {.i = r->z, .u = (uint64_t)r->z}};
        bool truth = (r->fn >= TSR_S_EQ && r->fn <= TSR_S_GE), sign = tsr_dtype_of(r->t)->kind == TSR_KIND_INT &&
            !truth;
        struct ref_val y = ref_scalar(r->fn, r->t, v);
        CHECK_EQ(sign ? y.i : (int64_t)y.u, r->want);
    }
}

/* ---- complex ---------------------------------------------------------------------------------------------------- */

struct complex_row { tsr_scalar fn; double x[2], y[2], want[2]; };
static const struct complex_row complex_rows[] = {
    {TSR_S_EXP, {1, 2}, {0}, {-1.1312043837568136384, 2.4717266720048189276}},
    {TSR_S_LOG, {-1, -0.5}, {0}, {0.11157177565710487788, -2.6779450445889871222}},
    {TSR_S_LOG, {3, 4}, {0}, {1.6094379124341003746, 0.92729521800161223243}},
    {TSR_S_SQRT, {-3, 4}, {0}, {1, 2}},
    {TSR_S_SQRT, {-3, -4}, {0}, {1, -2}},
    {TSR_S_RSQRT, {3, 4}, {0}, {0.4, -0.2}},
    {TSR_S_SIN, {1, 0.5}, {0}, {0.94886453143716808052, 0.28154899513533439382}},
    {TSR_S_COS, {1, 0.5}, {0}, {0.60925890915779422573, -0.43848657989259527517}},
    {TSR_S_TAN, {1, 0.5}, {0}, {0.80687741216308496805, 1.0428307283443610833}},
    {TSR_S_TANH, {1, 0.5}, {0}, {0.84296620484578322875, 0.19557731006593399935}},
    {TSR_S_LOGISTIC, {1, 2}, {0}, {1.0214153641721805417, 0.40343870608154248402}},
    {TSR_S_EXPM1, {0x1p-30, 0x1p-31}, {0}, {9.313225749407391674e-10, 4.6566128774142012699e-10}},
    {TSR_S_LOG1P, {0x1p-30, 0x1p-31}, {0}, {9.3132257429021786395e-10, 4.6566128687405838919e-10}},
    {TSR_S_LOG1P, {-3, 4}, {0}, {1.4978661367769954967, 2.0344439357957027354}},
    {TSR_S_SIGN, {-3, 4}, {0}, {-0.6, 0.8}},
    {TSR_S_SIGN, {0, 0}, {0}, {0, 0}},
    {TSR_S_SIGN, {NAN, 1}, {0}, {NAN, NAN}},
    {TSR_S_ABS, {-3, 4}, {0}, {5, 0}},
    {TSR_S_REAL, {-3, 4}, {0}, {-3, 0}},
    {TSR_S_IMAG, {-3, 4}, {0}, {4, 0}},
    {TSR_S_ADD, {1, 2}, {3, -5}, {4, -3}},
    {TSR_S_SUB, {1, 2}, {3, -5}, {-2, 7}},
    {TSR_S_MUL, {1, 2}, {3, -5}, {13, 1}},
    {TSR_S_DIV, {13, 1}, {3, -5}, {1, 2}},
    {TSR_S_DIV, {1e300, 1e300}, {1e300, 1e300}, {1, 0}},
    {TSR_S_POW, {1, 2}, {0.5, -1.5}, {6.2486048363340748086, -4.7848585806310624136}},
    {TSR_S_DIV, {1, -1}, {0, 0}, {INFINITY, -INFINITY}},
    {TSR_S_DIV, {1, 1}, {INFINITY, 0}, {0, 0}},
    {TSR_S_POW, {0, 0}, {0, 0}, {1, 0}},
    {TSR_S_POW, {0, 0}, {-2, 0}, {INFINITY, 0}},
    {TSR_S_POW, {2, 0}, {10, 0}, {1024, 0}},
    {TSR_S_POW, {0, 0}, {2, 1}, {0, 0}},
    {TSR_S_MAX, {1, 5}, {1, 7}, {1, 7}},
    {TSR_S_MAX, {2, 5}, {1, 7}, {2, 5}},
    {TSR_S_MIN, {1, 5}, {1, 7}, {1, 5}},
};

TEST(complex_numbers) {
    for (size_t i = 0; i < sizeof complex_rows / sizeof *complex_rows; i++) {
        const struct complex_row *r = &complex_rows[i];
        test_case("%s(%g+%gi, %g+%gi)", op_name((enum tsr_op)r->fn), r->x[0], r->x[1], r->y[0], r->y[1]);
        struct ref_val v[3] = {{.re = r->x[0], .im = r->x[1]}, {.re = r->y[0], .im = r->y[1]}};
        struct ref_val y = ref_scalar(r->fn, TSR_C128, v);
        CHECK_CLOSE(y.re, r->want[0], 1e-15, 0);
        CHECK_CLOSE(y.im, r->want[1], 1e-15, 0);
    }
}

TEST(structural_functions) {
    struct ref_val v[3] = {{.u = 1}, {.re = 2, .im = 3}, {.re = 4}};
    CHECK_CLOSE(ref_scalar(TSR_S_SELECT, TSR_C64, v).im, 3, 0, 0);
    v[0].u = 0;
    CHECK_CLOSE(ref_scalar(TSR_S_SELECT, TSR_F32, v).re, 4, 0, 0);
    CHECK_CLOSE(ref_scalar(TSR_S_COMPLEX, TSR_F32, v + 1).im, 4, 0, 0);
    static const struct { double x, y; int eq, ne, lt, le, gt, ge, finite; } rows[] = {
        {1, 1, 1, 0, 0, 1, 0, 1, 1}, {-0.0, 0.0, 1, 0, 0, 1, 0, 1, 1}, {NAN, 1, 0, 1, 0, 0, 0, 0, 0},
        {-INFINITY, INFINITY, 0, 1, 1, 1, 0, 0, 0}, {2, 1, 0, 1, 0, 0, 1, 1, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        test_case("compare %g with %g", rows[i].x, rows[i].y);
        struct ref_val p[3] = {{.re = rows[i].x}, {.re = rows[i].y}};
        const int *want = &rows[i].eq;
        for (int k = 0; k < 6; k++) CHECK_EQ(ref_scalar((tsr_scalar)(TSR_S_EQ + k), TSR_F32, p).u, want[k]);
        CHECK_EQ(ref_scalar(TSR_S_IS_FINITE, TSR_F32, p).u, rows[i].finite);
    }
}

/* ---- storage and conversion ------------------------------------------------------------------------------------- */

struct convert_row { tsr_dtype from, to; struct ref_val in, want; };
#define TO_INT(from, to, x, v) {TSR_##from, TSR_##to, {.re = x}, {.i = v}}
#define TO_UINT(from, to, x, v) {TSR_##from, TSR_##to, {.re = x}, {.u = v}}
static const struct convert_row convert_rows[] = {
    TO_INT(F32, I8, 1.9, 1), TO_INT(F32, I8, -1.9, -1), TO_INT(F32, I8, 300, 127), TO_INT(F32, I8, -300, -128),
    TO_INT(F32, I32, NAN, 0),
    TO_INT(F64, I64, 1e300, INT64_MAX), TO_INT(F64, I64, -INFINITY, INT64_MIN), TO_INT(F32, I4, 9, 7),
    TO_INT(F64, I64, -0x1p63, INT64_MIN),
    TO_UINT(F32, U8, -1, 0), TO_UINT(F32, U8, 255.9, 255), TO_UINT(F32, U8, 256, 255),
    TO_UINT(F64, U64, 0x1p64, UINT64_MAX), TO_UINT(F32, U4, 20, 15), TO_UINT(F32, U32, NAN, 0),
    TO_UINT(F32, BOOL, 0.5, 1), TO_UINT(F32, BOOL, -0.0, 0), TO_UINT(F32, BOOL, NAN, 1), TO_UINT(C64, BOOL, 0, 0),
    {TSR_I32, TSR_U8, {.i = -1}, {.u = 255}}, {TSR_U64, TSR_I64, {.u = UINT64_MAX}, {.i = -1}},
    {TSR_I64, TSR_I8, {.i = 384}, {.i = -128}}, {TSR_BOOL, TSR_I8, {.u = 1}, {.i = 1}},
    {TSR_I64, TSR_F64, {.i = INT64_MAX}, {.re = 0x1p63}}, {TSR_I64, TSR_F32, {.i = 0x4000004000000001},
    {.re = 0x1p62 + 0x1p39}},
    {TSR_I64, TSR_F32, {.i = 0x4000004000000000}, {.re = 0x1p62}}, {TSR_I64, TSR_F32, {.i = -0x4000004000000001},
    {.re = -0x1p62 - 0x1p39}},
    {TSR_U64, TSR_F32, {.u = UINT64_MAX}, {.re = 0x1p64}}, {TSR_U64, TSR_BF16, {.u = 0x0101000000000001},
    {.re = 0x1.02p56}}, {TSR_I32, TSR_F16, {.i = 65520}, {.re = INFINITY}},
    {TSR_F64, TSR_C64, {.re = 2}, {.re = 2}}, {TSR_C128, TSR_F32, {.re = 2, .im = 9}, {.re = 2}},
    {TSR_C64, TSR_C128, {.re = 1, .im = -1}, {.re = 1, .im = -1}},
    {TSR_C64, TSR_BOOL, {.im = 1}, {.u = 1}}, {TSR_F64, TSR_F32, {.re = 1 + 0x1p-24}, {.re = 1}},
    {TSR_F64, TSR_F16, {.re = 1e9}, {.re = INFINITY}},
};

TEST(conversions) {
    for (size_t i = 0; i < sizeof convert_rows / sizeof *convert_rows; i++) {
        const struct convert_row *r = &convert_rows[i];
        test_case("%s to %s, row %zu", tsr_dtype_name(r->from), tsr_dtype_name(r->to), i);
        uint8_t bytes[16];
        struct ref_tensor one = {.dtype = r->to, .count = 1, .p = bytes};
        ref_set(&one, 0, ref_convert(r->in, r->from, r->to));
        struct ref_val y = ref_get(&one, 0);
        check_float(y.re, r->want.re);
        check_float(y.im, r->want.im);
        CHECK_EQ(y.i, r->want.i);
        CHECK_EQ(y.u, r->want.u);
    }
}

/* Every stored pattern of a narrow dtype survives being read and written, whatever its neighbours. */
TEST(every_narrow_element_survives) {
    for (int t = 0; t < TSR_C64; t++) {
        const tsr_dtype_info *d = tsr_dtype_of((tsr_dtype)t);
        if (d->bits > 16 || t == TSR_BOOL) continue;
        test_case("%s", d->name);
        static uint8_t from[1 << 17], to[1 << 17];
        int64_t count = d->bits == 4 ? 512 : (int64_t)1 << d->bits;
        for (int64_t i = 0; i < count * d->bits / 8; i++)
            from[i] = d->bits == 16 ? (uint8_t)(i % 2 ? i >> 9 : i >> 1) : (uint8_t)i, to[i] = 0xa5;
        struct ref_tensor a = {.dtype = (tsr_dtype)t, .count = count, .p = from},
            b = {.dtype = (tsr_dtype)t, .count = count, .p = to};
        for (int64_t i = count - 1; i >= 0; i--) ref_set(&b, i, ref_get(&a, i));
        int64_t wrong = 0;
        for (int64_t i = 0; i < count; i++) {
            struct ref_val x = ref_get(&a, i), y = ref_get(&b, i);
            wrong += !(x.i == y.i && x.u == y.u && (x.re == y.re ? !signbit(x.re) == !signbit(y.re) : isnan(x.re) &&
                isnan(y.re)));
        }
        CHECK_EQ(wrong, 0);
    }
}

TEST(identities_change_nothing) {
    for (int t = 0; t <= TSR_C128; t++)
        for (int op = 0; op < TSR_REDUCE_COUNT; op++) {
            const tsr_dtype_info *d = tsr_dtype_of((tsr_dtype)t);
            bool bitwise = op >= TSR_REDUCE_AND, has_bits = d->kind == TSR_KIND_INT || d->kind == TSR_KIND_UINT ||
                d->kind == TSR_KIND_BOOL;
            if (bitwise && !has_bits) continue;
            test_case("%s reduce %d", d->name, op);
            uint8_t bytes[16];
            struct ref_tensor one = {.dtype = (tsr_dtype)t, .count = 1, .p = bytes};
            for (int n = 0; n < 20; n++) {
                int64_t v = test_int(-100, 100);
                ref_set(&one, 0, (struct ref_val){.re = (double)v, .im = (double)v / 2, .i = v, .u = (uint64_t)v});
                struct ref_val x = ref_get(&one, 0), e;
                ref_set(&one, 0, ref_reduce_identity((tsr_reduce)op, (tsr_dtype)t));
                e = ref_get(&one, 0);
                struct ref_val y = ref_reduce((tsr_reduce)op, (tsr_dtype)t, e, x);
                CHECK(y.re == x.re && y.im == x.im && y.i == x.i && y.u == x.u);
            }
        }
}
