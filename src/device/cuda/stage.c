/* stage.c: copies between the host and the device, through pinned memory.
 *
 * The driver copies at full speed, and beside the host, only from and to memory that is pinned. So there are two pairs
 * of pinned halves: one pair for each direction. A copy in is done, for the caller, when its bytes are in a half; a
 * half is used again when the driver has copied it on, so a long copy fills one half while the other travels, and many
 * small ones share a half without waiting. A copy out empties one half while the other fills. */
#include <string.h>

#include "device/cuda/cuda.h"

static tsr_status stage_open(struct cuda *g, struct cuda_stage *s) {
    int e = 0;
    for (int i = 0; i < 2 && !e; i++) {
        void *p = NULL;
        if (!s->half[i] && !(e = g->drv.host_alloc(&p, STAGE_HALF, 0))) s->half[i] = p;
        if (!e && !s->event[i]) e = g->drv.event_create(&s->event[i], CUDA_EVENT_UNTIMED);
    }
    return e ? cuda_error(g, e, "%d bytes of pinned memory", STAGE_HALF) : TSR_OK;
}

void cuda_stage_close(struct cuda *g, struct cuda_stage *s) {
    for (int i = 0; i < 2; i++) {
        if (s->event[i]) g->drv.event_destroy(s->event[i]);
        if (s->half[i]) g->drv.host_free(s->half[i]);
    }
}

/* The half is full: the other one, once the driver has copied it. */
static int turn(struct cuda *g, struct cuda_stage *s) {
    int e = g->drv.event_record(s->event[s->now], g->stream);
    s->now = !s->now, s->used = 0;
    return e ? e : g->drv.event_sync(s->event[s->now]);
}

tsr_status cuda_copy_in(struct device *d, void *mem, const void *host, size_t bytes) {
    struct cuda *g = (struct cuda *)d;
    struct cuda_stage *s = &g->in;
    tsr_status st = cuda_enter(g);
    if (!bytes || st || (st = stage_open(g, s))) return st;
    for (size_t done = 0; done < bytes;) {
        int e = s->used >= STAGE_HALF ? turn(g, s) : 0;
        size_t n = STAGE_HALF - s->used < bytes - done ? STAGE_HALF - s->used : bytes - done;
        if (!e) {
            memcpy(s->half[s->now] + s->used, (const uint8_t *)host + done, n);
            e = g->drv.copy_in((uint8_t *)mem + done, s->half[s->now] + s->used, n, g->stream);
        }
        if (e) return cuda_error(g, e, "a copy of %zu bytes to the device", bytes);
        s->used += (n + 63) & ~(size_t)63;
        done += n;
    }
    return TSR_OK;
}

static size_t part_at(size_t bytes, size_t at) { return bytes - at < STAGE_HALF ? bytes - at : STAGE_HALF; }

tsr_status cuda_copy_out(struct device *d, void *host, const void *mem, size_t bytes) {
    struct cuda *g = (struct cuda *)d;
    struct cuda_stage *s = &g->out;
    tsr_status st = cuda_enter(g);
    if (!bytes || st || (st = stage_open(g, s))) return st;
    size_t sent = 0, got = 0;
    for (int into = 0, from = 0; got < bytes;) {
        int e = 0;
        if (sent < bytes && sent - got <= STAGE_HALF) { /* a half is free */
            size_t n = part_at(bytes, sent);
            e = g->drv.copy_out(s->half[into], (uint8_t *)(uintptr_t)mem + sent, n, g->stream);
            if (!e) e = g->drv.event_record(s->event[into], g->stream);
            into = !into, sent += n;
        } else if (!(e = g->drv.event_sync(s->event[from]))) {
            memcpy((uint8_t *)host + got, s->half[from], part_at(bytes, got));
            from = !from, got += part_at(bytes, got);
        }
        if (e) return cuda_error(g, e, "a copy of %zu bytes from the device", bytes);
    }
    return TSR_OK;
}

tsr_status cuda_copy(struct device *d, void *dst, const void *src, size_t bytes) {
    struct cuda *g = (struct cuda *)d;
    tsr_status s = cuda_enter(g);
    int e = !bytes || s ? 0 : g->drv.copy(dst, (void *)(uintptr_t)src, bytes, g->stream);
    return e ? cuda_error(g, e, "a copy of %zu bytes on the device", bytes) : s;
}
