/* gpu_place.c: memory of a group: local where it fits, else its piece of global scratch.
 *
 * Temporaries, then arrays are placed in order of first use, first fit, over the stretch of instructions for which the
 * plan says they are alive. What no longer fits local memory goes to scratch, which has no limit. */
#include "emit/gpu_text.h"

enum { ALIGN = 16 };

struct span {
    int32_t first, last;
    struct gpu_home *home;
};
typedef VEC(struct span) spans;

static size_t bytes_of(const struct tile_type *t) { return (size_t)tile_count(t) * emit_size(t->dtype); }

/* Bytes an instruction needs for itself: the first half of a reduction, or what its threads exchange. */
static size_t temp_bytes(const struct gpu *g, const struct tile_inst *in) {
    if (in->op == TILE_DOT) return gpu_dot_bytes(g, in);
    if (in->op != TILE_REDUCE) return 0;
    if (gpu_reduces_in_registers(g, in)) return gpu_row_bytes(g, in);
    const struct tile_type *t = tile_type_of(g->w.p, tile_operands(g->w.p, in)[0]);
    struct gpu_around a = gpu_around(t, in->axis);
    return a.n > 1 ? (size_t)(a.outer * gpu_half(a.n) * a.inner) * emit_size(t->dtype) : 0;
}

static void sort_by_first(spans *s, size_t from) {
    for (size_t i = from + 1; i < s->n; i++)
        for (size_t j = i; j > from && s->v[j].first < s->v[j - 1].first; j--) {
            struct span x = s->v[j];
            s->v[j] = s->v[j - 1], s->v[j - 1] = x;
        }
}

/* What instructions need for themselves comes first: it is what local memory is for. */
static bool list_spans(struct gpu *g, spans *s) {
    const struct emit_plan *k = g->w.k;
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++) {
        g->temp.v[at].bytes = temp_bytes(g, &k->p->inst.v[at]);
        struct span x = {at, at, &g->temp.v[at]};
        if (g->temp.v[at].bytes && !vec_push(k->c, s, x)) return false;
    }
    size_t temps = s->n;
    for (size_t v = 0; v < k->value.n; v++) {
        const struct emit_value *e = &k->value.v[v];
        if (e->home != EMIT_ARRAY || e->same != TSR_TV_NONE || g->dealt.v[v]) continue;
        g->home.v[v].bytes = bytes_of(tile_type_of(k->p, (tsr_tv)v));
        struct span x = {e->first, e->last > g->late.v[v] ? e->last : g->late.v[v], &g->home.v[v]};
        if (!vec_push(k->c, s, x)) return false;
    }
    sort_by_first(s, temps);
    return true;
}

/* The lowest offset in a space at which span i meets none of those before it. */
static size_t fit(const spans *s, size_t i, enum gpu_space space) {
    const struct span *x = &s->v[i];
    size_t at = 0;
    for (size_t j = 0; j < i; j++) {
        const struct span *y = &s->v[j];
        bool apart = y->home->space != space || y->last < x->first || x->last < y->first ||
                     y->home->offset >= at + x->home->bytes || at >= y->home->offset + y->home->bytes;
        if (!apart) at = (y->home->offset + y->home->bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1), j = (size_t)-1;
    }
    return at;
}

bool gpu_place(struct gpu *g) {
    const struct emit_plan *k = g->w.k;
    size_t limit = g->t->local_bytes < g->d->local_limit ? g->t->local_bytes : g->d->local_limit;
    spans s = {0};
    bool ok = vec_reserve(k->c, &g->home, k->value.n + 1) && vec_reserve(k->c, &g->temp, k->p->inst.n + 1);
    for (size_t i = 0; ok && i < k->value.n; i++) g->home.v[g->home.n++] = (struct gpu_home){0};
    for (size_t i = 0; ok && i < k->p->inst.n; i++) g->temp.v[g->temp.n++] = (struct gpu_home){0};
    ok = ok && list_spans(g, &s);
    for (size_t i = 0; ok && i < s.n; i++) {
        struct gpu_home *h = s.v[i].home;
        size_t at = fit(&s, i, GPU_LOCAL);
        bool local = at + h->bytes <= limit;
        *h = (struct gpu_home){local ? GPU_LOCAL : GPU_SCRATCH, local ? at : fit(&s, i, GPU_SCRATCH), h->bytes};
        size_t *most = local ? &g->local_bytes : &g->scratch_bytes, end = h->offset + h->bytes;
        if (end > *most) *most = end;
    }
    g->scratch_bytes = (g->scratch_bytes + 255) & ~(size_t)255;
    vec_release(k->c, &s);
    return ok;
}

const char *gpu_space_name(const struct gpu *g, enum gpu_space s) {
    return s == GPU_LOCAL ? g->d->local : g->d->global;
}
