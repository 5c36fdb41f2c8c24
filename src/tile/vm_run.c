/* vm_run.c: launches: frames for the workers, the grid over the pool, the loop that executes steps.
 *
 * Every worker has a frame of its own; frames are kept on a list in the code between launches, the memory they compute
 * in is lent to them for a launch (vm_room.c). A frame runs the
 * prologue (what depends on arguments alone) once a launch, then the body for each of its instances. Which worker runs
 * which instance is the pool's choice and cannot be seen in the results: frames start every instance alike. */
#include "tile/vm_code.h"

#include <string.h>

static void init_slots(struct vm_frame *f, const struct vm_code *k) {
    f->scratch = f->memory + k->registers;
    for (size_t i = 0; i < k->start.n; i++) {
        const struct vm_start *s = &k->start.v[i];
        f->slot[s->slot] = s->value;
        if (s->is_register) f->slot[s->slot].p = f->memory + s->value.i;
    }
}

struct vm_frame *vm_frame_new(tsr_ctx *c, const struct vm_code *k) {
    char *block = mem_alloc(c, k->frame_bytes);
    if (!block) return NULL;
    struct vm_frame *f = (struct vm_frame *)(void *)block;
    *f = (struct vm_frame){0};
    size_t head = (sizeof *f + 63) & ~(size_t)63, slots = ((size_t)k->slots * sizeof(union vm_slot) + 63) & ~(size_t)63;
    f->slot = (union vm_slot *)(void *)(block + head);
    f->matrix = (struct vm_matrix *)(void *)(block + head + slots);
    f->ahead = (struct vm_ahead *)(void *)(f->matrix + k->matrices);
    memset(f->slot, 0, slots);
    memset(f->ahead, 0, (size_t)k->aheads * sizeof *f->ahead);
    return f;
}

static struct vm_frame *take_frame(struct vm_code *k) {
    pthread_mutex_lock(&k->lock);
    struct vm_frame *f = k->idle;
    if (f) k->idle = f->next;
    pthread_mutex_unlock(&k->lock);
    return f;
}

void vm_frame_give(struct vm_code *k, struct vm_frame *f) {
    pthread_mutex_lock(&k->lock);
    f->next = k->idle;
    k->idle = f;
    pthread_mutex_unlock(&k->lock);
}

/* A frame that can compute; NULL: no memory. */
static struct vm_frame *ready_frame(tsr_ctx *c, struct vm_code *k) {
    struct vm_frame *f = take_frame(k);
    if (!f && !(f = vm_frame_new(c, k))) return NULL;
    if (vm_room_take(k->c, f)) return f->started = false, f;
    vm_frame_give(k, f);
    return NULL;
}

/* false: a step refused (an address out of range) and has recorded why. */
static bool execute(struct vm_frame *f, const struct vm_step *s) {
    while (s->run) {
        int go = s->run(f, s);
        if (go == VM_STOP) return false;
        s += go;
    }
    return true;
}

static void start_frame(struct vm_frame *f, const struct vm_job *j) {
    const tsr_tile *p = j->code->program;
    f->job = j;
    init_slots(f, j->code);
    for (size_t i = 0; i < p->arg.n; i++) {
        tsr_tv v = p->arg.v[i].value;
        if (tile_type_of(p, v)->buf) f->slot[v].p = j->args[i].buf.p;
        else memcpy(f->slot[v].raw, j->args[i].raw, vm_size(tile_type_of(p, v)->dtype));
    }
    f->started = execute(f, j->code->step.v);
}

/* pid values live in the three slots after those of the program's values. */
static void set_pids(const struct vm_job *j, union vm_slot *pid, int64_t i) {
    pid[0].i = i % j->grid[0];
    pid[1].i = i / j->grid[0] % j->grid[1];
    pid[2].i = i / j->grid[0] / j->grid[1];
}

static void next_pids(const struct vm_job *j, union vm_slot *pid) {
    if (++pid[0].i < j->grid[0]) return;
    pid[0].i = 0;
    if (++pid[1].i < j->grid[1]) return;
    pid[1].i = 0;
    pid[2].i++;
}

static void run_chunk(void *arg, int64_t chunk, int worker) {
    struct vm_job *j = arg;
    struct vm_frame *f = j->frame[worker];
    int64_t end = (chunk + 1) * j->chunk < j->total ? (chunk + 1) * j->chunk : j->total;
    if (atomic_load_explicit(&j->failed, memory_order_relaxed)) return;
    if (!f->started) start_frame(f, j);
    bool ok = f->started;
    union vm_slot *pid = f->slot + j->code->program->value.n;
    const struct vm_step *body = j->code->step.v + j->code->body;
    set_pids(j, pid, chunk * j->chunk);
    for (int64_t i = chunk * j->chunk; i < end && ok; i++, next_pids(j, pid)) ok = execute(f, body);
    if (f->streamed) vm_stream_end(), f->streamed = false;
    if (!ok) atomic_store_explicit(&j->failed, true, memory_order_relaxed);
}

/* Last first: the next launch lends a worker the room that it had. */
static void return_frames(struct vm_code *k, struct vm_job *j, int n) {
    for (int i = n - 1; i >= 0; i--) vm_room_give(k->c, j->frame[i]), vm_frame_give(k, j->frame[i]);
}

static tsr_status check_grid(tsr_ctx *c, const struct vm_code *code, const int64_t grid[3], int64_t *total) {
    int64_t n;
    if (grid[0] < 0 || grid[1] < 0 || grid[2] < 0 || !i64_mul(grid[0], grid[1], &n) || !i64_mul(n, grid[2], &n))
        return err_set(c, TSR_EINVAL,
            "tile program '%s': the grid %lld x %lld x %lld is negative or too large; "
            "each axis must be >= 0 and the product fit 63 bits",
                       code->program->name, (long long)grid[0], (long long)grid[1], (long long)grid[2]);
    *total = n;
    return TSR_OK;
}

tsr_status vm_run(tsr_ctx *c, const struct vm_code *code, const int64_t grid[3], const union vm_arg *args,
    struct pool *pool) {
    enum { MOST = 256, CHUNKS_EACH = 16 };
    /* the list of idle frames is all that changes, under its lock */
    struct vm_code *k = (struct vm_code *)(uintptr_t)code;
    struct vm_frame *frame[MOST];
    struct vm_job j = {.c = c, .code = code, .args = args, .grid = {grid[0], grid[1], grid[2]}, .frame = frame,
        .stream_from = cpu_cache_bytes() / 2};
    int threads = pool ? pool_threads(pool) : 1, have = 0;
    tsr_status s = check_grid(c, code, grid, &j.total);
    if (s != TSR_OK || j.total == 0) return s;
    if (threads > MOST) pool = NULL, threads = 1;
    for (; have < threads; have++)
        if (!(frame[have] = ready_frame(c, k))) return return_frames(k, &j, have), TSR_ENOMEM;
    atomic_init(&j.failed, false);
    j.chunk = j.total / ((int64_t)threads * CHUNKS_EACH);
    if (j.chunk < 1) j.chunk = 1;
    pool_for(pool, (j.total + j.chunk - 1) / j.chunk, run_chunk, &j);
    return_frames(k, &j, have);
    return atomic_load(&j.failed) ? TSR_ECHECK : TSR_OK;
}
