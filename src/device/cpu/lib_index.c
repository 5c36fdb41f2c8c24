/* lib_index.c: gather and scatter with StableHLO's dimension numbers.
 *
 * Both are a loop over points (the batch axes of the index tensor, row-major) and, inside, over a window. A
 * point's index vector gives where its window starts in x; the window's axes have fixed strides in x and in the
 * other tensor, so a window is an odometer over outer axes and a run along the last. gather clamps a window
 * that would leave x; scatter skips it whole.
 *
 * scatter is exact about order: updates that meet at one element apply in row-major order of the update tensor. Each
 * task owns a range of the result and walks all updates in order, touching only what it owns; so the number of tasks
 * does not matter. Where a window axis stands before a point axis in the update tensor, points are not the outer loop
 * of that order; then every element is taken by itself (scatter_ordered). 16- and 8-bit floats add up in f32 and are
 * rounded once. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "device/cpu/lib.h"
#include "tile/vmath.h"

enum { GRAIN = 1 << 14 };

struct axis { int64_t extent, xs, us; }; /* strides in x (scatter: the result) and in the gathered (update) tensor */

struct index_dims {
    int vector_axis, n_offset, n_collapsed, n_operand_batching, n_index_batching, n_map;
    const int64_t *offset, *collapsed, *operand_batching, *index_batching, *map;
};

static struct index_dims read_dims(const int64_t *p) {
    struct index_dims d = {(int)p[0], (int)p[1], (int)p[2], (int)p[3], (int)p[4], (int)p[5], p + 6, 0, 0, 0, 0};
    d.collapsed = d.offset + d.n_offset;
    d.operand_batching = d.collapsed + d.n_collapsed;
    d.index_batching = d.operand_batching + d.n_operand_batching;
    d.map = d.index_batching + d.n_index_batching;
    return d;
}

static bool contains(int n, const int64_t *list, int64_t v) {
    for (int i = 0; i < n; i++)
        if (list[i] == v) return true;
    return false;
}

static void strides_of(const struct lib_tensor *t, int64_t *s) {
    int64_t step = 1;
    for (int i = t->rank; i-- > 0; step *= t->dim[i]) s[i] = step;
}

/* A gather or scatter made plain. */
struct walk {
    const struct lib_call *k;
    const struct lib_tensor *x, *index, *u;
    int n_window, n_point, n_map;
    struct axis window[LIB_MAX_RANK]; /* in order of the update's axes */
    struct axis point[LIB_MAX_RANK];  /* xs: stride in x of a batching axis, else 0 */
    int64_t index_stride[LIB_MAX_RANK], vector_stride;
    int64_t map_stride[LIB_MAX_RANK], map_last[LIB_MAX_RANK]; /* of x; greatest start that keeps the window inside */
    int64_t points, window_size;
    bool windows_first; /* some window axis stands before some point axis */
    int bytes;
};

static void plan_walk(struct walk *w, const struct index_dims *d) {
    int64_t xs[LIB_MAX_RANK], us[LIB_MAX_RANK], is[LIB_MAX_RANK];
    strides_of(w->x, xs), strides_of(w->u, us), strides_of(w->index, is);
    int64_t size[LIB_MAX_RANK]; /* of the window along each axis of x */
    for (int a = 0; a < w->x->rank; a++) size[a] = 1;
    int axis = 0;
    for (int a = 0; a < w->u->rank; a++) {
        if (!contains(d->n_offset, d->offset, a)) continue;
        while (contains(d->n_collapsed, d->collapsed, axis) || contains(d->n_operand_batching, d->operand_batching,
            axis)) axis++;
        w->window[w->n_window++] = (struct axis){w->u->dim[a], xs[axis], us[a]};
        size[axis++] = w->u->dim[a];
    }
    int place = 0; /* axis of the index tensor */
    for (int a = 0; a < w->u->rank; a++) {
        if (contains(d->n_offset, d->offset, a)) continue;
        place += place == d->vector_axis;
        struct axis p = {w->u->dim[a], 0, us[a]};
        for (int b = 0; b < d->n_index_batching; b++)
            if (d->index_batching[b] == place) p.xs = xs[d->operand_batching[b]];
        w->index_stride[w->n_point] = is[place++];
        w->point[w->n_point++] = p;
        for (int i = 0; i < d->n_offset; i++) w->windows_first |= d->offset[i] < a;
    }
    w->vector_stride = d->vector_axis < w->index->rank ? is[d->vector_axis] : 0;
    w->n_map = d->n_map;
    for (int i = 0; i < d->n_map; i++) {
        int64_t a = d->map[i];
        w->map_stride[i] = xs[a];
        w->map_last[i] = w->x->dim[a] - size[a];
    }
    w->points = w->window_size = 1;
    for (int i = 0; i < w->n_point; i++) w->points *= w->point[i].extent;
    for (int i = 0; i < w->n_window; i++) w->window_size *= w->window[i].extent;
    w->bytes = tsr_dtype_of(w->x->dtype)->bytes;
}

/* Where point p starts in x and in u. False: outside x (clamp: never). */
static bool locate(const struct walk *w, int64_t p, bool clamp, int64_t *x_at, int64_t *u_at) {
    int64_t x = 0, u = 0, at = 0;
    for (int i = w->n_point; i-- > 0; p /= w->point[i].extent) {
        int64_t c = p % w->point[i].extent;
        x += c * w->point[i].xs, u += c * w->point[i].us, at += c * w->index_stride[i];
    }
    for (int i = 0; i < w->n_map; i++) {
        int64_t start = lib_load_index(w->index, at + i * w->vector_stride);
        if (start < 0 || start > w->map_last[i]) {
            if (!clamp) return false;
            start = start < 0 ? 0 : w->map_last[i];
        }
        x += start * w->map_stride[i];
    }
    *x_at = x, *u_at = u;
    return true;
}

/* The next outer window position; offsets move along. False after the last. n: axes before the run. */
static bool advance(int n, const struct axis *axis, int64_t *at, int64_t *x, int64_t *u) {
    for (int i = n; i-- > 0;) {
        *x += axis[i].xs, *u += axis[i].us;
        if (++at[i] < axis[i].extent) return true;
        *x -= at[i] * axis[i].xs, *u -= at[i] * axis[i].us;
        at[i] = 0;
    }
    return false;
}

/* ---- gather ------------------------------------------------------------------------------------------------------ */

struct gather_job { struct walk w; int64_t per_task; };

static void gather_window(const struct walk *w, int64_t x, int64_t u) {
    struct axis run = w->n_window ? w->window[w->n_window - 1] : (struct axis){1, 1, 1};
    int outer = w->n_window ? w->n_window - 1 : 0;
    int64_t at[LIB_MAX_RANK] = {0};
    do {
        if (run.xs == 1 && run.us == 1)
            memcpy((char *)w->u->p + u * w->bytes, (const char *)w->x->p + x * w->bytes,
                (size_t)(run.extent * w->bytes));
        else
            for (int64_t i = 0; i < run.extent; i++) lib_copy_element(w->u->p, u + i * run.us, w->x->p, x + i * run.xs,
            w->bytes);
    } while (advance(outer, w->window, at, &x, &u));
}

static void gather_task(void *arg, int64_t task, int worker) {
    (void)worker;
    struct gather_job *j = arg;
    for (int64_t p = task * j->per_task, x, u; p < j->w.points && p < (task + 1) * j->per_task; p++) {
        locate(&j->w, p, true, &x, &u);
        gather_window(&j->w, x, u);
    }
}

tsr_status lib_gather(const struct lib_call *k) {
    struct gather_job j = {.w = {.k = k, .x = &k->t[0], .index = &k->t[1], .u = &k->t[2]}};
    struct index_dims d = read_dims(k->ints);
    if (!lib_count(j.w.u)) return TSR_OK;
    plan_walk(&j.w, &d);
    j.per_task = j.w.window_size < GRAIN ? GRAIN / j.w.window_size : 1;
    pool_for(k->pool, lib_ceil(j.w.points, j.per_task), gather_task, &j);
    return TSR_OK;
}

/* ---- scatter: how an update meets what is there ------------------------------------------------------------------ */

typedef void combine(int64_t n, void *y, int64_t ys, const void *u, int64_t us);

#define COMBINE(name, T, expr)                                                                 \
    static void name(int64_t n, void *yp, int64_t ys, const void *up, int64_t us) {            \
        T *y = yp;                                                                             \
        const T *u = up;                                                                       \
        for (int64_t i = 0; i < n; i++) {                                                      \
            T a = y[i * ys], b = u[i * us];                                                    \
            y[i * ys] = (T)(expr);                                                             \
        }                                                                                      \
    }
/* NaN when either is; -0 below +0 */
#define FLOAT_MAX(a, b) ((a) != (a) ? (a) : (b) != (b) ? (b) : (a) > (b) || ((a) == (b) && !signbit(a)) ? (a) : (b))
#define FLOAT_MIN(a, b) ((a) != (a) ? (a) : (b) != (b) ? (b) : (a) < (b) || ((a) == (b) && signbit(a)) ? (a) : (b))
#define FLOATS(T)                        \
    COMBINE(add_##T, T, a + b)           \
    COMBINE(mul_##T, T, a *b)            \
    COMBINE(min_##T, T, FLOAT_MIN(a, b)) \
    COMBINE(max_##T, T, FLOAT_MAX(a, b))
#define INTS(T)                                         \
    COMBINE(add_##T, T, (uint64_t)a + (uint64_t)b)      \
    COMBINE(mul_##T, T, (uint64_t)a *(uint64_t)b)       \
    COMBINE(min_##T, T, a < b ? a : b)                  \
    COMBINE(max_##T, T, a > b ? a : b)
/* complex numbers meet by the functions of vmath */
#define COMPLEX_MEET(op, C)                                                                    \
    static void op##_##C(int64_t n, void *yp, int64_t ys, const void *up, int64_t us) {        \
        vm_##C *y = yp;                                                                        \
        const vm_##C *u = up;                                                                  \
        for (int64_t i = 0; i < n; i++) y[i * ys] = vm_##op##_##C(y[i * ys], u[i * us]);       \
    }
#define COMPLEXES(C) COMPLEX_MEET(add, C) COMPLEX_MEET(mul, C) COMPLEX_MEET(min, C) COMPLEX_MEET(max, C)
FLOATS(double)
FLOATS(float)
INTS(int64_t)
INTS(int32_t)
INTS(int16_t)
INTS(int8_t)
INTS(uint64_t)
INTS(uint32_t)
INTS(uint16_t)
INTS(uint8_t)
COMPLEXES(c64)
COMPLEXES(c128)
COMBINE(and_bool, uint8_t, a &b)
COMBINE(or_bool, uint8_t, a | b)
COMBINE(set_1, uint8_t, ((void)a, b))
COMBINE(set_2, uint16_t, ((void)a, b))
COMBINE(set_4, uint32_t, ((void)a, b))
COMBINE(set_8, uint64_t, ((void)a, b))
static void set_16(int64_t n, void *y, int64_t ys, const void *u, int64_t us) {
    for (int64_t i = 0; i < n; i++) lib_copy_element(y, i * ys, u, i * us, 16);
}

#define ROW(T) {add_##T, mul_##T, min_##T, max_##T}
static combine *const meet[TSR_DTYPE_COUNT][4] = {
    [TSR_F64] = ROW(double), [TSR_F32] = ROW(float), [TSR_F16] = ROW(float), [TSR_BF16] = ROW(float),
        [TSR_F8E4M3] = ROW(float),
    [TSR_F8E5M2] = ROW(float), [TSR_I64] = ROW(int64_t), [TSR_I32] = ROW(int32_t), [TSR_I16] = ROW(int16_t),
    [TSR_I8] = ROW(int8_t),
    [TSR_U64] = ROW(uint64_t), [TSR_U32] = ROW(uint32_t), [TSR_U16] = ROW(uint16_t), [TSR_U8] = ROW(uint8_t),
    [TSR_BOOL] = {or_bool, and_bool, and_bool, or_bool}, [TSR_C64] = ROW(c64),
    [TSR_C128] = ROW(c128),
};

static combine *find_combine(tsr_dtype t, enum lib_scatter_how how, int bytes) {
    if (how != LIB_SCATTER_SET) return meet[t][how - LIB_SCATTER_ADD];
    return bytes == 1 ? set_1 : bytes == 2 ? set_2 : bytes == 4 ? set_4 : bytes == 8 ? set_8 : set_16;
}

/* ---- scatter: the walk ------------------------------------------------------------------------------------------- */

struct scatter_job {
    struct walk w;
    enum lib_scatter_how how;
    combine *meet;
    int64_t count, per_task;
    atomic_bool failed;
};

/* What one task works on: elements [lo, hi) of the result at y, update elements at u, both of `bytes`. */
struct owned {
    const struct scatter_job *j;
    int64_t lo, hi;
    char *y;
    const char *u;
    int bytes;
};

static void scatter_run(const struct owned *o, struct axis run, int64_t x, int64_t u) {
    int64_t from = 0, to = run.extent;
    if (x < o->lo) from = lib_ceil(o->lo - x, run.xs);
    if (x + (to - 1) * run.xs >= o->hi) to = lib_ceil(o->hi - x, run.xs);
    if (from >= to) return;
    o->j->meet(to - from, o->y + (x + from * run.xs - o->lo) * o->bytes, run.xs, o->u + (u + from * run.us) * o->bytes,
        run.us);
}

static void scatter_window(const struct owned *o, int64_t x, int64_t u) {
    const struct walk *w = &o->j->w;
    struct axis run = w->n_window ? w->window[w->n_window - 1] : (struct axis){1, 1, 1};
    int64_t at[LIB_MAX_RANK] = {0};
    do {
        if (x < o->hi) scatter_run(o, run, x, u);
    } while (advance(w->n_window ? w->n_window - 1 : 0, w->window, at, &x, &u));
}

/* Every update element by itself, in row-major order of the update tensor. */
static void scatter_ordered(const struct owned *o) {
    const struct walk *w = &o->j->w;
    int64_t us[LIB_MAX_RANK], n = lib_count(w->u), x, u;
    strides_of(w->u, us);
    for (int64_t e = 0; e < n; e++) {
        int64_t point = 0, inside = 0;
        for (int i = 0; i < w->n_point; i++)
            point = point * w->point[i].extent + e / w->point[i].us % w->point[i].extent;
        for (int i = 0; i < w->n_window; i++) inside += e / w->window[i].us % w->window[i].extent * w->window[i].xs;
        if (locate(w, point, false, &x, &u)) scatter_run(o, (struct axis){1, 1, 1}, x + inside, e);
    }
}

static void scatter_all(const struct owned *o) {
    const struct walk *w = &o->j->w;
    if (!w->window_size) return;
    if (w->windows_first && w->window_size > 1) {
        scatter_ordered(o);
        return;
    }
    for (int64_t p = 0, x, u; p < w->points; p++)
        if (locate(w, p, false, &x, &u)) scatter_window(o, x, u);
}

/* Narrow floats: the owned part and all updates as f32. Updates are few or the tasks
 * are, so each task widens its own copy. */
static void scatter_narrow(struct scatter_job *j, struct owned *o, const char *x) {
    tsr_ctx *c = j->w.k->c;
    tsr_dtype t = j->w.x->dtype;
    int64_t mine = o->hi - o->lo, updates = lib_count(j->w.u);
    float *scratch = mem_array(c, (size_t)(mine + updates), sizeof *scratch);
    if (!scratch) {
        atomic_store(&j->failed, true);
        return;
    }
    char *y = o->y;
    lib_widen(t, x, mine, scratch);
    lib_widen(t, j->w.u->p, updates, scratch + mine);
    o->y = (char *)scratch, o->u = (const char *)(scratch + mine), o->bytes = sizeof *scratch;
    scatter_all(o);
    lib_narrow(t, scratch, mine, y);
    mem_array_free(c, scratch, (size_t)(mine + updates), sizeof *scratch);
}

static void scatter_task(void *arg, int64_t task, int worker) {
    (void)worker;
    struct scatter_job *j = arg;
    const struct walk *w = &j->w;
    struct owned o = {.j = j, .lo = task * j->per_task, .hi = (task + 1) * j->per_task, .u = w->u->p,
        .bytes = w->bytes};
    if (o.hi > j->count) o.hi = j->count;
    const char *x = (const char *)w->x->p + o.lo * w->bytes;
    o.y = (char *)w->k->t[3].p + o.lo * w->bytes;
    if (j->how != LIB_SCATTER_SET && lib_is_narrow(w->x->dtype)) {
        scatter_narrow(j, &o, x);
        return;
    }
    if (x != o.y) memcpy(o.y, x, (size_t)((o.hi - o.lo) * w->bytes));
    scatter_all(&o);
}

tsr_status lib_scatter(const struct lib_call *k) {
    struct scatter_job j = {.w = {.k = k, .x = &k->t[0], .index = &k->t[1], .u = &k->t[2]},
        .how = (enum lib_scatter_how)k->ints[0]};
    struct index_dims d = read_dims(k->ints + 1);
    j.count = lib_count(j.w.x);
    if (!j.count) return TSR_OK;
    plan_walk(&j.w, &d);
    j.meet = find_combine(j.w.x->dtype, j.how, j.w.bytes);
    TSR_ASSERT(j.meet);
    j.per_task = lib_ceil(j.count, lib_workers(k));
    if (j.per_task < GRAIN) j.per_task = GRAIN;
    pool_for(k->pool, lib_ceil(j.count, j.per_task), scatter_task, &j);
    return atomic_load(&j.failed) ? TSR_ENOMEM : TSR_OK;
}
