/* foreign.c: a device whose memory the host does not see, on the tile VM. */
#include "foreign.h"

#include <string.h>

#include "device/address.h"
#include "device/host_lib.h"
#include "device/memory.h"
#include "harness.h"
#include "tile/vm.h"

struct foreign {
    struct device d;
    struct address_space space;
    struct foreign_counts counts;
    int fail_in; /* launches until one fails; 0: none does */
    bool failed;
    VEC(union vm_arg) arg;
};
struct memory { size_t bytes; uint8_t data[] __attribute__((aligned(64))); };

static const struct device_ops device_foreign;

static void *place(struct foreign *f, const void *at, size_t bytes) {
    size_t offset = 0;
    struct memory *m = address_find(&f->space, at, bytes, &offset);
    CHECK_MSG(m, "handle %p with %zu bytes lies in no memory of the device", at, bytes);
    return m ? m->data + offset : NULL;
}

static void foreign_close(struct device *d) {
    struct foreign *f = (struct foreign *)d;
    CHECK_EQ(f->counts.allocs - f->counts.frees, 0);
    address_release(&f->space);
    vec_release(d->c, &f->arg);
    mem_del(d->c, f);
}

static void *foreign_alloc(struct device *d, size_t bytes) {
    struct foreign *f = (struct foreign *)d;
    struct memory *m = mem_alloc(d->c, sizeof *m + bytes);
    if (!m) return NULL;
    m->bytes = bytes;
    memset(m->data, 0xA5, bytes);
    void *at = address_add(&f->space, m, bytes);
    if (!at) mem_free(d->c, m, sizeof *m + bytes);
    else f->counts.allocs++;
    return at;
}

static void foreign_free(struct device *d, void *mem, size_t bytes) {
    struct foreign *f = (struct foreign *)d;
    struct memory *m = address_remove(&f->space, mem);
    if (!CHECK(m) || !CHECK_EQ(m->bytes, bytes)) return;
    __atomic_add_fetch(&f->counts.frees, 1, __ATOMIC_RELAXED);
    mem_free(d->c, m, sizeof *m + m->bytes);
}

static tsr_status foreign_sync(struct device *d) {
    struct foreign *f = (struct foreign *)d;
    bool failed = f->failed;
    f->failed = false;
    return failed ? err_set(d->c, TSR_EIO, "the test's launch failed") : TSR_OK;
}

static tsr_status foreign_in(struct device *d, void *mem, const void *host, size_t bytes) {
    struct foreign *f = (struct foreign *)d;
    void *p = place(f, mem, bytes);
    f->counts.copies_in++, f->counts.bytes_in += bytes;
    if (p) memcpy(p, host, bytes);
    return TSR_OK;
}

static tsr_status foreign_out(struct device *d, void *host, const void *mem, size_t bytes) {
    struct foreign *f = (struct foreign *)d;
    void *p = place(f, mem, bytes);
    f->counts.copies_out++, f->counts.bytes_out += bytes;
    if (p) memcpy(host, p, bytes);
    return foreign_sync(d);
}

static tsr_status foreign_copy(struct device *d, void *dst, const void *src, size_t bytes) {
    void *to = place((struct foreign *)d, dst, bytes), *from = place((struct foreign *)d, src, bytes);
    if (to && from) memmove(to, from, bytes);
    return TSR_OK;
}

static tsr_status foreign_compile(struct device *d, const tsr_tile *program, void **kernel) {
    *kernel = vm_compile(d->c, program);
    return *kernel ? TSR_OK : tsr_error_status(d->c);
}

static void foreign_unload(struct device *d, void *kernel) {
    (void)d;
    vm_free(kernel);
}

static tsr_status foreign_launch(struct device *d, void *kernel, const int64_t grid[3], int n,
    const struct launch_arg *arg) {
    struct foreign *f = (struct foreign *)d;
    f->counts.launches++;
    if (f->fail_in && !--f->fail_in) return f->failed = true, TSR_OK;
    if (!vec_reserve(d->c, &f->arg, (size_t)n + 1)) return TSR_ENOMEM;
    for (int i = 0; i < n; i++) {
        if (!arg[i].is_buf) memcpy(f->arg.v[i].raw, arg[i].raw, sizeof arg[i].raw);
        else if (!arg[i].bytes) f->arg.v[i].buf.p = NULL, f->arg.v[i].buf.bytes = 0;
        else f->arg.v[i].buf.p = place(f, arg[i].buf, arg[i].bytes), f->arg.v[i].buf.bytes = arg[i].bytes;
    }
    struct pool *pool = ctx_pool(d->c);
    return pool ? vm_run(d->c, kernel, grid, f->arg.v, pool) : TSR_ENOMEM;
}

static int foreign_count(tsr_ctx *c, char why[256]) {
    (void)c, (void)why;
    return 1;
}

static const struct device_ops device_foreign = {
    .name = "foreign", .close = foreign_close, .alloc = foreign_alloc, .free = foreign_free, .copy_in = foreign_in,
    .copy_out = foreign_out, .copy = foreign_copy, .compile = foreign_compile, .unload = foreign_unload,
    .launch = foreign_launch, .lib_has = host_lib_has, .lib_run = host_lib_run, .sync = foreign_sync,
    .count = foreign_count,
};

static void slot_close(tsr_ctx *c, void *state) {
    struct device *d = state;
    (void)c;
    device_memory_close(d);
    d->ops->close(d);
}

bool foreign_open(tsr_ctx *c) {
    struct foreign *f = mem_new(c, struct foreign);
    if (!f) return false;
    f->d = (struct device){.ops = &device_foreign, .c = c};
    address_init(&f->space, c);
    ctx_slot_set(c, SLOT_DEVICE, &f->d, slot_close);
    return true;
}

struct foreign_counts foreign_counts(tsr_ctx *c) {
    struct device *d = device_of(c);
    return d->ops == &device_foreign ? ((struct foreign *)d)->counts : (struct foreign_counts){0};
}
void foreign_fail_launch(tsr_ctx *c, int n) { ((struct foreign *)device_of(c))->fail_in = n; }
