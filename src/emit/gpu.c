/* gpu.c: a whole kernel for groups of threads, and the text in front of it. */
#include "emit/gpu_text.h"
#include "emit/library.h"
#include "tile/vmath_text.h"

#include <string.h>

extern const char tsr_text_prelude_opencl[], tsr_text_prelude_cuda[], tsr_text_prelude_hip[], tsr_text_blocks[],
    tsr_text_helpers_gpu[];

void emit_gpu_prelude(struct str *out, const struct emit_gpu_target *t, const char *kernels) {
#define X(part) tsr_text_vmath_##part,
    const char *part[] = {NULL, VMATH_PARTS(X) tsr_text_blocks, tsr_text_helpers_gpu};
#undef X
    part[0] = t->lang == EMIT_OPENCL ? tsr_text_prelude_opencl : t->lang == EMIT_CUDA ? tsr_text_prelude_cuda
        : tsr_text_prelude_hip;
    if (!emit_library_put(out, out->c, (int)(sizeof part / sizeof *part), part, kernels)) out->failed = true;
}

/* ---- what is claimed ---- */

/* Without f64 a program is claimed when neither its own text nor the library it uses has any. */
static bool needs_f64(struct gpu *g, const char *kernel) {
    struct str s;
    str_init(&s, g->w.k->c);
    emit_gpu_prelude(&s, g->t, kernel);
    bool needs = strstr(s.s, "vm_f64") || strstr(kernel, "vm_f64");
    g->w.out->failed |= s.failed;
    str_release(&s);
    return needs;
}

/* ---- the frame of a kernel ---- */

/* As many threads as leave each a few elements of the largest tile; a product's threads have up to 64 outputs. */
static int choose_threads(const tsr_tile *p, const struct emit_gpu_target *t) {
    enum { LEAST = 32, MOST = 256, MOST_OUTPUTS = 64, EACH = 8 };
    int64_t most = 1, outputs = 1;
    int n = LEAST;
    for (size_t v = 0; v < p->value.n; v++)
        if (!p->value.v[v].type.buf && tile_count(&p->value.v[v].type) > most) most = tile_count(&p->value.v[v].type);
    for (size_t i = 0; i < p->inst.n; i++)
        if (p->inst.v[i].op == TILE_DOT && tile_count(tile_type_of(p, p->inst.v[i].result)) > outputs)
            outputs = tile_count(tile_type_of(p, p->inst.v[i].result));
    if (outputs > 1) most = outputs;
    while (n < MOST && n * 2 <= t->threads && (int64_t)n * EACH < most) n *= 2;
    while (n * 2 <= t->threads && (int64_t)n * MOST_OUTPUTS < outputs) n *= 2;
    return n < t->threads ? n : t->threads;
}

static const char *buffer_type(tsr_dtype t) {
    bool bytes = tsr_dtype_of(t)->kind == TSR_KIND_BLOCK || t == TSR_I4 || t == TSR_U4;
    return bytes ? "vm_u8" : emit_type(t);
}

static void write_parameters(struct gpu *g, const char *symbol) {
    const tsr_tile *p = g->w.p;
    struct str *s = g->w.out;
    str_put(s, "/* ");
    emit_name(s, p->name);
    str_put(s, " */\n");
    str_printf(s, g->d->kernel, g->threads); /* the dialect's own format */
    str_printf(s, " %s(", symbol);
    for (size_t i = 0; i < p->arg.n; i++) {
        tsr_tv v = p->arg.v[i].value;
        const struct tile_type *t = tile_type_of(p, v);
        const char *c = p->inst.v[p->value.v[v].inst].sub == TSR_TILE_IN ? "const " : "";
        if (!t->buf) str_printf(s, "const %s v%d", emit_type(t->dtype), v);
        else str_printf(s, "%s%s%s *%s%d", g->d->global, c, buffer_type(t->dtype), g->d->offsets ? "p" : "v", v);
        if (t->buf && g->d->offsets) str_printf(s, ", const vm_i64 o%d", v);
        str_put(s, ",\n    ");
    }
    str_printf(s, "const vm_i64 grid0, const vm_i64 grid1, const vm_i64 grid2, %schar *scratch) {\n", g->d->global);
}

static void write_buffers(struct gpu *g) {
    const tsr_tile *p = g->w.p;
    for (size_t i = 0; g->d->offsets && i < p->arg.n; i++) {
        tsr_tv v = p->arg.v[i].value;
        const struct tile_type *t = tile_type_of(p, v);
        const char *c = p->inst.v[p->value.v[v].inst].sub == TSR_TILE_IN ? "const " : "";
        if (t->buf)
            put_line(&g->w, "%s%s%s *const v%d = (%s%s%s *)((%s%schar *)p%d + o%d);", g->d->global, c,
                buffer_type(t->dtype), v, g->d->global, c, buffer_type(t->dtype), g->d->global, c, v, v);
    }
}

static void write_pointer(struct gpu *g, tsr_dtype t, char letter, int number, const struct gpu_home *h) {
    const char *space = gpu_space_name(g, h->space);
    put_line(&g->w, "%s%s *const %c%d = (%s%s *)(%s + %zu);", space, emit_type(t), letter, number, space, emit_type(t),
        h->space == GPU_LOCAL ? "local_memory" : "mine", h->offset);
}

static void write_memory(struct gpu *g) {
    const struct emit_plan *k = g->w.k;
    if (g->local_bytes)
        put_line(&g->w, "%svm_u64 local_words[%zu];", g->d->local_array, (g->local_bytes + 7) / 8);
    if (g->local_bytes)
        put_line(&g->w, "%schar *const local_memory = (%schar *)local_words;", g->d->local, g->d->local);
    if (g->scratch_bytes)
        put_line(&g->w, "%schar *const mine = scratch + (vm_i64)%s * %zu;", g->d->global, g->d->group,
            g->scratch_bytes);
    for (tsr_tv v = 0; v < (tsr_tv)k->value.n; v++)
        if (g->home.v[v].space) write_pointer(g, tile_type_of(k->p, v)->dtype, 'a', v, &g->home.v[v]);
    for (int32_t at = 0; at < (int32_t)k->p->inst.n; at++)
        if (g->temp.v[at].space)
            write_pointer(g, tile_type_of(k->p, k->p->inst.v[at].result)->dtype, 'm', at, &g->temp.v[at]);
}

static void write_registers(struct gpu *g) {
    for (tsr_tv v = 0; v < (tsr_tv)g->dealt.n; v++) {
        const struct tile_type *t = tile_type_of(g->w.p, v);
        if (g->dealt.v[v]) put_line(&g->w, "%s r%d[%d];", emit_type(t->dtype), v, gpu_slots(g, tile_count(t)));
    }
}

/* ---- the walk ---- */

static void write_along(struct gpu *g, const struct tile_inst *in, int32_t at) {
    const tsr_tv *v = tile_operands(g->w.p, in);
    if (tile_count(tile_type_of(g->w.p, v[0])) == 1)
        put_line(&g->w, "const %s v%d = v%d;", emit_type(tile_type_of(g->w.p, in->result)->dtype), in->result,
            emit_root(g->w.k, v[in->op == TILE_ARGREDUCE]));
    else if (in->op == TILE_REDUCE) gpu_reduce(g, in, at);
    else if (in->op == TILE_ARGREDUCE) gpu_argreduce(g, in);
    else gpu_scan(g, in);
}

static void write_region(struct gpu *g, const struct tile_inst *in, int32_t at) {
    if (tile_opens(in->op)) gpu_comment(g, in);
    if (in->op == TILE_ELSE) gpu_sync_else(g);
    write_control(&g->w, at);
    if (in->op == TILE_YIELD) gpu_sync_yield(g, at);
    if (tile_opens(in->op)) gpu_sync_open(g, at);
    if (in->op == TILE_END) gpu_sync_end(g);
}

static void write_inst(struct gpu *g, int32_t at) {
    const struct tile_inst *in = &g->w.p->inst.v[at];
    int32_t group = g->w.k->member.v[at];
    if (!g->w.k->need.v[at]) return;
    if (group >= 0) {
        if (g->w.k->group.v[group].last != at || g->staged.v[group] >= 0) return;
        put_origins(&g->w, group, at);
        gpu_group(g, group);
        return;
    }
    if (in->op == TILE_REDUCE || in->op == TILE_ARGREDUCE || in->op == TILE_SCAN || in->op == TILE_DOT)
        put_origins(&g->w, -1, at);
    switch (in->op) {
    case TILE_BUF: case TILE_ARG: return;
    case TILE_PID: put_line(&g->w, "const vm_i64 v%d = pid%d;", in->result, in->sub); return;
    case TILE_REDUCE: case TILE_ARGREDUCE: case TILE_SCAN: write_along(g, in, at); return;
    case TILE_DOT: gpu_dot(g, in, at); return;
    case TILE_FOR: case TILE_WHILE: case TILE_IF: case TILE_ELSE: case TILE_YIELD: case TILE_END:
        write_region(g, in, at);
        return;
    default:
        if (in->n_result && g->w.k->value.v[in->result].home != EMIT_SCALAR) return; /* splat, index, reshape */
        gpu_one(g, in);
    }
}

static void write_kernel(struct gpu *g, const char *symbol) {
    write_parameters(g, symbol);
    g->w.indent = 1;
    write_buffers(g);
    put_line(&g->w, "const vm_i32 lid = %s;", g->d->thread);
    if (g->tile.mma) {
        put_line(&g->w, "const vm_i32 wy = lid / %d, wx = lid / 32 %% %d;", 32 * g->tile.columns, g->tile.columns);
        put_line(&g->w, "const vm_i32 group = lid %% 32 / 4, lane = lid %% 4;");
    } else if (g->tile.m)
        put_line(&g->w, "const vm_i32 ty = lid / %d, tx = lid %% %d;", g->tile.columns, g->tile.columns);
    write_memory(g);
    put_line(&g->w, "for (vm_i64 instance = %s; instance < grid0 * grid1 * grid2; instance += %s) {", g->d->group,
        g->d->groups);
    g->w.indent++;
    put_line(&g->w, "const vm_i64 pid0 = instance %% grid0, pid1 = instance / grid0 %% grid1;");
    put_line(&g->w, "const vm_i64 pid2 = instance / grid0 / grid1;");
    write_registers(g);
    for (int32_t at = 0; at < (int32_t)g->w.p->inst.n; at++) write_inst(g, at);
    gpu_sync_instance(g);
    gpu_close(g);
    gpu_close(g);
}

static void release(struct gpu *g, tsr_ctx *c) {
    vec_release(c, &g->staged);
    vec_release(c, &g->late);
    vec_release(c, &g->dealt);
    vec_release(c, &g->home);
    vec_release(c, &g->temp);
    vec_release(c, &g->pending);
    vec_release(c, &g->held);
}

bool emit_gpu_kernel(struct str *out, tsr_ctx *c, const tsr_tile *p, const struct emit_gpu_target *t,
    const char *symbol, struct emit_gpu_info *info, const char **why) {
    struct emit_plan k;
    size_t before = out->n;
    *why = NULL;
    if (!emit_plan_init(&k, c, p, EMIT_FOR_GROUPS)) return false;
    struct gpu g = {.w = {.out = out, .k = &k, .p = p, .group = -1, .move_tiles = gpu_move},
        .d = emit_dialect_of(t->lang), .t = t, .threads = choose_threads(p, t)};
    gpu_choose_tile(&g);
    gpu_choose_mma(&g);
    bool ok = gpu_stage(&g, &k) && gpu_deal(&g) && gpu_place(&g);
    if (ok) write_kernel(&g, symbol);
    if (ok && !t->f64 && needs_f64(&g, out->s + before)) *why = "it needs f64, which the device has not", ok = false;
    *info = (struct emit_gpu_info){g.threads, g.local_bytes, g.scratch_bytes};
    if (!ok) str_cut(out, before);
    release(&g, c);
    emit_plan_release(&k);
    return ok && !out->failed;
}
