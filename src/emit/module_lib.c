/* module_lib.c: library steps as calls of the functions of parts_c.inc: sort, top_k, scatter, select_and_scatter,
 * rng_bits; module_linalg.c has the others.
 *
 * What depends on dtypes is written here (how an update meets what is there), what depends on dimension numbers is
 * worked out here as expressions of sizes (device/cpu/lib_index.c does the same with numbers). */
#include <string.h>

#include "emit/module_text.h"
#include "emit/text.h"
#include "graph/gather.h"

static bool is_narrow(tsr_dtype t) {
    return tsr_dtype_of(t)->kind == TSR_KIND_FLOAT && t != TSR_F32 && t != TSR_F64;
}

static const tsr_type *type_of(const tsr_plan *p, const struct plan_step *st, int i) {
    return module_arg_type(p, st, i);
}

/* 4-bit integers are worked on as 8-bit ones, unpacked in front of the call (put_unpacked). */
static bool is_packed(const tsr_plan *p, const struct plan_step *st, int i) {
    return tsr_dtype_of(type_of(p, st, i)->dtype)->block == 2;
}

static tsr_dtype dtype_of(const tsr_plan *p, const struct plan_step *st, int i) {
    tsr_dtype t = type_of(p, st, i)->dtype;
    return t == TSR_I4 ? TSR_I8 : t == TSR_U4 ? TSR_U8 : t;
}

static void put_slot(struct str *s, const tsr_plan *p, const struct plan_step *st, int i) {
    if (is_packed(p, st, i)) str_printf(s, "u%d", i);
    else module_slot(s, p, st->arg[i].slot);
}

static bool any_packed(const tsr_plan *p, const struct plan_step *st) {
    bool any = false;
    for (int i = 0; i < st->narg; i++) any |= is_packed(p, st, i);
    return any;
}

/* Where a kernel's own room begins: behind what was unpacked. */
static const char *room(const tsr_plan *p, const struct plan_step *st) { return any_packed(p, st) ? "room" : "more"; }

static int operands(const struct plan_step *st) {
    return !strcmp(st->lib, "sort") ? st->narg / 2 : !strcmp(st->lib, "scatter") ? 3
        : !strcmp(st->lib, "select_and_scatter") ? 2 : 1;
}

static void put_unpacked(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    if (any_packed(p, st)) str_put(s, "        char *room = more;\n");
    for (int i = 0; i < st->narg; i++) {
        if (!is_packed(p, st, i)) continue;
        str_printf(s, "        vm_u8 *const u%d = (vm_u8 *)room;\n        room += tsr_round64(", i);
        module_count(m, s, type_of(p, st, i)), str_put(s, ");\n");
        if (i >= operands(st)) continue;
        str_printf(s, "        tsr_unpack_4(u%d, ", i), module_slot(s, p, st->arg[i].slot), str_put(s, ", ");
        module_count(m, s, type_of(p, st, i)), str_printf(s, ", %d);\n", type_of(p, st, i)->dtype == TSR_I4);
    }
}

static void put_packed(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    for (int i = operands(st); i < st->narg; i++) {
        if (!is_packed(p, st, i)) continue;
        str_put(s, "        tsr_pack_4("), module_slot(s, p, st->arg[i].slot), str_printf(s, ", u%d, ", i);
        module_count(m, s, type_of(p, st, i)), str_put(s, ");\n");
    }
}

/* ---- sort, top_k ---- */

static void put_sorted(struct str *s, const tsr_plan *p, const struct plan_step *st, int x, int y) {
    tsr_dtype t = dtype_of(p, st, x);
    const tsr_dtype_info *d = tsr_dtype_of(t);
    static const uint64_t inf[TSR_DTYPE_COUNT] = {[TSR_F64] = 0x7ff0000000000000u, [TSR_F32] = 0x7f800000u,
        [TSR_F16] = 0x7c00u, [TSR_BF16] = 0x7f80u, [TSR_F8E5M2] = 0x7cu, [TSR_F8E4M3] = 0x7eu};
    str_put(s, "{"), put_slot(s, p, st, x), str_put(s, ", "), put_slot(s, p, st, y);
    str_printf(s, ", %d, %d, 0x%llxu}", d->bytes, d->kind == TSR_KIND_FLOAT ? 2 : d->kind == TSR_KIND_INT,
        (unsigned long long)inf[t]);
}

static void sort(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    int n = st->narg / 2, axis = (int)st->ints[0];
    const tsr_type *t = type_of(p, st, 0);
    str_printf(s, "        const struct tsr_sorted o[%d] = {", n);
    for (int i = 0; i < n; i++) {
        if (i) str_put(s, ", ");
        put_sorted(s, p, st, i, n + i);
    }
    str_printf(s, "};\n        tsr_sort(%d, %d, o, ", n, (int)st->ints[1]);
    module_count(m, s, t), str_put(s, ", ");
    if (t->rank) module_extent(m, s, t->extent[axis]);
    else str_put(s, "1");
    str_put(s, ", (vm_i64)1");
    for (int i = axis + 1; i < t->rank; i++) str_put(s, " * "), module_extent(m, s, t->extent[i]);
    str_printf(s, ", %d, %d, %s);\n", (int)st->ints[2], (int)st->ints[3], room(p, st));
}

static void top_k(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    const tsr_type *t = type_of(p, st, 0);
    str_put(s, "        const struct tsr_sorted o = "), put_sorted(s, p, st, 0, 1);
    str_put(s, ";\n        tsr_top_k(&o, (vm_i32 *)"), put_slot(s, p, st, 2), str_put(s, ", (vm_i64)1");
    for (int i = 0; i + 1 < t->rank; i++) str_put(s, " * "), module_extent(m, s, t->extent[i]);
    str_put(s, ", "), module_extent(m, s, t->extent[t->rank - 1]);
    str_printf(s, ", %lld, %s);\n", (long long)st->ints[0], room(p, st));
}

/* ---- scatter ---- */

struct dims {
    int64_t how, vector_axis;
    int n_offset, n_collapsed, n_operand_batching, n_index_batching, n_map;
    const int64_t *offset, *collapsed, *operand_batching, *index_batching, *map;
};

static struct dims read_dims(const int64_t *v) {
    struct dims d = {v[0], v[1], (int)v[2], (int)v[3], (int)v[4], (int)v[5], (int)v[6], v + 7, NULL, NULL, NULL, NULL};
    d.collapsed = d.offset + d.n_offset;
    d.operand_batching = d.collapsed + d.n_collapsed;
    d.index_batching = d.operand_batching + d.n_operand_batching;
    d.map = d.index_batching + d.n_index_batching;
    return d;
}

static bool has(int n, const int64_t *list, int64_t v) {
    for (int i = 0; i < n; i++)
        if (list[i] == v) return true;
    return false;
}

/* "e1 * e2": the stride of an axis of a dense tensor. */
static void put_stride(struct module *m, struct str *s, const tsr_type *t, int axis) {
    str_put(s, "(vm_i64)1");
    for (int i = axis + 1; i < t->rank; i++) str_put(s, " * "), module_extent(m, s, t->extent[i]);
}

/* The axes of the update in order; the window's size along each axis of x goes to size. */
static void put_axes(struct module *m, struct str *s, const struct dims *d, const tsr_type *x, const tsr_type *index,
    const tsr_type *u, int *size) {
    int axis = 0, place = 0;
    str_printf(s, "        const struct tsr_walk axis[%d] = {", u->rank ? u->rank : 1);
    for (int a = 0; a < u->rank; a++) {
        str_put(s, a ? ", {" : "{"), module_extent(m, s, u->extent[a]), str_put(s, ", ");
        if (has(d->n_offset, d->offset, a)) {
            while (has(d->n_collapsed, d->collapsed, axis) || has(d->n_operand_batching, d->operand_batching, axis))
                axis++;
            put_stride(m, s, x, axis), str_put(s, ", 0}");
            size[axis++] = a;
            continue;
        }
        place += place == d->vector_axis;
        int batching = -1;
        for (int b = 0; b < d->n_index_batching; b++)
            if (d->index_batching[b] == place) batching = (int)d->operand_batching[b];
        if (batching < 0) str_put(s, "0");
        else put_stride(m, s, x, batching);
        str_put(s, ", "), put_stride(m, s, index, place++), str_put(s, "}");
    }
    str_put(s, u->rank ? "};\n" : "{1, 0, 0}};\n");
}

static void put_starts(struct module *m, struct str *s, const struct dims *d, const tsr_type *x, const tsr_type *u,
    const int *size) {
    str_printf(s, "        const struct tsr_start start[%d] = {", d->n_map ? d->n_map : 1);
    for (int i = 0; i < d->n_map; i++) {
        int a = (int)d->map[i];
        str_put(s, i ? ", {" : "{"), put_stride(m, s, x, a), str_put(s, ", "), module_extent(m, s, x->extent[a]);
        str_put(s, " - ");
        if (size[a] < 0) str_put(s, "1");
        else module_extent(m, s, u->extent[size[a]]);
        str_put(s, "}");
    }
    str_put(s, d->n_map ? "};\n" : "{0, 0}};\n");
}

/* How one update meets what is there, as a function; narrow floats meet as f32. */
static void put_meet(struct module *m, tsr_dtype t, int64_t how, const char *name) {
    static const tsr_scalar fn[] = {TSR_S_ADD, TSR_S_ADD, TSR_S_MUL, TSR_S_MIN, TSR_S_MAX};
    static const tsr_scalar fn_bool[] = {TSR_S_OR, TSR_S_OR, TSR_S_AND, TSR_S_AND, TSR_S_OR};
    bool wide = how && is_narrow(t);
    struct str *s = &m->bodies;
    tsr_dtype y = wide ? TSR_F32 : t;
    char from[80], to[64];
    if (wide) snprintf(from, sizeof from, "vm_%s_to_f32(((const %s *)u)[from])", emit_suffix(t), emit_type(t));
    else snprintf(from, sizeof from, "((const %s *)u)[from]", emit_type(t));
    snprintf(to, sizeof to, "((%s *)y)[at]", emit_type(y));
    str_printf(s, "static void %s(void *y, vm_i64 at, const void *u, vm_i64 from) {\n    %s = ", name, to);
    if (!how) str_put(s, from);
    else put_call(s, t == TSR_BOOL ? fn_bool[how] : fn[how], y, 2, (const char *const[]){to, from});
    str_put(s, ";\n}\n");
}

static void put_widen(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st, int arg,
    bool back) {
    const tsr_type *t = type_of(p, st, arg);
    const char *type = emit_type(t->dtype), *suffix = emit_suffix(t->dtype);
    str_put(s, "        for (vm_i64 i = 0; i < "), module_count(m, s, t), str_put(s, "; i++) ");
    if (back) str_printf(s, "((%s *)", type), put_slot(s, p, st, arg), str_printf(s,
        ")[i] = vm_f32_to_%s(((const vm_f32 *)(void *)more)[i]);\n", suffix);
    else str_printf(s, "((vm_f32 *)(void *)more)[i] = vm_%s_to_f32(((const %s *)", suffix, type), put_slot(s, p, st,
        arg), str_put(s, ")[i]);\n");
}

static void scatter(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    struct dims d = read_dims(st->ints);
    const tsr_type *x = type_of(p, st, 0), *index = type_of(p, st, 1), *u = type_of(p, st, 2);
    bool wide = d.how && is_narrow(x->dtype);
    int size[TSR_MAX_RANK];
    char name[96];
    for (int i = 0; i < TSR_MAX_RANK; i++) size[i] = -1;
    snprintf(name, sizeof name, "%s_meet%d", module_find(m, p)->name,
        (int)(st - p->step.v));
    put_meet(m, dtype_of(p, st, 0), d.how, name);
    put_axes(m, s, &d, x, index, u, size);
    put_starts(m, s, &d, x, u, size);
    if (wide) put_widen(m, s, p, st, 0, false);
    else {
        str_put(s, "        if ("), put_slot(s, p, st, 3), str_put(s, " != "), put_slot(s, p, st, 0);
        str_put(s, ") tsr_copy("), put_slot(s, p, st, 3), str_put(s, ", "), put_slot(s, p, st, 0), str_put(s, ", ");
        if (is_packed(p, st, 0)) module_count(m, s, x);
        else module_bytes(m, s, x);
        str_put(s, ");\n");
    }
    str_printf(s, "        tsr_scatter(%d, axis, %d, start, ", u->rank, d.n_map);
    if (d.vector_axis < index->rank) put_stride(m, s, index, (int)d.vector_axis);
    else str_put(s, "0");
    str_put(s, ", "), put_slot(s, p, st, 1);
    str_printf(s, ", %d, %d, ", tsr_dtype_of(index->dtype)->bytes, tsr_dtype_of(index->dtype)->kind == TSR_KIND_INT);
    if (wide) str_put(s, "more");
    else put_slot(s, p, st, 3);
    str_put(s, ", "), put_slot(s, p, st, 2), str_printf(s, ", %s);\n", name);
    if (wide) put_widen(m, s, p, st, 3, true);
}

/* ---- select_and_scatter, rng_bits ---- */

static void select(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    const tsr_type *x = type_of(p, st, 0);
    tsr_dtype t = dtype_of(p, st, 0);
    bool wide = is_narrow(t);
    str_put(s, "        "), module_dims(m, s, "xd", x);
    str_put(s, "        "), module_dims(m, s, "sd", type_of(p, st, 1));
    module_ints(s, "window", x->rank, st->ints + 1), module_ints(s, "stride", x->rank, st->ints + 1 + x->rank);
    module_ints(s, "low", x->rank, st->ints + 1 + 2 * x->rank);
    const char *type = emit_type(t);
    str_printf(s, "        tsr_select_%s(%d, xd, sd, window, stride, low, %d, (const %s *)", emit_suffix(t),
        x->rank, (int)st->ints[0], type);
    put_slot(s, p, st, 0), str_printf(s, ", (const %s *)", type), put_slot(s, p, st, 1);
    str_printf(s, ", (%s *)(void *)", wide ? "vm_f32" : type);
    if (wide) str_put(s, "more");
    else put_slot(s, p, st, 2);
    str_put(s, ");\n");
    if (wide) put_widen(m, s, p, st, 2, true);
}

static void rng_bits(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st) {
    const tsr_type *state = type_of(p, st, 0), *bits = type_of(p, st, 2);
    int batch = state->rank - 1;
    int64_t words;
    int bytes = tsr_dtype_of(bits->dtype)->bytes;
    if (!module_value(m, state->extent[batch], &words)) return;
    str_put(s, "        "), module_dims(m, s, "dim", bits);
    str_put(s, "        vm_i64 n = 1, states = 1;\n");
    str_printf(s, "        for (int i = 0; i < %d; i++) states *= dim[i];\n", batch);
    str_printf(s, "        for (int i = %d; i < %d; i++) n *= dim[i];\n", batch, bits->rank);
    str_put(s, "        for (vm_i64 i = 0; i < states; i++)\n            ");
    if (st->ints[0] == 0) str_printf(s, "tsr_rng_threefry(%d, dim + %d, ", bits->rank - batch, batch);
    else str_printf(s, "tsr_rng_philox(%d, ", (int)words);
    str_put(s, "(const vm_u64 *)(void *)"), put_slot(s, p, st, 0), str_printf(s, " + i * %d, (vm_u64 *)(void *)",
        (int)words);
    put_slot(s, p, st, 1), str_printf(s, " + i * %d, ", (int)words);
    if (st->ints[0]) str_put(s, "n, ");
    str_printf(s, "%d, ", bytes), put_slot(s, p, st, 2), str_printf(s, " + i * n * %d);\n", bytes);
}

/* ---- the step ---- */

static const struct lib {
    const char *name;
    void (*put)(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st);
} known[] = {
    {"sort", sort}, {"top_k", top_k}, {"scatter", scatter}, {"select_and_scatter", select}, {"rng_bits", rng_bits},
};

bool module_lib(struct module *m, struct str *s, const struct module_plan *q, const struct plan_step *st) {
    if (module_linalg_has(st)) return module_linalg(m, s, q->p, st), true;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(st->lib, known[i].name)) continue;
        put_unpacked(m, s, q->p, st);
        known[i].put(m, s, q->p, st);
        put_packed(m, s, q->p, st);
        return true;
    }
    if (!m->failed) err_set(m->c, TSR_EUNSUPPORTED, "%s: %s has no C text: use an engine file (-o FILE.tsr), which has "
        "every operation", m->o->name, st->label);
    return m->failed = true, false;
}

void module_lib_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st) {
    const tsr_type *t = type_of(p, st, 0);
    for (int i = 0; i < st->narg; i++)
        if (is_packed(p, st, i)) module_sum_times(m, sum, type_elements(m->c, type_of(p, st, i)), 1);
    if (module_linalg_has(st)) module_linalg_need(m, sum, p, st);
    else if (!strcmp(st->lib, "sort") && t->rank)
        module_sum_times(m, sum, t->extent[st->ints[0]], 32 + 8 * (st->ints[1] - 1));
    else if (!strcmp(st->lib, "sort")) sum->n += 64 + 8 * st->ints[1];
    else if (!strcmp(st->lib, "top_k")) module_sum_times(m, sum, t->extent[t->rank - 1], 32);
    else if (is_narrow(t->dtype)) module_sum_times(m, sum, type_elements(m->c, t), 4);
}
