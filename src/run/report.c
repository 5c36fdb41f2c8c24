/* report.c: what a plan amounts to: counts, bytes, arena, and its text. */
#include "run/runner.h"

static void add_plan(const tsr_plan *p, const struct plan_binding *b, tsr_plan_info *out) {
    for (size_t i = 0; i < p->step.n; i++) {
        const struct plan_step *s = &p->step.v[i];
        if (s->kind == STEP_KERNEL) out->kernels++;
        else if (s->kind == STEP_LIB) out->library_calls++;
        else out->other_steps++;
        out->bytes_moved += b->step[i].bytes_moved;
        out->flops += b->step[i].flops;
    }
}

tsr_status tsr_plan_measure(tsr_ctx *c, tsr_fn *f, tsr_plan_info *out) {
    struct runner *r = fn_missing(c, f, "plan") ? NULL : runner_of(c);
    tsr_plan *p = r ? runner_plan(r, f) : NULL;
    struct plan_binding *b = p ? exec_bind(r, p, 0, NULL) : NULL;
    *out = (tsr_plan_info){0};
    if (!b) return tsr_error_status(c);
    add_plan(p, b, out);
    out->arena_bytes = b->arena_bytes;
    out->arena_bound = b->arena_peak;
    return TSR_OK;
}

void report_sizes(struct str *s, struct runner *r, const tsr_plan *p) {
    struct plan_binding *b = !r || p->symbol.n ? NULL : exec_bind(r, (tsr_plan *)(uintptr_t)p, 0, NULL);
    tsr_plan_info info = {0};
    if (!b) return;
    add_plan(p, b, &info);
    str_printf(s, "kernels %d, library calls %d, other steps %d, ", info.kernels, info.library_calls, info.other_steps);
    str_printf(s, "bytes moved %.0f, operations %.0f, ", info.bytes_moved, info.flops);
    str_printf(s, "arena %zu bytes (bound %zu)\n", b->arena_bytes, b->arena_peak);
}

char *tsr_plan_text(tsr_ctx *c, tsr_fn *f) {
    struct runner *r = fn_missing(c, f, "plan") ? NULL : runner_of(c);
    tsr_plan *p = r ? runner_plan(r, f) : NULL;
    struct str s;
    if (!p) return NULL;
    str_init(&s, c);
    plan_print(&s, p);
    report_sizes(&s, r, p);
    char *text = s.failed ? NULL : mem_strdup(c, s.s);
    str_release(&s);
    return text;
}
