/* module_size.c: sizes as text: numbers where they are known, else expressions over the symbols' values s[]. */
#include <string.h>

#include "emit/module_text.h"

bool module_value(struct module *m, const tsr_extent *e, int64_t *v) {
    if (!tsr_extent_eval(m->c, e, m->o->n, m->o->b, v)) return true;
    m->failed = true;
    return false;
}

static void put_number(struct str *s, int64_t v) {
    if (v == INT64_MIN) str_put(s, "(-9223372036854775807 - 1)");
    else str_printf(s, "%lld", (long long)v);
}

static void put_call(struct module *m, struct str *s, const char *fn, const tsr_extent *e) {
    str_printf(s, "%s(", fn);
    module_extent(m, s, e->arg[0]);
    str_put(s, ", ");
    module_extent(m, s, e->arg[1]);
    str_putc(s, ')');
}

static void put_terms(struct module *m, struct str *s, const tsr_extent *e, const char *between) {
    str_putc(s, '(');
    for (int i = 0; i < e->n; i++) {
        if (i) str_put(s, between);
        module_extent(m, s, e->arg[i]);
    }
    str_putc(s, ')');
}

static void put_symbol(struct module *m, struct str *s, const tsr_extent *e) {
    for (size_t i = 0; i < m->symbol.n; i++)
        if (m->symbol.v[i] == e) {
            str_printf(s, "s[%zu]", i);
            return;
        }
    if (!m->failed)
        err_set(m->c, TSR_EUNSUPPORTED, "%s: size %s belongs to no input, so nothing gives it a value", m->o->name,
            e->name);
    m->failed = true;
}

void module_extent(struct module *m, struct str *s, const tsr_extent *e) {
    int64_t v;
    if (!m->o->symbolic) {
        if (module_value(m, e, &v)) put_number(s, v);
        return;
    }
    switch (e->op) {
    case EXT_INT: put_number(s, e->value); break;
    case EXT_SYMBOL: put_symbol(m, s, e); break;
    case EXT_ADD: put_terms(m, s, e, " + "); break;
    case EXT_MUL: put_terms(m, s, e, " * "); break;
    case EXT_FLOORDIV: put_call(m, s, "tsr_floordiv", e); break;
    case EXT_CEILDIV: put_call(m, s, "tsr_ceildiv", e); break;
    case EXT_MOD: put_call(m, s, "tsr_mod", e); break;
    case EXT_MIN: put_call(m, s, "tsr_min", e); break;
    case EXT_MAX: put_call(m, s, "tsr_max", e); break;
    }
}

void module_count(struct module *m, struct str *s, const tsr_type *t) {
    const tsr_extent *n = type_elements(m->c, t);
    if (n) module_extent(m, s, n);
    else m->failed = true;
}

/* Bytes of t when its extents are numbers. */
static bool bytes_of(struct module *m, const tsr_type *t, int64_t *out) {
    const tsr_extent *n = type_elements(m->c, t);
    int64_t v;
    size_t bytes;
    if (!n || !module_value(m, n, &v)) return m->failed = true, false;
    if (tsr_dtype_bytes(t->dtype, v, &bytes) && bytes < INT64_MAX) return *out = (int64_t)bytes, true;
    err_set(m->c, TSR_EINVAL, "%s: a tensor of type %s does not fit memory", m->o->name, type_text(m->c, t));
    return m->failed = true, false;
}

void module_bytes(struct module *m, struct str *s, const tsr_type *t) {
    const tsr_dtype_info *d = tsr_dtype_of(t->dtype);
    int64_t v;
    if (!m->o->symbolic) {
        if (bytes_of(m, t, &v)) put_number(s, v);
        return;
    }
    if (d->block > 1) str_put(s, "tsr_ceildiv("), module_count(m, s, t), str_printf(s, ", %d)", d->block);
    else module_count(m, s, t);
    if (d->bytes != 1) str_printf(s, " * %d", d->bytes);
}

void module_dims(struct module *m, struct str *s, const char *name, const tsr_type *t) {
    str_printf(s, "const vm_i64 %s[%d] = {", name, t->rank ? t->rank : 1);
    for (int i = 0; i < t->rank; i++) {
        if (i) str_put(s, ", ");
        module_extent(m, s, t->extent[i]);
    }
    str_put(s, t->rank ? "};\n" : "1};\n");
}

void module_ints(struct str *s, const char *name, int n, const int64_t *v) {
    str_printf(s, "        const vm_i64 %s[%d] = {", name, n ? n : 1);
    for (int i = 0; i < n; i++) str_printf(s, "%s%lld", i ? ", " : "", (long long)v[i]);
    str_put(s, n ? "};\n" : "1};\n");
}

const char *module_dtype_text(const tsr_type *t) { return tsr_dtype_name(t->dtype); }

static int64_t round64(int64_t n) { return (n + 63) & ~(int64_t)63; }

void module_sum_bytes(struct module *m, struct module_sum *sum, const tsr_type *t) {
    int64_t v;
    if (!m->o->symbolic) {
        if (bytes_of(m, t, &v)) sum->n += round64(v);
        return;
    }
    str_put(&sum->s, " + tsr_round64("), module_bytes(m, &sum->s, t), str_putc(&sum->s, ')');
}

void module_sum_times(struct module *m, struct module_sum *sum, const tsr_extent *e, int64_t bytes) {
    int64_t v;
    if (!m->o->symbolic) {
        if (module_value(m, e, &v)) sum->n += round64(v * bytes);
        return;
    }
    str_put(&sum->s, " + tsr_round64("), module_extent(m, &sum->s, e);
    str_printf(&sum->s, " * %lld)", (long long)bytes);
}
