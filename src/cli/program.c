/* program.c: opens an engine file, or reads a StableHLO file and picks the entry; makes its arguments from files or
 * from a seed (program.h).
 *
 * Random arguments are uniform in [-1, 1) for floats and complex numbers, 0 .. 9 for integers (indices stay small),
 * and either truth value. Unknown extents are 4, or what their bounds allow; so are integers of rank 0, which programs
 * of unknown extents take to be those extents. */
#include <string.h>

#include "base/rng.h"
#include "cli/program.h"
#include "formats/npz/npy.h"
#include "formats/stablehlo/read.h"
#include "graph/op.h"
#include "tessera/run.h"

bool program_read(struct program *p, tsr_ctx *c, const char *path) {
    *p = (struct program){.c = c};
    if (file_map(c, path, &p->map)) return false;
    if (p->map.n >= 4 && !memcmp(p->map.p, "\x89TSR", 4)) return (p->engine = tsr_engine_open(c, path)) != NULL;
    p->modules = hlo_read(c, path, p->map.p, p->map.n);
    return p->modules != NULL;
}

void program_close(struct program *p) {
    tsr_fn_free(p->c, p->fn);
    tsr_engine_close(p->engine);
    vec_release(p->c, &p->origins);
    if (p->arg) mem_array_free(p->c, p->arg, (size_t)p->n + 1, sizeof *p->arg);
    hlo_module_free(p->modules);
    file_unmap(&p->map);
    *p = (struct program){.c = p->c};
}

const char *program_name(const struct program *p) {
    return p->engine ? tsr_engine_name(p->engine) : tsr_fn_name(p->fn);
}
int program_params(const struct program *p) {
    return p->engine ? tsr_engine_params(p->engine) : tsr_fn_params(p->fn);
}
int program_results(const struct program *p) {
    return p->engine ? tsr_engine_results(p->engine) : tsr_fn_results(p->fn);
}
const tsr_type *program_param_type(const struct program *p, int i) {
    return p->engine ? tsr_engine_param_type(p->engine, i) : tsr_fn_param_type(p->fn, i);
}

/* ---- the entry -------------------------------------------------------------------------------------------------- */

/* The only function of all modules, or NULL. */
static const char *only_function(const struct program *p, const struct hlo_module **m) {
    const char *name = NULL;
    for (const struct hlo_module *at = p->modules; at; at = at->next) {
        const struct hlo_block *b = at->op->region[0].nblock ? at->op->region[0].block : NULL;
        for (const struct hlo_op *op = b ? b->first : NULL; op; op = op->next) {
            if (op->code != HLO_OP_FUNC) continue;
            if (name) return NULL;
            name = hlo_get_text(op, "sym_name"), *m = at;
        }
    }
    return name;
}

static const char *find_entry(struct program *p, const char *path, const char *entry) {
    const char *name = entry ? entry : "main";
    for (const struct hlo_module *at = p->modules; at; at = at->next)
        if (hlo_find_func(at, name)) return p->m = at, name;
    if (!entry && (name = only_function(p, &p->m))) return name;
    err_set(p->c, TSR_ENOTFOUND, "%s: there is no function @%s; name one with --entry", path, entry ? entry : "main");
    return NULL;
}

/* ---- arguments -------------------------------------------------------------------------------------------------- */

static struct ref_val random_value(tsr_dtype t, struct rng *r) {
    struct ref_val v = {0};
    int64_t n = (int64_t)(rng_u64(r) % 10);
    switch (tsr_dtype_of(t)->kind) {
    case TSR_KIND_INT: v.i = n; break;
    case TSR_KIND_UINT: v.u = (uint64_t)n; break;
    case TSR_KIND_BOOL: v.u = n & 1; break;
    default: v.re = 2 * rng_uniform(r) - 1, v.im = 2 * rng_uniform(r) - 1;
    }
    return v;
}

enum { SOME = 4 };

/* An extent of a random argument: SOME within its bounds. */
static int64_t some_extent(const tsr_extent *e) {
    int64_t v, lo, hi;
    if (tsr_extent_is_int(e, &v)) return v;
    tsr_extent_bounds(e, &lo, &hi);
    return lo > SOME ? lo : hi < SOME ? hi : SOME;
}

static tsr_node *random_arg(tsr_ctx *c, const tsr_type *t, struct rng *r) {
    int64_t dim[TSR_MAX_RANK], count = 1;
    size_t bytes;
    for (int i = 0; i < t->rank; i++)
        if (dim[i] = some_extent(t->extent[i]), !i64_mul(count, dim[i], &count)) count = -1;
    if (!tsr_dtype_bytes(t->dtype, count, &bytes))
        return err_set(c, TSR_EINVAL, "a parameter has too many elements"), tsr_poison(c);
    struct ref_tensor x = {.dtype = t->dtype, .count = count, .p = mem_zalloc(c, bytes)};
    tsr_node *n = tsr_poison(c);
    for (int64_t i = 0; x.p && i < count; i++) ref_set(&x, i, random_value(t->dtype, r));
    if (x.p && !t->rank && dtype_is_int(t->dtype)) ref_set(&x, 0, (struct ref_val){.i = SOME, .u = SOME});
    if (x.p) n = tsr_tensor(c, t->dtype, t->rank, dim, x.p);
    mem_free(c, x.p, bytes);
    return n;
}

static bool make_args(struct program *p, const struct program_options *o) {
    int files = o->input ? o->input->n : 0;
    p->n = program_params(p);
    struct rng r = {.seed = (uint64_t)o->seed};
    if (files > p->n || (files < p->n && o->seed < 0))
        return err_set(p->c, TSR_EINVAL, "%s takes %d inputs, %d are given; --random SEED makes the missing ones",
            program_name(p), p->n, files), false;
    if (!(p->arg = mem_array(p->c, (size_t)p->n + 1, sizeof *p->arg))) return false;
    for (int i = 0; i < p->n; i++) {
        const tsr_type *t = program_param_type(p, i);
        p->arg[i] = i < files ? npy_load(p->c, o->input->v[i], &t->dtype, o->raw) : random_arg(p->c, t, &r);
        if (tsr_is_poison(p->arg[i])) return false;
    }
    return true;
}

bool program_import(struct program *p, const char *path, const char *entry) {
    const char *name = find_entry(p, path, entry);
    struct hlo_import_options io = {.partition = -1, .replica = -1, .origins = &p->origins};
    return name && (p->fn = hlo_import(p->m, name, &io, NULL));
}

bool program_open(struct program *p, tsr_ctx *c, const char *path, const struct program_options *o) {
    if (!program_read(p, c, path)) return false;
    if (p->engine && o->entry)
        return err_set(c, TSR_EINVAL, "%s is an engine: it has one entry, leave --entry out", path), false;
    return (p->engine || program_import(p, path, o->entry)) && make_args(p, o);
}

/* ---- showing ---------------------------------------------------------------------------------------------------- */

enum { SHOWN = 8 };

static void show_element(const struct ref_tensor *t, int64_t i) {
    struct ref_val v = ref_get(t, i);
    switch (tsr_dtype_of(t->dtype)->kind) {
    case TSR_KIND_INT: printf(" %lld", (long long)v.i); break;
    case TSR_KIND_UINT: printf(" %llu", (unsigned long long)v.u); break;
    case TSR_KIND_BOOL: printf(v.u ? " true" : " false"); break;
    case TSR_KIND_COMPLEX: printf(" (%.9g, %.9g)", v.re, v.im); break;
    default: printf(" %.9g", v.re);
    }
}

void program_show(tsr_ctx *c, const char *name, tsr_node *value) {
    const tsr_type *t = tsr_node_type(value);
    size_t bytes;
    int64_t count = 1;
    for (int i = 0; i < t->rank; i++) count *= tsr_node_dim(value, i);
    if (!type_bytes(t, &bytes)) return;
    struct ref_tensor x = {.dtype = t->dtype, .count = count, .p = mem_alloc(c, bytes)};
    printf("%s: %s", name, type_text(c, t));
    if (x.p && !tsr_read(c, value, x.p, bytes))
        for (int64_t i = 0; i < count && i < SHOWN; i++) show_element(&x, i);
    printf(count > SHOWN ? " ...\n" : "\n");
    mem_free(c, x.p, bytes);
}
