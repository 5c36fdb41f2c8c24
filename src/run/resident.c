/* resident.c: where bytes lie: on the device, in host memory, or in both.
 *
 * On a device that computes in host memory all of this is nothing. Elsewhere: results stay on the device until somebody
 * reads them. Host memory that a plan wants (a parameter, a literal) is copied to the device the first time, and the
 * copy, its mirror, stays with the buffer and ends with it: weights go over once. Values do not change, so a mirror is
 * never out of date. Views use the mirror of the buffer whose bytes they share. */
#include <string.h>

#include "device/memory.h"
#include "run/runner.h"

static void drop_mirror(tsr_buf *b) { device_free(device_of(b->c), b->mirror, b->bytes); }

static tsr_status make_mirror(struct runner *r, tsr_buf *b) {
    void *p = device_alloc(r->d, b->bytes);
    if (!p) return TSR_ENOMEM;
    tsr_status s = b->bytes ? r->d->ops->copy_in(r->d, p, b->p, b->bytes) : TSR_OK;
    if (s) device_free(r->d, p, b->bytes);
    else b->mirror = p, b->drop_mirror = drop_mirror;
    return s;
}

tsr_status resident_at(struct runner *r, tsr_buf *b, void **at) {
    tsr_buf *root = b;
    *at = b->p;
    if (r->d->host_memory || b->device) return TSR_OK;
    while (root->root) root = root->root;
    if (!root->mirror) {
        tsr_status s = make_mirror(r, root);
        if (s) return s;
    }
    *at = (uint8_t *)root->mirror + ((uint8_t *)b->p - (uint8_t *)root->p);
    return TSR_OK;
}

static void release_device(tsr_buf *b) { device_free(b->device, b->p, b->bytes); }

tsr_buf *resident_new(struct runner *r, size_t bytes) {
    if (r->d->host_memory) return tsr_buf_new(r->c, bytes);
    tsr_buf *b = mem_new(r->c, tsr_buf);
    if (!b) return NULL;
    *b = (tsr_buf){.refs = 1, .c = r->c, .bytes = bytes ? bytes : 1, .device = r->d, .release = release_device};
    if ((b->p = device_alloc(r->d, b->bytes))) return b;
    mem_del(r->c, b);
    return NULL;
}

static tsr_status copy_to_host(struct device *d, void *at, size_t bytes, struct arena *mem, void **host) {
    if (!(*host = arena_alloc(mem, bytes + 1))) return TSR_ENOMEM;
    return bytes ? d->ops->copy_out(d, *host, at, bytes) : TSR_OK;
}

tsr_status resident_host(struct runner *r, void *at, size_t bytes, struct arena *mem, void **host) {
    *host = at;
    return r->d->host_memory ? TSR_OK : copy_to_host(r->d, at, bytes, mem, host);
}

tsr_status resident_host_buf(const tsr_buf *b, size_t bytes, struct arena *mem, void **host) {
    *host = b->p;
    return b->device ? copy_to_host(b->device, b->p, bytes, mem, host) : TSR_OK;
}
