/* import_parallel.c: interpreter.run_parallel: programs of the module run on a mesh while the module is imported.
 *
 * The operation belongs to tests: its programs are the module's functions, [[@f, @g], [@h, @k]] replica by replica, its
 * operands the arguments of all of them one after the other, its results theirs. A graph has no place for a second
 * program, so its arguments must be constants: they are computed, the programs are imported as fns of their own and
 * run (tsr_mesh_run) on the tier that the options name, and what they give are literals of the graph. infeed =
 * [@q0, @q1] are functions that give the entries of the infeed.
 * Source: the interpreter dialect of openxla/stablehlo. */
#include <stdlib.h>
#include <string.h>

#include "formats/stablehlo/import_mesh.h"
#include "graph/room.h"
#include "tessera/mesh.h"

enum { NESTED_MOST = 4 }; /* programs that run programs */

struct parallel {
    struct imp *p;
    const struct hlo_op *op;
    int n; /* programs */
    tsr_mesh *mesh;
    tsr_mesh_program *program; /* (n) */
    tsr_node **arg, **out;     /* eager: of all programs */
    int nout;
    void **data;               /* (nout) bytes of out */
};

/* ---- constants --------------------------------------------------------------------------------------------------- */

typedef VEC(tsr_node *) node_list;

static int by_id(const void *a, const void *b) {
    const tsr_node *x = *(tsr_node *const *)a, *y = *(tsr_node *const *)b;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool list_node(struct imp *p, node_list *l, tsr_node *n) {
    if (n->pos == POS_LISTED) return true;
    if (!vec_push(p->c, l, n)) return false;
    n->pos = POS_LISTED;
    return true;
}

/* The nodes and all they are made of, sources first. */
static bool list_all(struct imp *p, int n, tsr_node *const *node, node_list *l) {
    bool ok = true;
    for (int i = 0; i < n && ok; i++) ok = list_node(p, l, node[i]);
    for (size_t done = 0; done < l->n && ok; done++)
        for (int i = 0; i < l->v[done]->nsrc && ok; i++) ok = list_node(p, l, l->v[done]->src[i]);
    if (l->n) qsort(l->v, l->n, sizeof *l->v, by_id);
    for (size_t i = 0; i < l->n; i++) l->v[i]->pos = (int32_t)i;
    return ok;
}

/* The same nodes as a fn of no parameters. NULL: one of them is an argument of the function, or memory is short. */
static tsr_fn *constants_fn(struct parallel *k, int n, tsr_node *const *node, const node_list *l) {
    tsr_ctx *c = k->p->c;
    tsr_node **copy = arena_array(&k->p->arena, l->n + 1, sizeof *copy), **src = NULL;
    tsr_node **result = arena_array(&k->p->arena, (size_t)n + 1, sizeof *result);
    if (!copy || !result || tsr_fn_begin(c, "arguments")) return NULL;
    for (size_t i = 0; i < l->n; i++) {
        const tsr_node *x = l->v[i];
        if (x->op == TSR_OP_PARAM) {
            imp_fail(k->p, k->op, "its operands depend on arguments of the function; only constants can be run in "
                "parallel");
            return tsr_fn_abort(c), NULL;
        }
        if (!(src = arena_array(&k->p->arena, (size_t)x->nsrc + 1, sizeof *src))) return tsr_fn_abort(c), NULL;
        for (int j = 0; j < x->nsrc; j++) src[j] = copy[x->src[j]->pos];
        copy[i] = node_rebuild(c, x, src);
    }
    for (int i = 0; i < n; i++) result[i] = copy[node[i]->pos];
    return tsr_fn_end(c, n, result);
}

/* out[]: the values of nodes of the open fn, outside it. */
static bool evaluate(struct parallel *k, int n, tsr_node *const *node, tsr_node **out) {
    node_list l = {0};
    tsr_ctx *c = k->p->c;
    tsr_fn *fn = list_all(k->p, n, node, &l) ? constants_fn(k, n, node, &l) : NULL;
    for (size_t i = 0; i < l.n; i++) l.v[i]->pos = POS_NONE;
    vec_release(c, &l);
    bool ok = fn && !(k->p->o->tier == TSR_TIER_PLAN ? tsr_run : tsr_interpret)(c, fn, 0, NULL, out);
    tsr_fn_free(c, fn);
    return ok;
}

/* ---- programs ---------------------------------------------------------------------------------------------------- */

static const struct hlo_attr *symbol_at(const struct parallel *k, int i) {
    const struct hlo_attr *rows = hlo_get(k->op, "programs");
    int P = rows->item[0]->n;
    return rows->item[i / P]->item[i % P];
}

/* The mesh that the table of programs makes; false: it is no table of symbols. */
static bool open_mesh(struct parallel *k) {
    const struct hlo_attr *rows = hlo_get(k->op, "programs");
    const char *table = "programs is no table of functions: [[@f, @g], [@h, @k]], a row for each replica";
    if (!rows || rows->kind != HLO_A_LIST || !rows->n) return imp_fail(k->p, k->op, "%s", table);
    for (int r = 0; r < rows->n; r++) {
        const struct hlo_attr *row = rows->item[r];
        if (row->kind != HLO_A_LIST || !row->n || row->n != rows->item[0]->n) return imp_fail(k->p, k->op, "%s", table);
        for (int i = 0; i < row->n; i++)
            if (row->item[i]->kind != HLO_A_SYMBOL) return imp_fail(k->p, k->op, "%s", table);
    }
    k->mesh = tsr_mesh_new(k->p->c, rows->n, rows->item[0]->n);
    k->n = k->mesh ? rows->n * rows->item[0]->n : 0;
    k->program = arena_array(&k->p->arena, (size_t)k->n + 1, sizeof *k->program);
    return k->mesh && k->program;
}

static tsr_fn *import_program(struct parallel *k, const char *name, bool program) {
    const struct hlo_import_options *o = k->p->o;
    struct hlo_import_options own = {.partition = -1, .replica = -1, .tier = o->tier, .nested = o->nested + 1,
        .program = program, .replicas = tsr_mesh_replicas(k->mesh), .partitions = tsr_mesh_partitions(k->mesh)};
    if (own.nested > NESTED_MOST)
        return imp_fail(k->p, k->op, "programs run programs more than %d deep", NESTED_MOST), NULL;
    return hlo_import(k->p->m, name, &own, NULL);
}

static bool import_programs(struct parallel *k) {
    for (int i = 0; i < k->n; i++) {
        const char *name = symbol_at(k, i)->s;
        for (int j = 0; j < i && !k->program[i].fn; j++)
            if (!strcmp(symbol_at(k, j)->s, name)) k->program[i].fn = tsr_fn_keep(k->program[j].fn);
        if (!k->program[i].fn && !(k->program[i].fn = import_program(k, name, true))) return false;
        k->nout += tsr_fn_results(k->program[i].fn);
    }
    k->out = arena_array(&k->p->arena, (size_t)k->nout + 1, sizeof *k->out);
    for (int i = 0, at = 0; k->out && i < k->n; at += tsr_fn_results(k->program[i++].fn))
        k->program[i].out = k->out + at;
    return k->out != NULL;
}

/* The operands in order, tuples flattened and tokens left out, as every program's parameters are. */
static bool flatten(struct imp *p, const struct hlo_op *op, const struct imp_value *v, node_list *out) {
    if (v->type && v->type->kind == HLO_T_TOKEN) return true;
    if (v->node) return vec_push(p->c, out, v->node);
    if (!v->item) return imp_fail(p, op, "an operand has no value");
    for (int i = 0; i < v->type->n; i++)
        if (!flatten(p, op, &v->item[i], out)) return false;
    return true;
}

static bool give_arguments(struct parallel *k) {
    node_list list = {0};
    bool ok = true;
    int taken = 0;
    for (int i = 0; i < k->op->noperand && ok; i++)
        ok = flatten(k->p, k->op, imp_value(k->p, k->op->operand[i]), &list);
    ok = ok && (k->arg = arena_array(&k->p->arena, list.n + 1, sizeof *k->arg));
    for (int i = 0; i < k->n; i++) taken += tsr_fn_params(k->program[i].fn);
    if (ok && (size_t)taken != list.n)
        ok = imp_fail(k->p, k->op, "its programs take %d values, %zu are given", taken, list.n);
    ok = ok && (!list.n || evaluate(k, (int)list.n, list.v, k->arg));
    for (int i = 0, at = 0; i < k->n; at += k->program[i++].n) {
        k->program[i].n = tsr_fn_params(k->program[i].fn);
        k->program[i].arg = k->arg + at;
    }
    vec_release(k->p->c, &list);
    return ok;
}

static bool give_infeed(struct parallel *k) {
    const struct hlo_attr *queue = hlo_get(k->op, "infeed");
    tsr_ctx *c = k->p->c;
    bool ok = true;
    for (int i = 0; queue && queue->kind == HLO_A_LIST && i < queue->n && ok; i++) {
        tsr_fn *fn = queue->item[i]->kind == HLO_A_SYMBOL ? import_program(k, queue->item[i]->s, false) : NULL;
        int n = fn ? tsr_fn_results(fn) : 0;
        tsr_node **value = arena_array(&k->p->arena, (size_t)n + 1, sizeof *value);
        ok = fn && value && !(k->p->o->tier == TSR_TIER_PLAN ? tsr_run : tsr_interpret)(c, fn, 0, NULL, value) &&
             !tsr_mesh_infeed(c, k->mesh, n, value);
        tsr_fn_free(c, fn);
    }
    return ok;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* The bytes of all results, which the literals are made of. */
static bool read_results(struct parallel *k) {
    size_t bytes;
    if (!(k->data = arena_array(&k->p->arena, (size_t)k->nout + 1, sizeof *k->data))) return false;
    for (int i = 0; i < k->nout; i++)
        if (!type_bytes(tsr_node_type(k->out[i]), &bytes) || !(k->data[i] = arena_alloc(&k->p->arena, bytes + 1)) ||
            tsr_read(k->p->c, k->out[i], k->data[i], bytes)) return false;
    return true;
}

/* Results as the functions declare them, then come those that keep effects alive: those are nobody's. */
static bool take_results(struct parallel *k) {
    int at = 0;
    for (int i = 0; i < k->n; i++) {
        const struct hlo_op *func = hlo_find_func(k->p->m, symbol_at(k, i)->s), *last = func->region[0].block[0].last;
        ptrdiff_t value = k->program[i].out - k->out;
        for (int j = 0; j < last->noperand; j++, at++) {
            if (at >= k->op->nresult)
                return imp_fail(k->p, k->op, "its programs give more than the %d results declared", k->op->nresult);
            enum hlo_type_kind kind = last->operand[j]->type->kind;
            if (kind != HLO_T_TENSOR && kind != HLO_T_TOKEN)
                return imp_fail(k->p, k->op, "result %d of its programs is no tensor and no token", j);
            if (kind == HLO_T_TOKEN ? !imp_set_token(k->p, k->op, at, NULL)
                : !imp_result(k->p, k->op, at, tsr_const(k->p->c, tsr_node_type(k->out[value]), k->data[value])))
                return false;
            value += kind == HLO_T_TENSOR;
        }
    }
    return at == k->op->nresult || imp_fail(k->p, k->op, "its programs give %d results, %d are declared", at,
        k->op->nresult);
}

/* Importing and running happen outside the fn that is being built. */
static bool run_outside(struct parallel *k) {
    struct graph_room *g = graph_room(k->p->c);
    tsr_fn *open = g->open;
    g->open = NULL;
    bool ok = open_mesh(k) && import_programs(k) && give_arguments(k) && give_infeed(k) &&
              !tsr_mesh_run(k->p->c, k->mesh, k->program, k->p->o->tier) && read_results(k);
    g->open = open;
    return ok;
}

bool imp_run_parallel(struct imp *p, const struct hlo_op *op) {
    struct parallel k = {.p = p, .op = op};
    bool ok = run_outside(&k) && take_results(&k);
    for (int i = 0; i < k.n && k.program; i++) tsr_fn_free(p->c, k.program[i].fn);
    tsr_mesh_free(k.mesh);
    return ok;
}
