/* record.c: recordings: what the stream was given, captured as the driver's graph and launched again whole.
 *
 * Kernels and copies of a recording keep their addresses and arguments. While it is made, other threads that give back
 * memory wait. A driver that cannot record something says so at the end; the recording is then given up, without an
 * error. */
#include "base/mem.h"
#include "device/cuda/cuda.h"

static void recording_free(struct cuda *g, struct cuda_recording *r) {
    if (!r) return;
    if (r->executable) g->drv.graph_unmake(r->executable);
    cuda_scratch_put(g, r->scratch);
    vec_release(g->d.c, &r->note);
    mem_del(g->d.c, r);
}

static bool can_record(const struct cuda *g) {
    const struct cuda_driver *v = &g->drv;
    return v->capture_begin && v->capture_end && v->graph_make && v->graph_launch && v->graph_unmake &&
        v->graph_destroy && !g->sync_each;
}

tsr_status cuda_record_begin(struct device *d) {
    struct cuda *g = (struct cuda *)d;
    tsr_status s = cuda_enter(g);
    if (s || !can_record(g)) return s ? s : TSR_EUNSUPPORTED;
    struct cuda_recording *r = mem_new(d->c, struct cuda_recording);
    if (!r) return TSR_ENOMEM;
    pthread_mutex_lock(&g->lock);
    if (g->drv.capture_begin(g->stream, CUDA_CAPTURE_RELAXED)) {
        pthread_mutex_unlock(&g->lock);
        mem_del(d->c, r);
        return TSR_EUNSUPPORTED;
    }
    g->recording = r, g->recorder = pthread_self();
    cuda_mark_recording(g);
    return TSR_OK;
}

tsr_status cuda_record_end(struct device *d, void **recording) {
    struct cuda *g = (struct cuda *)d;
    struct cuda_recording *r = g->recording;
    void *graph = NULL;
    *recording = NULL;
    int e = g->drv.capture_end(g->stream, &graph);
    g->recording = NULL;
    pthread_mutex_unlock(&g->lock);
    if (!e && graph) e = g->drv.graph_make(&r->executable, graph, 0);
    if (graph) g->drv.graph_destroy(graph);
    if (!e && r->executable) return *recording = r, TSR_OK;
    recording_free(g, r);
    return cuda_is_fatal(e) ? cuda_error(g, e, "recording") : TSR_EUNSUPPORTED;
}

tsr_status cuda_replay(struct device *d, void *recording) {
    struct cuda *g = (struct cuda *)d;
    struct cuda_recording *r = recording;
    struct cuda_note note;
    tsr_status s = cuda_enter(g);
    if (s) return s;
    int e = g->drv.graph_launch(r->executable, g->stream);
    if (e) return cuda_error(g, e, "a replay of %zu kernels", r->note.n);
    cuda_note_launch(g, "(a replay)", NULL, 0, NULL, &note);
    note.replay = r;
    return cuda_launched(g, &note);
}

void cuda_forget(struct device *d, void *recording) {
    struct cuda *g = (struct cuda *)d;
    /* a replay may be under way: a fault in it is to be named while its notes are there */
    if (!g->fault.dead && !g->drv.context_use(g->context)) {
        int e = g->drv.stream_sync(g->stream);
        if (e && cuda_is_fatal(e)) cuda_die(g, e, "forgetting a recording");
    }
    recording_free(g, recording);
}
