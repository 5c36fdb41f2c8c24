/* trace.c: what each step took: lines at TSR_DEBUG=2, and a Chrome trace (about:tracing, Perfetto) for TSR_PROFILE.
 *
 * Rates are of the plan's own estimate of bytes and operations. The trace is written when the context closes: the
 * format is the Trace Event Format's array of complete events ("ph": "X"), times in microseconds. */
#include <stdio.h>
#include <string.h>

#include "run/runner.h"

enum { EVENTS = 1 << 20 }; /* most events kept; later ones are dropped */

void trace_step(struct runner *r, const tsr_plan *p, int step, const struct step_binding *b, double start,
    double seconds) {
    const struct plan_step *s = &p->step.v[step];
    log_line(2, "%-24s %-40s %10.1f us %8.2f GB/s %8.2f GFLOP/s", p->name, s->label, seconds * 1e6,
        b->bytes_moved / seconds * 1e-9,
             b->flops / seconds * 1e-9);
    if (!*env_str("TSR_PROFILE") || r->trace.n >= EVENTS) return;
    struct trace_event e = {.start = start, .seconds = seconds, .bytes = b->bytes_moved};
    snprintf(e.name, sizeof e.name, "%s", s->label);
    (void)vec_push(r->c, &r->trace, e);
}

/* Failures to write are reported to the log only: the context is closing. */
void trace_write(struct runner *r) {
    const char *path = env_str("TSR_PROFILE");
    struct file_out o;
    struct str s;
    if (!*path || !r->trace.n) return;
    str_init(&s, r->c);
    str_put(&s, "[\n");
    for (size_t i = 0; i < r->trace.n; i++) {
        const struct trace_event *e = &r->trace.v[i];
        str_put(&s, i ? ",\n{\"name\":" : "{\"name\":");
        str_json(&s, e->name);
        str_printf(&s, ",\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":%.3f,\"dur\":%.3f,\"args\":{\"bytes\":%.0f}}",
            e->start * 1e6, e->seconds * 1e6, e->bytes);
    }
    str_put(&s, "\n]\n");
    bool ok = !s.failed && !file_out_open(r->c, path, &o) && !file_out_write(&o, s.s, s.n) && !file_out_commit(&o);
    if (!ok) log_line(0, "TSR_PROFILE: could not write %s", path);
    str_release(&s);
}
