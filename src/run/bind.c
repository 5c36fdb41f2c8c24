/* bind.c: symbols take their values from the arguments of a run.
 *
 * A parameter extent that is a symbol binds it, every other expression must then evaluate to the argument's size;
 * integer arguments may give sizes too (tsr_fn_size). */
#include "run/bind.h"

#include "tessera/run.h"

static tsr_status bind_one(tsr_ctx *c, const tsr_extent *formal, int64_t actual, const char *what, int arg,
    tsr_binding *b, int *n) {
    if (formal->op != EXT_SYMBOL) return TSR_OK;
    for (int i = 0; i < *n; i++) {
        if (b[i].symbol != formal) continue;
        if (b[i].value == actual) return TSR_OK;
        return err_set(c, TSR_EINVAL, "%s: argument %d has %s = %lld, an earlier argument has %lld", what, arg,
            formal->name, (long long)actual,
                       (long long)b[i].value);
    }
    b[(*n)++] = (tsr_binding){formal, actual};
    return TSR_OK;
}

/* The sizes that integer arguments give (tsr_fn_size). */
static tsr_status bind_sizes(tsr_ctx *c, const struct run_signature *f, tsr_node *const *arg, tsr_binding *b, int *n) {
    int64_t data[FN_SIZE_ELEMENTS], v;
    for (int i = 0; i < f->nsize; i++) {
        const struct fn_size *k = &f->size[i];
        const tsr_type *t = arg[k->param]->type;
        size_t bytes;
        bool fits = type_bytes(t, &bytes) && bytes <= sizeof data;
        tsr_status s = fits ? tsr_read(c, arg[k->param], data, bytes) : TSR_OK;
        if (s) return s;
        int64_t count = fits ? (int64_t)(bytes / (size_t)tsr_dtype_of(t->dtype)->bytes) : 0;
        if (!fn_size_value(t->dtype, data, count, k->element, &v))
            return err_set(c, TSR_EINVAL, "%s: argument %d gives size %s no value", f->name, k->param, k->symbol->name);
        if ((s = bind_one(c, k->symbol, v, f->name, k->param, b, n))) return s;
    }
    return TSR_OK;
}

/* b has room for every symbol of the formals. */
tsr_status run_bind(tsr_ctx *c, const struct run_signature *f, tsr_node *const *arg, tsr_binding *b, int *n) {
    tsr_status s = TSR_OK;
    for (int i = 0; i < f->nparam; i++) {
        const tsr_type *want = f->param[i], *have = arg[i]->type;
        int64_t dim[TSR_MAX_RANK];
        if (have->kind != TSR_TENSOR || want->dtype != have->dtype || want->rank != have->rank ||
            !tsr_type_ints(have, dim))
            return err_set(c, TSR_EINVAL, "%s: argument %d is %s, the parameter is %s", f->name, i,
                type_text(c, have), type_text(c, want));
        for (int j = 0; j < want->rank && !s; j++) s = bind_one(c, want->extent[j], dim[j], f->name, i, b, n);
        if (s) return s;
    }
    if ((s = bind_sizes(c, f, arg, b, n))) return s;
    for (int i = 0; i < f->nparam; i++) {
        const tsr_type *want = f->param[i], *have = arg[i]->type;
        for (int j = 0; j < want->rank; j++) {
            int64_t v, dim = have->extent[j]->value;
            if ((s = tsr_extent_eval(c, want->extent[j], *n, b, &v))) return s;
            if (v != dim)
                return err_set(c, TSR_EINVAL, "%s: argument %d is %s, the parameter is %s: axis %d must be %lld here",
                    f->name, i,
                               type_text(c, have), type_text(c, want), j, (long long)v);
        }
    }
    return TSR_OK;
}

int run_most_symbols(const struct run_signature *s) {
    int n = 1 + s->nsize;
    for (int i = 0; i < s->nparam; i++) n += s->param[i]->rank;
    return n;
}
