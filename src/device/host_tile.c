/* host_tile.c: tile programs that a device's renderer does not claim, on the CPU.
 *
 * Buffers are copied out, the tile VM runs the program on the context's threads, buffers that it writes are copied in.
 * Two arguments that name the same memory share one copy. So every program runs on every device; what is hot deserves
 * to be claimed. */
#include "device/host_tile.h"

#include <string.h>

#include "base/mem.h"

/* An earlier argument with the same memory, or i itself. */
static int first_of(const struct launch_arg *arg, int i) {
    for (int j = 0; j < i; j++)
        if (arg[j].is_buf && arg[j].buf == arg[i].buf) return j;
    return i;
}

static size_t shared_bytes(const struct launch_arg *arg, int n, int i) {
    size_t most = 0;
    for (int j = i; j < n; j++)
        if (arg[j].is_buf && arg[j].buf == arg[i].buf && arg[j].bytes > most) most = arg[j].bytes;
    return most;
}

static tsr_status to_host(struct device *d, int n, const struct launch_arg *arg, union vm_arg *v) {
    for (int i = 0; i < n; i++) {
        if (!arg[i].is_buf) {
            memcpy(v[i].raw, arg[i].raw, sizeof arg[i].raw);
            continue;
        }
        int first = first_of(arg, i);
        v[i].buf.bytes = arg[i].bytes;
        if (first < i) {
            v[i].buf.p = v[first].buf.p;
            continue;
        }
        size_t bytes = shared_bytes(arg, n, i);
        if (!(v[i].buf.p = mem_alloc(d->c, bytes))) return TSR_ENOMEM;
        tsr_status s = bytes ? d->ops->copy_out(d, v[i].buf.p, arg[i].buf, bytes) : TSR_OK;
        if (s) return s;
    }
    return TSR_OK;
}

tsr_status host_tile_run(struct device *d, const struct vm_code *code, const tsr_tile *program, const int64_t grid[3],
    int n, const struct launch_arg *arg) {
    union vm_arg *v = mem_array(d->c, (size_t)n + 1, sizeof *v);
    struct pool *pool = ctx_pool(d->c);
    tsr_status s = v && pool ? to_host(d, n, arg, v) : TSR_ENOMEM;
    d->unclaimed++;
    if (!s) s = vm_run(d->c, code, grid, v, pool);
    for (int i = 0; i < n && !s; i++)
        if (arg[i].is_buf && arg[i].bytes && tsr_tile_arg_at(program, i).access != TSR_TILE_IN)
            s = d->ops->copy_in(d, arg[i].buf, v[i].buf.p, arg[i].bytes);
    for (int i = 0; v && i < n; i++)
        if (arg[i].is_buf && v[i].buf.p && first_of(arg, i) == i) mem_free(d->c, v[i].buf.p, shared_bytes(arg, n, i));
    mem_array_free(d->c, v, (size_t)n + 1, sizeof *v);
    return s;
}
