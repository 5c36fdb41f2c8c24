/* bench_stablehlo: how fast StableHLO text is read: programs of many operations, of constants in hexadecimal digits and
 * of constants as nested lists, made here, read on one thread. Every figure stands beside memchr over the same bytes,
 * which looks at each of them once. Usage: stablehlo [megabytes [file.mlir]] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/sys.h"
#include "base/vec.h"
#include "formats/stablehlo/elements.h"
#include "formats/stablehlo/read.h"

enum { REPEATS = 3, ROW = 1024 };

/* ---- programs
 * ------------------------------------------------------------------------------------------------------- */

static void many_ops(struct str *s, size_t bytes, struct rng *rng) {
    static const char *const binary[] = {"add", "multiply", "subtract", "maximum"};
    str_put(s, "module @many {\n  func.func public @main(%arg0: tensor<8x128xf32>, %arg1: tensor<128x128xf32>) -> "
               "tensor<8x128xf32> {\n    %0 = stablehlo.tanh %arg0 : tensor<8x128xf32>\n");
    for (int i = 1; s->n < bytes; i++) {
        if (i % 8 == 0)
            str_printf(s, "    %%%d = stablehlo.dot_general %%%d, %%arg1, contracting_dims = [1] x [0], precision = "
                          "[DEFAULT, DEFAULT] : (tensor<8x128xf32>, tensor<128x128xf32>) -> tensor<8x128xf32>\n", i,
                              i - 1);
        else
            str_printf(s, "    %%%d = stablehlo.%s %%%d, %%%d : tensor<8x128xf32>\n", i, binary[i % 4], i - 1,
                i - 1 - (int)rng_below(rng, i < 64 ? (uint64_t)i : 64)); /* most values are used soon */
    }
    str_put(s, "    return %0 : tensor<8x128xf32>\n  }\n}\n");
}

static void hex_constants(struct str *s, size_t bytes, struct rng *rng) {
    enum { DIGITS = ROW * ROW * 8 };
    static const char digit[] = "0123456789ABCDEF";
    char *text = malloc(DIGITS + 1);
    if (!text) exit(1);
    text[DIGITS] = '\0';
    for (int i = 0; i < DIGITS; i++) text[i] = digit[rng_below(rng, 16)];
    for (int i = 0; s->n < bytes; i++) {
        str_printf(s, "%%%d = stablehlo.constant dense<\"0x", i);
        str_put(s, text);
        str_printf(s, "\"> : tensor<%dx%dxf32>\n", ROW, ROW);
    }
    free(text);
}

static void nested_lists(struct str *s, size_t bytes, struct rng *rng) {
    for (int i = 0; s->n < bytes; i++) {
        str_printf(s, "%%%d = stablehlo.constant dense<[", i);
        for (int row = 0; row < 256; row++) {
            str_put(s, row ? ", [" : "[");
            for (int k = 0; k < ROW; k++) str_printf(s, "%s%.8e", k ? ", " : "", rng_normal(rng));
            str_putc(s, ']');
        }
        str_printf(s, "]> : tensor<256x%dxf32>\n", ROW);
    }
}

/* ---- measured
 * --------------------------------------------------------------------------------------------------------- */

static double best(double t, double seconds) { return t == 0 || seconds < t ? seconds : t; }

static double look_once(const char *text, size_t n) {
    double t = 0;
    for (int i = 0; i < REPEATS; i++) {
        double start = clock_seconds();
        if (memchr(text, '\x01', n)) exit(1);
        t = best(t, clock_seconds() - start);
    }
    return t;
}

static double read_time(const char *name, const char *text, size_t n, double *freed) {
    double t = 0;
    for (int i = 0; i < REPEATS; i++) {
        tsr_ctx *c = tsr_open(NULL);
        double start = clock_seconds();
        struct hlo_module *m = hlo_read(c, name, text, n);
        double end = clock_seconds();
        t = best(t, end - start);
        if (!m) fprintf(stderr, "%s\n", tsr_error_message(c)), exit(1);
        hlo_module_free(m);
        *freed = best(*freed, clock_seconds() - end);
        tsr_close(c);
    }
    return t;
}

static void measure(const char *name, const char *text, size_t n) {
    double freed = 0, t = read_time(name, text, n, &freed), once = look_once(text, n), mb = (double)n / 1e6;
    printf("%-16s %7.1f MB   read %8.1f MB/s   freed in %.3f s   memchr %8.0f MB/s\n", name, mb, mb / t, freed,
        mb / once);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*make)(struct str *s, size_t bytes, struct rng *rng);
    } kind[] = {{"many operations", many_ops}, {"hex constants", hex_constants}, {"nested lists", nested_lists}};
    size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 100) * 1000000;
    tsr_ctx *c = tsr_open(NULL);
    for (size_t i = 0; argc < 3 && i < sizeof kind / sizeof *kind; i++) {
        struct rng rng = {.seed = 1};
        struct str s;
        str_init(&s, c);
        kind[i].make(&s, bytes, &rng);
        if (!s.failed) measure(kind[i].name, s.s, s.n);
        str_release(&s);
    }
    struct file_map f;
    if (argc > 2 && file_map(c, argv[2], &f) == TSR_OK) measure(argv[2], (const char *)f.p, f.n), file_unmap(&f);
    if (err_any(c)) fprintf(stderr, "%s\n", tsr_error_message(c));
    tsr_close(c);
    return 0;
}
