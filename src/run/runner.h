/* runner.h: the run room's state: the device, the kernel cache, the plan cache, counts, the trace.
 *
 * Kernels are cached by their program (its structure), plans by the structure of their fn. Both caches
 * live as long as the context; the plan cache is emptied when it holds PLAN_CACHE_MAX plans, so a program
 * that never repeats a graph stays bounded. */
#ifndef RUN_RUNNER_H
#define RUN_RUNNER_H

#include "base/sys.h"
#include "compile/plan.h"
#include "device/device.h"
#include "tessera/run.h"

enum { PLAN_CACHE_MAX = 4096 };

struct kernel {
    tsr_tile *program; /* counted */
    void *handle;      /* the device's */
};
struct trace_event { char name[64]; double start, seconds, bytes; };
struct runner {
    tsr_ctx *c;
    struct device *d;
    struct map kernels, plans;
    tsr_run_stats stats;
    bool timed; /* TSR_DEBUG >= 2 or TSR_PROFILE: each step is timed */
    bool nan;   /* TSR_NAN */
    int check;  /* TSR_CHECK */
    VEC(struct trace_event) trace;
};
struct runner *runner_of(tsr_ctx *c); /* opens the device at first use; NULL: error recorded */
/* The device's kernel for a program, made at first sight. NULL: error recorded. */
void *runner_kernel(struct runner *r, const tsr_tile *program);
/* The plan of f, compiled at first sight; the cache holds the reference. */
tsr_plan *runner_plan(struct runner *r, const tsr_fn *f);
tsr_plan *runner_find_plan(struct runner *r, uint64_t hash); /* NULL when absent; counts a hit */
bool runner_put_plan(struct runner *r, uint64_t hash, tsr_plan *p); /* takes a reference of its own */

/* Waits until every kernel is as fast as it will be: for measuring, and for tests of the compiled tier. */
tsr_status runner_settle(tsr_ctx *c);

/* exec.c: running a plan. */
struct watch;
/* The plan bound to these symbols (a recent binding is reused). NULL: error recorded. */
struct plan_binding *exec_bind(struct runner *r, tsr_plan *p, int n, const tsr_binding *b);
/* Run p. param (param.n): memory of each parameter; result (result.n): where each result goes, or NULL for one that is
 * not fresh (a parameter, a literal, another result): the caller shares it. watch may be NULL. */
tsr_status exec_run(struct runner *r, tsr_plan *p, struct plan_binding *b, void *const *param, void *const *result,
    struct watch *watch);
/* Where the plan's slots lie, during a run of the context's participant or right after it: (slot.n). */
void *const *exec_slots(struct runner *r, tsr_plan *p);
bool exec_result_is_fresh(const tsr_plan *p, int i); /* result i needs memory of its own; else it shares some */

/* resident.c: where bytes lie. */
/* What the device calls the buffer's memory; host memory that it does not see is copied there once. */
tsr_status resident_at(struct runner *r, tsr_buf *b, void **at);
tsr_buf *resident_new(struct runner *r, size_t bytes); /* memory of the device */
/* The device's bytes for the host to read: they themselves, or a copy in mem. */
tsr_status resident_host(struct runner *r, void *at, size_t bytes, struct arena *mem, void **host);
/* The same of a value's bytes. */
tsr_status resident_host_buf(const tsr_buf *b, size_t bytes, struct arena *mem, void **host);

/* replay.c: what the device has recorded of a plan. */
enum { REPLAYS = 8 }; /* keys remembered for each plan */
struct replay_part { size_t from, to; bool able; }; /* steps; able: the device may record them */
struct replay_recording {
    void *handle;         /* the device's; NULL: none */
    uint64_t launches;    /* what a replay amounts to */
    double bytes_moved, flops;
};
struct replay_entry {
    const struct plan_binding *binding; /* NULL: empty */
    void **key;           /* (words) addresses of slots, then of results */
    struct replay_recording *recording; /* (part.n) */
    uint64_t used;
};
struct replay {
    struct runner *r;
    bool able;            /* device and modes allow it, and some part */
    size_t slots, words, steps;
    VEC(struct replay_part) part;
    uint64_t clock;
    struct replay_entry entry[REPLAYS];
};
typedef tsr_status replay_steps(void *arg, size_t from, size_t to);
bool replay_init(struct replay *k, struct runner *r, const tsr_plan *p); /* false: no memory, recorded */
void replay_release(struct replay *k);
void replay_drop(struct replay *k, const struct plan_binding *b); /* what was recorded under b; NULL: all */
/* Does what steps(arg) does from the first step to the last, or replays parts of it: at (slot.n), result (result.n):
 * all that it depends on beside b. */
tsr_status replay_run(struct replay *k, const struct plan_binding *b, void *const *at, void *const *result,
    replay_steps *steps, void *arg);

/* control.c: steps that run sub-plans. */
tsr_status exec_control(struct runner *r, tsr_plan *p, struct plan_binding *b, int step);

/* check.c: TSR_NAN and TSR_CHECK=2. A watch holds the reference values of the fn's nodes. */
tsr_status check_nan(struct runner *r, tsr_plan *p, const struct plan_binding *b, int step);
tsr_status watch_open(struct runner *r, tsr_plan *p, const struct plan_binding *b, void *const *param,
    struct watch **out);
tsr_status watch_step(struct watch *w, int step);
void watch_close(struct watch *w);

/* report.c: one line: kernels, bytes, arena; nothing where the plan has symbols. */
void report_sizes(struct str *s, struct runner *r, const tsr_plan *p);

/* trace.c */
void trace_step(struct runner *r, const tsr_plan *p, int step, const struct step_binding *b, double start,
    double seconds);
void trace_write(struct runner *r);

/* jit.c: run a plan at top level on buffers under the binding of its symbols; out[i] receive references to buffers. */
tsr_status run_plan(struct runner *r, tsr_plan *p, int n, const tsr_binding *b, tsr_buf *const *param, tsr_buf **out);

/* A fn run at once on values, in parts. open: arguments evaluated, sizes bound, the plan made. compute: the only part
 * that computes, and the only one that several participants are in the middle of at a time. wrap: all results become
 * nodes before (assign) any variable changes: a failure leaves every variable as it was. close: always, whatever
 * failed. */
struct run {
    tsr_ctx *c;
    tsr_fn *f;
    tsr_tier tier;
    const tsr_type **type;  /* (param.n) */
    tsr_node **arg;         /* (param.n) evaluated */
    tsr_buf **param, **out; /* (param.n), (result.n) */
    tsr_binding *b;
    int nb;
    tsr_plan *plan;         /* counted; NULL: the reference interpreter */
    tsr_node **value;       /* (assign.n) what variables become */
};
tsr_status run_open(struct run *k, int n, tsr_node *const *arg); /* c, f and tier are set, the rest zero */
tsr_status run_compute(struct run *k);
tsr_status run_wrap(struct run *k, tsr_node **out);
tsr_status run_assign(struct run *k);
void run_close(struct run *k);

#endif
