/* fault.c: which launch it was that failed. */
#include <string.h>

#include "base/mem.h"
#include "base/sys.h"
#include "device/cuda/cuda.h"

bool cuda_is_fatal(int error) {
    switch (error) {
    case 214: case 220: case 226:                      /* memory, link errors */
    case 700: case 702: case 709: case 710:            /* address, time out, context gone, assertion */
    case 714: case 715: case 716: case 717: case 718: case 719: /* stack, instruction, alignment, space, pc, launch */
    case 999: return true;                             /* unknown */
    default: return false;
    }
}

/* ---- marks ---- */

static int write_mark(struct cuda *g, enum cuda_mark which, uint32_t value) {
    return g->drv.stream_write(g->stream, (uint32_t *)g->fault.mark_on_device + which, value, 0);
}

static bool try_marks(struct cuda *g) {
    const uint32_t value = 0x5eed;
    if (!g->drv.stream_write || write_mark(g, MARK_LAUNCH, value) || g->drv.stream_sync(g->stream)) return false;
    bool ok = g->fault.mark[MARK_LAUNCH] == value;
    return ok && !write_mark(g, MARK_LAUNCH, 0) && !g->drv.stream_sync(g->stream);
}

static bool try_recorded_marks(struct cuda *g) {
    void *graph = NULL;
    if (!g->fault.marks || !g->drv.capture_begin || !g->drv.capture_end || !g->drv.graph_destroy) return false;
    if (g->drv.capture_begin(g->stream, CUDA_CAPTURE_RELAXED)) return false;
    bool ok = write_mark(g, MARK_REPLAY, 0) == 0;
    ok = g->drv.capture_end(g->stream, &graph) == 0 && ok;
    if (graph) g->drv.graph_destroy(graph);
    return ok;
}

tsr_status cuda_fault_open(struct cuda *g) {
    struct cuda_fault *f = &g->fault;
    void *p = NULL;
    if (!(f->recent = mem_array(g->d.c, CUDA_RECENT, sizeof *f->recent))) return TSR_ENOMEM;
    int e = g->drv.host_alloc(&p, MARKS * sizeof *f->mark, CUDA_HOST_MAPPED);
    if (e) return cuda_error(g, e, "pinned memory");
    f->mark = p;
    memset(p, 0, MARKS * sizeof *f->mark);
    if ((e = g->drv.host_on_device(&f->mark_on_device, p, 0))) return cuda_error(g, e, "mapped memory");
    f->marks = try_marks(g);
    f->marks_recorded = try_recorded_marks(g);
    g->sync_each = !f->marks && env_int("TSR_CHECK") > 0;
    return TSR_OK;
}

void cuda_fault_close(struct cuda *g) {
    if (g->fault.mark) g->drv.host_free((void *)(uintptr_t)g->fault.mark);
    mem_array_free(g->d.c, g->fault.recent, CUDA_RECENT, sizeof *g->fault.recent);
}

/* ---- notes ---- */

static void copy_text(char *out, size_t room, const char *from) {
    size_t n = from ? strnlen(from, room - 1) : 0;
    memcpy(out, from ? from : "", n);
    out[n] = 0;
}

void cuda_note_launch(struct cuda *g, const char *kernel, const int64_t grid[3], int n, const struct launch_arg *arg,
    struct cuda_note *out) {
    const struct device_task *t = &g->d.task;
    copy_text(out->kernel, sizeof out->kernel, kernel);
    copy_text(out->label, sizeof out->label, t->label);
    copy_text(out->plan, sizeof out->plan, t->plan);
    out->step = t->step, out->node = t->node, out->replay = NULL, out->nbuf = 0;
    for (int i = 0; i < 3; i++) out->grid[i] = grid ? grid[i] : 0;
    for (int i = 0; i < n && out->nbuf < NOTE_BUFFERS; i++)
        if (arg[i].is_buf) out->bytes[out->nbuf++] = arg[i].bytes;
}

static tsr_status note_recorded(struct cuda *g, const struct cuda_note *note) {
    struct cuda_recording *r = g->recording;
    if (!vec_push(g->d.c, &r->note, *note)) return TSR_ENOMEM;
    return g->fault.marks_recorded && write_mark(g, MARK_REPLAY, (uint32_t)r->note.n) ? TSR_EUNSUPPORTED : TSR_OK;
}

/* A recording begins: none of its launches is done. */
void cuda_mark_recording(struct cuda *g) {
    if (g->fault.marks_recorded) write_mark(g, MARK_REPLAY, 0);
}

tsr_status cuda_launched(struct cuda *g, const struct cuda_note *note) {
    struct cuda_fault *f = &g->fault;
    if (g->recording) return note_recorded(g, note);
    uint32_t number = ++f->launched;
    f->recent[number % CUDA_RECENT] = *note;
    int e = f->marks ? write_mark(g, MARK_LAUNCH, number) : 0;
    if (!e && g->sync_each) e = g->drv.stream_sync(g->stream);
    return e ? cuda_error(g, e, "launch of kernel %s (%s)", note->kernel, note->label) : TSR_OK;
}

/* ---- the fault ---- */

static int describe(char *out, size_t room, const struct cuda_note *n) {
    int at = snprintf(out, room, "kernel %s", n->kernel);
    if (*n->plan) at += snprintf(out + at, room - (size_t)at, ", step %d (%s) of plan %s, graph node %llu", n->step,
        n->label, n->plan, (unsigned long long)n->node);
    at += snprintf(out + at, room - (size_t)at, ", grid %lld x %lld x %lld", (long long)n->grid[0],
        (long long)n->grid[1], (long long)n->grid[2]);
    for (int i = 0; i < n->nbuf; i++)
        at += snprintf(out + at, room - (size_t)at, "%s%zu", i ? ", " : ", buffers of ", n->bytes[i]);
    if (n->nbuf) at += snprintf(out + at, room - (size_t)at, " bytes");
    return at;
}

/* The launch that failed, in words. */
static void name_culprit(const struct cuda_fault *f, char *out, size_t room) {
    uint32_t done = f->mark[MARK_LAUNCH], inside = f->mark[MARK_REPLAY];
    const struct cuda_note *last = &f->recent[f->launched % CUDA_RECENT], *n = &f->recent[(done + 1) % CUDA_RECENT];
    if (!f->launched) snprintf(out, room, "nothing was launched");
    else if (!f->marks) {
        int at = snprintf(out, room, "the latest launch was ");
        if (!last->replay) at += describe(out + at, room - (size_t)at, last);
        snprintf(out + at, room - (size_t)at, "%s; TSR_CHECK=1 names the one that failed",
            last->replay ? "a replay" : "");
    } else if (done == f->launched) snprintf(out, room, "no kernel: all that were launched had ended");
    else if (f->launched - done > CUDA_RECENT)
        snprintf(out, room, "a kernel launched %u launches ago", f->launched - done);
    else if (!n->replay) describe(out, room, n);
    else if (!f->marks_recorded || inside >= n->replay->note.n)
        snprintf(out, room, "one of %zu kernels of a replay; TSR_CHECK=1 replays nothing", n->replay->note.n);
    else describe(out, room, &n->replay->note.v[inside]);
}

void cuda_die(struct cuda *g, int error, const char *doing) {
    struct cuda_fault *f = &g->fault;
    char text[CUDA_WHY], culprit[640];
    if (f->dead) return;
    name_culprit(f, culprit, sizeof culprit);
    f->dead = true;
    f->status = TSR_EIO;
    snprintf(f->why, sizeof f->why,
        "device %s:%d failed (seen at %s): %.180s: %.480s. Its memory is lost: close the context. "
        "TSR_DEVICE=cpu TSR_CHECK=1 checks every address", g->d.ops->name, g->device, doing,
        cuda_error_text(&g->drv, error, text), culprit);
    log_line(1, "%s", f->why);
}
