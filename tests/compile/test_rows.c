/* test_rows.c: a row of a product has the same bits whoever else is in the batch (docs/design.md, section 1), and they
 * are those of fma in order of k within chunks of 256, chunks in order: few rows and many take different ways through
 * the VM. Both layouts of the right matrix, every dtype of products, quantised weights, any number of threads, every
 * level of instruction set, the C tier. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device/cpu/jit_cache.h"
#include "harness.h"
#include "tessera/ops.h"
#include "tessera/prim.h"
#include "tessera/run.h"

enum { ROWS = 64, CHUNK = 256 };
static const int64_t few[] = {1, 2, 3, 7, 8, 9, 33};

/* x (ROWS, k), w (k, n) or, turned, (n, k). */
struct product { int64_t k, n; bool turned; };

static size_t bytes_of(tsr_dtype t, int64_t n) {
    const tsr_dtype_info *d = tsr_dtype_of(t);
    return (size_t)(n / d->block * d->bytes);
}

/* Numbers of t as stored: normal ones; integers from -100 to 100. */
static void *random_bytes(tsr_ctx *c, tsr_dtype t, int64_t n) {
    float *v = malloc((size_t)n * sizeof *v);
    const tsr_dtype_info *d = tsr_dtype_of(t);
    bool integer = d->kind == TSR_KIND_INT || d->kind == TSR_KIND_UINT;
    for (int64_t i = 0; i < n; i++) v[i] = integer ? (float)test_int(-100, 100) : (float)test_normal();
    void *stored = malloc(bytes_of(t, n));
    if (d->kind == TSR_KIND_BLOCK) d->quant((size_t)(n / d->block), v, stored);
    else {
        tsr_node *x = tsr_prim_convert(c, tsr_from(c, tsr_type_dims(c, TSR_F32, 1, &n), v), t);
        CHECK_EQ(tsr_read(c, x, stored, bytes_of(t, n)), TSR_OK);
    }
    free(v);
    return stored;
}

/* The product of the first m rows, as stored; NULL: failed. */
static char *multiply(tsr_ctx *c, const struct product *p, tsr_dtype tx, tsr_dtype tw, int64_t m, const void *x,
    const void *w, size_t *bytes) {
    tsr_node *a = tsr_from(c, tsr_type_dims(c, tx, 2, (int64_t[]){m, p->k}), x);
    tsr_node *b = tsr_from(c, tsr_type_dims(c, tw, 2, (int64_t[]){p->turned ? p->n : p->k, p->turned ? p->k : p->n}),
        w);
    if (tx != tw) b = tsr_prim_convert(c, b, tx);
    tsr_node *y = tsr_matmul(c, a, p->turned ? tsr_transpose(c, b, NULL) : b);
    char *out = malloc(*bytes = bytes_of(tsr_node_dtype(y), m * p->n) + 1);
    memset(out, 0xa5, *bytes);
    *bytes -= 1;
    CHECK_EQ(tsr_read(c, y, out, *bytes), TSR_OK);
    CHECK_OK(c);
    return out;
}

static void check_rows(tsr_ctx *c, const struct product *p, tsr_dtype tx, tsr_dtype tw) {
    void *x = random_bytes(c, tx, ROWS * p->k), *w = random_bytes(c, tw, p->k * p->n);
    size_t whole, bytes;
    char *want = multiply(c, p, tx, tw, ROWS, x, w, &whole);
    for (size_t i = 0; i < sizeof few / sizeof *few; i++) {
        char *got = multiply(c, p, tx, tw, few[i], x, w, &bytes);
        test_case("%lld of 64 rows, k %lld, n %lld%s, %s by %s, %d threads", (long long)few[i], (long long)p->k,
            (long long)p->n, p->turned ? ", turned" : "", tsr_dtype_name(tx), tsr_dtype_name(tw), tsr_threads(c));
        CHECK_BYTES(got, want, bytes);
        free(got);
    }
    free(x), free(w), free(want);
}

static const struct product products[] = {
    {300, 70, false}, {300, 70, true}, {257, 513, false}, {257, 513, true}, {64, 600, false}, {600, 96, true},
    {512, 1200, false}, {1, 64, false},
};
enum { PRODUCTS = sizeof products / sizeof *products };

TEST(few_rows_have_the_bits_of_many) {
    static const tsr_dtype dtypes[] = {TSR_F32, TSR_F64, TSR_F16, TSR_BF16, TSR_F8E4M3, TSR_I8, TSR_U8, TSR_I16,
        TSR_I32, TSR_U32, TSR_I64, TSR_C64, TSR_C128};
    tsr_ctx *c = test_ctx();
    for (size_t t = 0; t < sizeof dtypes / sizeof *dtypes; t++)
        for (int i = 0; i < PRODUCTS; i++) check_rows(c, &products[i], dtypes[t], dtypes[t]);
}

TEST(weights_of_another_dtype) {
    static const struct product whole_blocks[] = {{320, 96, false}, {320, 96, true}, {512, 1024, false}};
    tsr_ctx *c = test_ctx();
    for (int i = 0; i < 3; i++) {
        check_rows(c, &whole_blocks[i], TSR_F32, TSR_Q8_0);
        check_rows(c, &whole_blocks[i], TSR_F32, TSR_Q4_0);
        check_rows(c, &whole_blocks[i], TSR_F32, TSR_BF16);
        check_rows(c, &whole_blocks[i], TSR_F32, TSR_I8);
    }
}

TEST(any_number_of_threads) {
    for (int threads = 1; threads <= 5; threads += 2) {
        tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = threads});
        for (int i = 0; i < PRODUCTS; i++) check_rows(c, &products[i], TSR_F32, TSR_F32);
        test_ctx_close(c);
    }
}

/* ---- the order ---- */

static float sum_in_order(const struct product *p, const float *x, const float *w, int64_t j) {
    float sum = 0;
    for (int64_t k0 = 0; k0 < p->k; k0 += CHUNK) {
        float chunk = 0;
        for (int64_t k = k0; k < p->k && k < k0 + CHUNK; k++)
            chunk = fmaf(x[k], w[p->turned ? j * p->k + k : k * p->n + j], chunk);
        sum += chunk;
    }
    return sum;
}

static void check_order(tsr_ctx *c, const struct product *p, int64_t m) {
    float *x = random_bytes(c, TSR_F32, m * p->k), *w = random_bytes(c, TSR_F32, p->k * p->n);
    float *want = malloc((size_t)(m * p->n) * sizeof *want);
    size_t bytes;
    for (int64_t i = 0; i < m * p->n; i++) want[i] = sum_in_order(p, x + i / p->n * p->k, w, i % p->n);
    char *got = multiply(c, p, TSR_F32, TSR_F32, m, x, w, &bytes);
    CHECK_BYTES(got, want, bytes);
    free(x), free(w), free(want), free(got);
}

TEST(products_are_added_in_order_of_k) {
    tsr_ctx *c = test_ctx();
    for (int i = 0; i < PRODUCTS; i++)
        for (size_t m = 0; m < sizeof few / sizeof *few; m++) {
            test_case("%lld rows, k %lld, n %lld%s", (long long)few[m], (long long)products[i].k,
                (long long)products[i].n, products[i].turned ? ", turned" : "");
            check_order(c, &products[i], few[m]);
        }
}

TEST(on_the_c_tier) {
    struct jit_tool tool;
    if (!jit_tool_find(&tool)) SKIP("no C compiler here: install gcc or clang, or name one with TSR_CC");
    setenv("TSR_JIT", "now", 1);
    setenv("TSR_CACHE", test_path("cache"), 1);
    tsr_ctx *c = test_ctx();
    static const struct product some[] = {{300, 1100, false}, {300, 70, true}};
    for (int i = 0; i < 2; i++)
        for (int64_t m = 1; m <= 3; m += 2) {
            test_case("%lld rows%s", (long long)m, some[i].turned ? ", turned" : "");
            check_order(c, &some[i], m);
        }
    setenv("TSR_JIT", "off", 1);
}
