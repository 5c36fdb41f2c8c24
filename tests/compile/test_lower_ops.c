/* test_lower_ops.c: every op of the list, in every dtype it admits, goes through the compiler into programs that check. */
#include <stdio.h>

#include "harness.h"
#include "compile/plan.h"
#include "graph/sample.h"

TEST(every_op_lowers) {
    int cases = 0;
    for (int op = 0; op < TSR_OP_COUNT; op++) {
        const struct op_def *d = op_def((enum tsr_op)op);
        if (!d || !d->sample) continue;
        for (int t = 0; t < TSR_Q8_0; t++) {
            static const char letter[] = {'f', 'i', 'u', 'b', 'c'};
            if (!strchr(d->domain, letter[tsr_dtype_of((tsr_dtype)t)->kind])) continue;
            for (int size = 0; size < 3; size++) for (int rep = 0; rep < 4; rep++) {
                tsr_ctx *c = test_ctx();
                struct sample s;
                sample_init(&s, (tsr_dtype)t, test_rng(), size);
                tsr_fn *f = d->sample(c, &s);
                if (!f) { tsr_error_clear(c); test_ctx_close(c); continue; }
                test_case("%s %s size %d", d->name, tsr_dtype_name((tsr_dtype)t), size);
                struct compile_opts o = {.fuse = true, .check = 1};
                tsr_plan *p = compile_fn(c, f, &o);
                CHECK_OK(c);
                cases++;
                if (p) plan_free(p);
                tsr_fn_free(c, f);
                test_ctx_close(c);
            }
        }
    }
    printf("%d cases\n", cases);
}
