/* test_mesh.c: programs that communicate, on meshes of several shapes, in both tiers.
 *
 * The oracle forms process groups as the specification's Python lists do and moves single elements; it shares nothing
 * with comm.c. Values are small integers, so that sums are exact in every dtype. Then: communication inside bodies,
 * gradients against differences of the total loss, data-parallel training, messages, the infeed and the outfeed,
 * programs that differ, deadlocks and errors, and refused allocations at every point. */
#include <math.h>

#include "graph/op.h"
#include "harness.h"
#include "tessera/mesh.h"
#include "tessera/ops.h"
#include "tessera/transform.h"

enum { MOST = 8, RANK = 3, ELEMENTS = 4096 };
static const struct { int replicas, partitions; } meshes[] = {{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 2}, {3, 1}};
enum { MESHES = sizeof meshes / sizeof *meshes };
static const tsr_tier tiers[] = {TSR_TIER_REFERENCE, TSR_TIER_PLAN};
static const char *tier_name(tsr_tier t) { return t == TSR_TIER_PLAN ? "plan" : "reference"; }

/* ---- the oracle -------------------------------------------------------------------------------------------------- */

struct array { int rank; int64_t dim[RANK], count; double v[ELEMENTS]; };

static void array_shape(struct array *a, int rank, const int64_t *dim) {
    a->rank = rank, a->count = 1;
    for (int i = 0; i < rank; i++) a->dim[i] = dim[i], a->count *= dim[i];
}

/* Process groups, as lists of participants. */
struct lists { int n, size[MOST * MOST], who[MOST * MOST][MOST]; };

static void put(struct lists *l, int g, int who) { l->who[g][l->size[g]++] = who; }

static void process_groups(int R, int P, tsr_group_mode mode, int n, int size, const int64_t *id, struct lists *l) {
    memset(l, 0, sizeof *l);
    for (int g = 0; g < n; g++) {
        int others = mode == TSR_CROSS_REPLICA ? P : mode == TSR_CROSS_PARTITION ? R : 1;
        for (int o = 0; o < others; o++, l->n++) {
            int inner = mode == TSR_CROSS_REPLICA_AND_PARTITION ? P : 1;
            for (int p = 0; p < inner; p++)
                for (int i = 0; i < size; i++) {
                    int x = (int)id[g * size + i];
                    if (x < 0) continue;
                    if (mode == TSR_CROSS_REPLICA) put(l, l->n, x * P + o);
                    if (mode == TSR_CROSS_PARTITION) put(l, l->n, o * P + x);
                    if (mode == TSR_CROSS_REPLICA_AND_PARTITION) put(l, l->n, x * P + p);
                    if (mode == TSR_FLATTENED_IDS) put(l, l->n, x);
                }
        }
    }
}

static double *element(struct array *a, const int64_t *at) {
    int64_t k = 0;
    for (int i = 0; i < a->rank; i++) k = k * a->dim[i] + at[i];
    return &a->v[k];
}

static bool step(const struct array *a, int64_t *at) {
    for (int i = a->rank - 1; i >= 0; i--) {
        if (++at[i] < a->dim[i]) return true;
        at[i] = 0;
    }
    return false;
}

static double fold(tsr_reduce op, double a, double b) {
    switch (op) {
    case TSR_REDUCE_SUM: return a + b;
    case TSR_REDUCE_PROD: return a * b;
    case TSR_REDUCE_MAX: return a > b ? a : b;
    default: return a < b ? a : b;
    }
}

/* What a test asks of one collective. */
struct ask {
    enum tsr_op op;
    tsr_reduce how;
    int axis, concat, root; /* root -1: none given */
    tsr_groups g;
    int npairs;
    int64_t pair[2 * MOST];
};

static void oracle_member(const struct ask *a, int n, const int *who, int me, struct array *in, struct array *out) {
    int64_t at[RANK] = {0};
    struct array *y = &out[who[me]];
    if (!y->count) return;
    do {
        int64_t from[RANK] = {0};
        double v = 0;
        int sender = a->root > 0 ? a->root : 0;
        for (int i = 0; i < y->rank; i++) from[i] = at[i];
        switch (a->op) {
        case TSR_OP_ALL_GATHER: {
            int64_t d = in[who[0]].dim[a->axis];
            v = (from[a->axis] = at[a->axis] % d, *element(&in[who[at[a->axis] / d]], from));
            break;
        }
        case TSR_OP_ALL_TO_ALL: {
            int64_t d = in[who[0]].dim[a->concat] / (a->axis == a->concat ? n : 1);
            sender = (int)(at[a->concat] / d), from[a->concat] = at[a->concat] % d;
            from[a->axis] += me * (in[who[0]].dim[a->axis] / n);
            v = *element(&in[who[sender]], from);
            break;
        }
        case TSR_OP_REDUCE_SCATTER: from[a->axis] += me * y->dim[a->axis]; /* fall through */
        case TSR_OP_ALL_REDUCE:
        case TSR_OP_COLLECTIVE_REDUCE:
            v = *element(&in[who[0]], from);
            for (int j = 1; j < n; j++) v = fold(a->how, v, *element(&in[who[j]], from));
            if (a->op == TSR_OP_COLLECTIVE_REDUCE && me != sender) v = 0;
            break;
        default: v = *element(&in[who[sender]], from);
        }
        *element(y, at) = v;
    } while (step(y, at));
}

static void oracle(const struct ask *a, int R, int P, struct array *in, struct array *out) {
    struct lists l;
    int64_t all[MOST];
    int n = a->g.n, size = a->g.size, most = a->g.mode == TSR_FLATTENED_IDS ? R * P
        : a->g.mode == TSR_CROSS_PARTITION ? P : R;
    for (int i = 0; i < MOST; i++) all[i] = i;
    process_groups(R, P, a->g.mode, n ? n : 1, n ? size : most, n ? a->g.id : all, &l);
    for (int i = 0; i < R * P; i++) memset(out[i].v, 0, sizeof out[i].v);
    for (int i = 0; i < a->npairs; i++) {
        process_groups(R, P, a->g.mode, 1, 2, &a->pair[2 * i], &l);
        for (int g = 0; g < l.n; g++) {
            int from = l.who[g][0], to = l.who[g][1];
            memcpy(out[to].v, in[from].v, sizeof in[from].v);
        }
    }
    for (int g = 0; g < l.n && a->op != TSR_OP_COLLECTIVE_PERMUTE; g++)
        for (int m = 0; m < l.size[g]; m++) oracle_member(a, l.size[g], l.who[g], m, in, out);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static tsr_node *array_node(tsr_ctx *c, tsr_dtype t, const struct array *a) {
    uint8_t raw[ELEMENTS * 16] = {0};
    struct ref_tensor x = {.dtype = t, .count = a->count, .p = raw};
    for (int64_t i = 0; i < a->count; i++)
        ref_set(&x, i, (struct ref_val){.re = a->v[i], .i = (int64_t)a->v[i], .u = (uint64_t)(int64_t)a->v[i]});
    return tsr_tensor(c, t, a->rank, a->dim, raw);
}

/* a in dtype t: what integers of few bits keep. */
static double wrapped(tsr_dtype t, double v) {
    return t == TSR_I4 ? (double)((((int64_t)v % 16) + 24) % 16 - 8) : v;
}

static void check_node(tsr_ctx *c, tsr_node *n, const struct array *want) {
    uint8_t raw[ELEMENTS * 16];
    int64_t dim[TSR_MAX_RANK];
    size_t bytes;
    tsr_dtype t = tsr_node_dtype(n);
    if (!CHECK(!tsr_is_poison(n)) || !CHECK_EQ(tsr_node_rank(n), want->rank)) return;
    CHECK(tsr_type_ints(tsr_node_type(n), dim));
    for (int i = 0; i < want->rank; i++) CHECK_EQ(dim[i], want->dim[i]);
    struct ref_tensor x = {.dtype = t, .count = want->count, .p = raw};
    if (!tsr_dtype_bytes(t, want->count, &bytes) || !CHECK_EQ(tsr_read(c, n, raw, bytes), TSR_OK)) return;
    for (int64_t i = 0; i < want->count; i++) {
        struct ref_val v = ref_get(&x, i);
        double got = tsr_dtype_of(t)->kind == TSR_KIND_INT ? (double)v.i : v.re;
        if (!CHECK_CLOSE(got, wrapped(t, want->v[i]), 0, 0)) return;
    }
}

/* The same fn on every participant; one argument and one result each. */
static tsr_status run_spmd(tsr_ctx *c, tsr_mesh *m, tsr_fn *f, tsr_tier tier, tsr_node *const *arg, tsr_node **out) {
    tsr_mesh_program program[MOST];
    int n = tsr_mesh_replicas(m) * tsr_mesh_partitions(m), takes = tsr_fn_params(f), gives = tsr_fn_results(f);
    for (int i = 0; i < n; i++) program[i] = (tsr_mesh_program){f, takes, arg + i * takes, out + i * gives};
    return tsr_mesh_run(c, m, program, tier);
}

/* ---- random collectives ------------------------------------------------------------------------------------------ */

static int shuffled(int n, int64_t *id) {
    for (int i = 0; i < n; i++) id[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)test_int(0, i);
        int64_t x = id[i];
        id[i] = id[j], id[j] = x;
    }
    return n;
}

static const enum tsr_op collectives[] = {TSR_OP_ALL_REDUCE, TSR_OP_ALL_GATHER, TSR_OP_REDUCE_SCATTER,
    TSR_OP_ALL_TO_ALL, TSR_OP_COLLECTIVE_PERMUTE, TSR_OP_COLLECTIVE_BROADCAST, TSR_OP_COLLECTIVE_REDUCE};
enum { COLLECTIVES = sizeof collectives / sizeof *collectives };

static bool needs_even(enum tsr_op op) {
    return op == TSR_OP_ALL_GATHER || op == TSR_OP_REDUCE_SCATTER || op == TSR_OP_ALL_TO_ALL;
}
static bool may_leave_out(enum tsr_op op) {
    return op == TSR_OP_COLLECTIVE_BROADCAST || op == TSR_OP_COLLECTIVE_REDUCE;
}

/* Groups over all ids of a mode: of one size, or (ragged) padded with -1; or none. */
static void random_groups(struct ask *a, int R, int P, int64_t *id) {
    static int64_t order[MOST];
    a->g.mode = (tsr_group_mode)test_int(0, 3);
    int ids = a->g.mode == TSR_FLATTENED_IDS ? R * P : a->g.mode == TSR_CROSS_PARTITION ? P : R;
    int wide = a->g.mode == TSR_CROSS_REPLICA_AND_PARTITION ? P : 1, size = (int)test_int(1, ids);
    shuffled(ids, order);
    if (needs_even(a->op)) while (ids % size) size--;
    if (test_int(0, 4) == 0) {
        a->g.members = ids * wide;
        return;
    }
    int used = may_leave_out(a->op) ? (int)test_int(1, ids) : ids;
    a->g.n = (used + size - 1) / size, a->g.size = size, a->g.id = id;
    for (int i = 0; i < a->g.n * size; i++) id[i] = i < used ? order[i] : -1;
    a->g.members = needs_even(a->op) ? size * wide : 0;
}

static void random_pairs(struct ask *a, int R, int P) {
    int64_t from[MOST], to[MOST];
    a->g.mode = (tsr_group_mode)test_int(0, 3);
    if (a->g.mode == TSR_CROSS_REPLICA_AND_PARTITION) a->g.mode = TSR_CROSS_REPLICA;
    int ids = a->g.mode == TSR_FLATTENED_IDS ? R * P : a->g.mode == TSR_CROSS_PARTITION ? P : R;
    shuffled(ids, from), shuffled(ids, to);
    a->npairs = (int)test_int(0, ids);
    for (int i = 0; i < a->npairs; i++) a->pair[2 * i] = from[i], a->pair[2 * i + 1] = to[i];
}

static tsr_node *build(tsr_ctx *c, const struct ask *a, tsr_node *x) {
    tsr_node *root = a->root >= 0 ? tsr_scalar_int(c, TSR_I32, a->root) : NULL;
    switch (a->op) {
    case TSR_OP_ALL_REDUCE: return tsr_prim_all_reduce(c, x, a->how, &a->g);
    case TSR_OP_ALL_GATHER: return tsr_prim_all_gather(c, x, a->axis, &a->g);
    case TSR_OP_REDUCE_SCATTER: return tsr_prim_reduce_scatter(c, x, a->how, a->axis, &a->g);
    case TSR_OP_ALL_TO_ALL: return tsr_prim_all_to_all(c, x, a->axis, a->concat, &a->g);
    case TSR_OP_COLLECTIVE_PERMUTE: return tsr_prim_collective_permute(c, x, a->g.mode, a->npairs, a->pair);
    case TSR_OP_COLLECTIVE_REDUCE: return tsr_prim_collective_reduce(c, x, root, a->how, &a->g);
    default: return tsr_prim_collective_broadcast(c, x, root, &a->g);
    }
}

/* The least size of a group, so that a root exists in all. */
static int smallest_group(const struct ask *a, int R, int P) {
    int least = a->g.mode == TSR_CROSS_REPLICA_AND_PARTITION ? R * P : a->g.mode == TSR_FLATTENED_IDS ? R * P
        : a->g.mode == TSR_CROSS_PARTITION ? P : R;
    for (int g = 0; g < a->g.n; g++) {
        int size = 0;
        for (int i = 0; i < a->g.size; i++) size += a->g.id[g * a->g.size + i] >= 0;
        least = size < least ? size : least;
    }
    return least;
}

static struct array xs[MOST], ys[MOST];

static void one_collective(tsr_ctx *c, int R, int P, enum tsr_op op, tsr_dtype t) {
    static const tsr_reduce how[] = {TSR_REDUCE_SUM, TSR_REDUCE_MAX, TSR_REDUCE_MIN, TSR_REDUCE_PROD};
    int64_t id[2 * MOST], dim[RANK];
    struct ask a = {.op = op, .how = how[test_int(0, 3)], .root = -1};
    tsr_node *in[MOST], *out[MOST];
    int rank = (int)test_int(needs_even(op), RANK), n = R * P;
    if (op == TSR_OP_COLLECTIVE_PERMUTE) random_pairs(&a, R, P);
    else random_groups(&a, R, P, id);
    if (may_leave_out(op) && test_int(0, 1)) a.root = (int)test_int(0, smallest_group(&a, R, P) - 1);
    a.axis = rank ? (int)test_int(0, rank - 1) : 0, a.concat = rank ? (int)test_int(0, rank - 1) : 0;
    for (int i = 0; i < rank; i++) dim[i] = test_int(test_int(0, 9) == 0 ? 0 : 1, 5);
    if (op == TSR_OP_REDUCE_SCATTER || op == TSR_OP_ALL_TO_ALL) dim[a.axis] *= a.g.members;
    bool small = a.how == TSR_REDUCE_PROD;
    for (int i = 0; i < n; i++) {
        array_shape(&xs[i], rank, dim);
        for (int64_t k = 0; k < xs[i].count; k++) xs[i].v[k] = (double)test_int(small ? 0 : -4, small ? 1 : 3);
        in[i] = array_node(c, t, &xs[i]);
    }
    int64_t ydim[RANK] = {0};
    for (int i = 0; i < rank; i++) ydim[i] = dim[i];
    if (op == TSR_OP_ALL_GATHER) ydim[a.axis] *= a.g.members;
    if (op == TSR_OP_REDUCE_SCATTER) ydim[a.axis] /= a.g.members;
    if (op == TSR_OP_ALL_TO_ALL) ydim[a.axis] /= a.g.members, ydim[a.concat] *= a.g.members;
    for (int i = 0; i < n; i++) array_shape(&ys[i], rank, ydim);
    oracle(&a, R, P, xs, ys);
    tsr_mesh *m = tsr_mesh_new(c, R, P);
    tsr_fn_begin(c, "program");
    tsr_node *y = build(c, &a, tsr_param(c, tsr_type_dims(c, t, rank, dim), "x"));
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    if (CHECK(m && f)) {
        CHECK_EQ(tsr_verify(c, f), TSR_OK);
        for (int k = 0; k < 2; k++) {
            if (!CHECK_EQ(run_spmd(c, m, f, tiers[k], in, out), TSR_OK)) break;
            for (int i = 0; i < n; i++) check_node(c, out[i], &ys[i]);
        }
    }
    tsr_fn_free(c, f);
    tsr_mesh_free(m);
    CHECK_OK(c);
}

/* Every collective, group strategy and mesh: if a case fails, somebody got another participant's part. */
TEST(collectives_move_what_the_specification_says) {
    static const tsr_dtype dtypes[] = {TSR_F32, TSR_I64, TSR_I4, TSR_BF16, TSR_F64};
    tsr_ctx *c = test_ctx();
    for (int k = 0; k < MESHES; k++)
        for (int o = 0; o < COLLECTIVES; o++) {
            test_case("%s on %d x %d", op_name(collectives[o]), meshes[k].replicas, meshes[k].partitions);
            for (int round = 0; round < 30; round++) {
                tsr_scope *s = tsr_scope_begin(c);
                one_collective(c, meshes[k].replicas, meshes[k].partitions, collectives[o], dtypes[round % 5]);
                tsr_scope_end(c, s);
                if (test_failures()) break;
            }
        }
}

TEST(participants_know_their_place) {
    tsr_ctx *c = test_ctx();
    tsr_fn_begin(c, "ids");
    tsr_node *id[] = {tsr_prim_replica_id(c), tsr_prim_partition_id(c)}, *out[2 * MOST];
    tsr_fn *f = tsr_fn_end(c, 2, id);
    tsr_mesh *m = tsr_mesh_new(c, 3, 2);
    for (int k = 0; k < 2; k++) {
        test_case("%s", tier_name(tiers[k]));
        CHECK_EQ(run_spmd(c, m, f, tiers[k], NULL, out), TSR_OK);
        for (int i = 0; i < 6; i++) {
            CHECK_CLOSE(tsr_read_scalar(c, out[2 * i]), i / 2, 0, 0);
            CHECK_CLOSE(tsr_read_scalar(c, out[2 * i + 1]), i % 2, 0, 0);
        }
    }
    /* and a context without a mesh is participant 0 of one */
    CHECK_EQ(tsr_run(c, f, 0, NULL, out), TSR_OK);
    CHECK_CLOSE(tsr_read_scalar(c, out[0]) + tsr_read_scalar(c, out[1]), 0, 0, 0);
    tsr_fn_free(c, f), tsr_mesh_free(m);
    CHECK_OK(c);
}

/* ---- inside bodies ----------------------------------------------------------------------------------------------- */

static const tsr_type *f32s(tsr_ctx *c, int rank, int64_t n) { return tsr_type_dims(c, TSR_F32, rank, &n); }

/* x = all_reduce(x) / 2, `turns` times (a carried i32 counts). */
static tsr_node *reduce_in_while(tsr_ctx *c, tsr_node *x, int turns) {
    const tsr_type *i32 = tsr_type_dims(c, TSR_I32, 0, NULL), *t = tsr_node_type(x);
    tsr_fn_begin(c, "cond");
    tsr_node *i = tsr_param(c, i32, "i");
    tsr_param(c, t, "x");
    tsr_node *go = tsr_prim2(c, TSR_S_LT, i, tsr_scalar_int(c, TSR_I32, turns));
    tsr_fn *cond = tsr_fn_end(c, 1, &go);
    tsr_fn_begin(c, "body");
    tsr_node *next[2];
    next[0] = tsr_prim2(c, TSR_S_ADD, tsr_param(c, i32, "i"), tsr_scalar_int(c, TSR_I32, 1));
    next[1] = tsr_prim2(c, TSR_S_MUL, tsr_prim_all_reduce(c, tsr_param(c, t, "x"), TSR_REDUCE_SUM, NULL),
        tsr_full(c, t, 0.5));
    tsr_fn *body = tsr_fn_end(c, 2, next);
    tsr_node *all = tsr_prim_while(c, cond, body, 2, (tsr_node *[]){tsr_scalar_int(c, TSR_I32, 0), x}, 0);
    tsr_fn_free(c, cond), tsr_fn_free(c, body);
    return tsr_item(c, all, 1);
}

/* Scans over the rows of x (n, m): carry += all_reduce(row); y = carry. */
static tsr_node *reduce_in_scan(tsr_ctx *c, tsr_node *x) {
    const tsr_type *row = f32s(c, 1, tsr_node_dim(x, 1));
    tsr_fn_begin(c, "step");
    tsr_node *carry = tsr_param(c, row, "carry"), *slice = tsr_param(c, row, "row"), *out[2];
    out[0] = out[1] = tsr_prim2(c, TSR_S_ADD, carry, tsr_prim_all_reduce(c, slice, TSR_REDUCE_SUM, NULL));
    tsr_fn *body = tsr_fn_end(c, 2, out);
    tsr_node *zero = tsr_full(c, row, 0),
        *all = tsr_prim_scan(c, body, 1, &zero, 1, &x, tsr_node_extent(x, 0), false);
    tsr_fn_free(c, body);
    return tsr_item(c, all, 1);
}

/* All participants take the branch that the sum of their x picks; both branches communicate. */
static tsr_node *reduce_in_cond(tsr_ctx *c, tsr_node *x) {
    const tsr_type *t = tsr_node_type(x);
    tsr_fn *branch[2];
    for (int i = 0; i < 2; i++) {
        tsr_fn_begin(c, i ? "max" : "min");
        tsr_node *y = tsr_prim_all_reduce(c, tsr_param(c, t, "x"), i ? TSR_REDUCE_MAX : TSR_REDUCE_MIN, NULL);
        branch[i] = tsr_fn_end(c, 1, &y);
    }
    int64_t axis = 0;
    tsr_node *sum = tsr_prim_all_reduce(c, tsr_prim_reduce(c, x, TSR_REDUCE_SUM, 1, &axis), TSR_REDUCE_SUM, NULL);
    tsr_node *pick = tsr_prim2(c, TSR_S_GT, sum, tsr_scalar_float(c, TSR_F32, 0));
    tsr_node *all = tsr_prim_cond(c, pick, 2, branch, 1, &x);
    tsr_fn_free(c, branch[0]), tsr_fn_free(c, branch[1]);
    return tsr_item(c, all, 0);
}

/* A participant waits in the middle of a loop while another runs the same plan: their memory must not mix. */
TEST(bodies_communicate) {
    tsr_ctx *c = test_ctx();
    enum { N = 4, M = 5, R = 3 };
    const tsr_type *t = tsr_type_dims(c, TSR_F32, 2, (int64_t[]){N, M});
    float x[R][N][M];
    tsr_node *in[R], *out[3 * R];
    for (int r = 0; r < R; r++) {
        for (int i = 0; i < N * M; i++) x[r][i / M][i % M] = (float)test_int(-3, 3);
        in[r] = tsr_from(c, t, x[r]);
    }
    tsr_fn_begin(c, "bodies");
    tsr_node *p = tsr_param(c, t, "x"), *y[3], *flat = tsr_prim_reshape(c, p, f32s(c, 1, N * M));
    y[0] = reduce_in_while(c, p, 3), y[1] = reduce_in_scan(c, p), y[2] = reduce_in_cond(c, flat);
    tsr_fn *f = tsr_fn_end(c, 3, y);
    tsr_mesh *m = tsr_mesh_new(c, R, 1);
    float w[N][M], s[N][M], k[N][M], got[N][M], total = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) {
            w[i][j] = 0, k[i][j] = 0, s[i][j] = i ? s[i - 1][j] : 0;
            for (int r = 0; r < R; r++) w[i][j] += x[r][i][j], s[i][j] += x[r][i][j], total += x[r][i][j];
            w[i][j] *= 0.5f * 1.5f * 1.5f; /* turns 2 and 3 add three equal values and halve */
        }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < M; j++) {
            k[i][j] = x[0][i][j];
            for (int r = 1; r < R; r++)
                k[i][j] = (float)fold(total > 0 ? TSR_REDUCE_MAX : TSR_REDUCE_MIN, k[i][j], x[r][i][j]);
        }
    for (int tier = 0; tier < 2; tier++) {
        test_case("%s", tier_name(tiers[tier]));
        if (!CHECK_EQ(run_spmd(c, m, f, tiers[tier], in, out), TSR_OK)) break;
        for (int r = 0; r < R; r++) {
            tsr_read(c, out[3 * r], got, sizeof got), CHECK_F32(&got[0][0], &w[0][0], N * M, 0, 0);
            tsr_read(c, out[3 * r + 1], got, sizeof got), CHECK_F32(&got[0][0], &s[0][0], N * M, 0, 0);
            tsr_read(c, out[3 * r + 2], got, sizeof got), CHECK_F32(&got[0][0], &k[0][0], N * M, 0, 0);
        }
    }
    tsr_fn_free(c, f), tsr_mesh_free(m);
    CHECK_OK(c);
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

/* Three all_reduces: of x, of x or u, of z. In `fused` the first operand is computed in one kernel with a value that is
 * needed last, so a plan that ordered steps by readiness alone would reach the others first; and the first two are
 * equal nodes, which must stay two. */
static tsr_fn *three_reductions(tsr_ctx *c, bool fused) {
    const tsr_type *t = f32s(c, 1, 6), *s = f32s(c, 1, 4);
    tsr_fn_begin(c, fused ? "fused" : "plain");
    tsr_node *x = tsr_param(c, t, "x"), *u = tsr_param(c, t, "u"), *z = tsr_param(c, s, "z"), *y[4];
    tsr_node *a = fused ? tsr_prim1(c, TSR_S_LOG, tsr_prim1(c, TSR_S_EXP, x)) : x;
    y[0] = tsr_prim_all_reduce(c, a, TSR_REDUCE_SUM, NULL);
    y[1] = tsr_prim_all_reduce(c, fused ? a : u, TSR_REDUCE_SUM, NULL);
    y[2] = tsr_prim_all_reduce(c, z, TSR_REDUCE_SUM, NULL);
    y[3] = tsr_prim2(c, TSR_S_MUL, a, a);
    return tsr_fn_end(c, 4, y);
}

TEST(communication_keeps_its_order_and_number) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f[] = {three_reductions(c, true), three_reductions(c, false)};
    tsr_mesh *m = tsr_mesh_new(c, 2, 1);
    tsr_node *arg[] = {tsr_full(c, f32s(c, 1, 6), 3), tsr_full(c, f32s(c, 1, 6), 5), tsr_full(c, f32s(c, 1, 4), 2)},
        *out[8];
    tsr_mesh_program p[] = {{f[0], 3, arg, out}, {f[1], 3, arg, out + 4}};
    for (int k = 0; k < 2; k++) {
        test_case("%s", tier_name(tiers[k]));
        if (!CHECK_EQ(tsr_mesh_run(c, m, p, tiers[k]), TSR_OK)) break;
        for (int i = 0; i < 8; i++) {
            float v[6], want[] = {6, 8, 4, 9};
            int n = i % 4 == 2 ? 4 : 6;
            tsr_read(c, out[i], v, (size_t)n * sizeof *v);
            for (int j = 0; j < n; j++) CHECK_CLOSE(v[j], want[i % 4], 1e-6, 0);
        }
    }
    tsr_fn_free(c, f[0]), tsr_fn_free(c, f[1]), tsr_mesh_free(m);
    CHECK_OK(c);
}

/* ---- gradients --------------------------------------------------------------------------------------------------- */

/* sum over participants of <w, collective(x)>: its difference quotients against the rule, each participant seeding with
 * its own w. */
static double total_loss(tsr_ctx *c, tsr_mesh *m, tsr_fn *f, tsr_node *const *x, tsr_node *const *w) {
    tsr_node *in[2 * MOST], *out[MOST];
    double sum = 0;
    int n = tsr_mesh_replicas(m) * tsr_mesh_partitions(m);
    for (int i = 0; i < n; i++) in[2 * i] = x[i], in[2 * i + 1] = w[i];
    if (!CHECK_EQ(run_spmd(c, m, f, TSR_TIER_REFERENCE, in, out), TSR_OK)) return NAN;
    for (int i = 0; i < n; i++) sum += tsr_read_scalar(c, out[i]);
    return sum;
}

static tsr_fn *weighted(tsr_ctx *c, const struct ask *a, const tsr_type *t) {
    int64_t axes[] = {0, 1};
    tsr_fn_begin(c, "loss");
    tsr_node *y = build(c, a, tsr_param(c, t, "x"));
    tsr_node *w = tsr_param(c, tsr_node_type(y), "w");
    tsr_node *loss = tsr_prim_reduce(c, tsr_prim2(c, TSR_S_MUL, y, w), TSR_REDUCE_SUM, 2, axes);
    return tsr_fn_end(c, 1, &loss);
}

static tsr_node *random_f64(tsr_ctx *c, const tsr_type *t, double *v) {
    int64_t dim[TSR_MAX_RANK], n = 1;
    tsr_type_ints(t, dim);
    for (int i = 0; i < t->rank; i++) n *= dim[i];
    for (int64_t i = 0; i < n; i++) v[i] = test_uniform(0.5, 2);
    return tsr_from(c, t, v);
}

static void check_gradient(tsr_ctx *c, const struct ask *a, int R, int P) {
    enum { N = 4, COLS = 2 };
    const tsr_type *t = tsr_type_dims(c, TSR_F64, 2, (int64_t[]){N, COLS});
    static double x[MOST][N * COLS], w[MOST][ELEMENTS];
    tsr_node *xn[MOST], *wn[MOST], *in[2 * MOST], *g[MOST];
    tsr_fn *f = weighted(c, a, t), *d = f ? tsr_grad_fn(c, f, 1, (int[]){0}, false) : NULL;
    tsr_mesh *m = tsr_mesh_new(c, R, P);
    if (!CHECK(d && m)) goto out;
    for (int i = 0; i < R * P; i++) {
        in[2 * i] = xn[i] = random_f64(c, t, x[i]);
        in[2 * i + 1] = wn[i] = random_f64(c, tsr_fn_param_type(f, 1), w[i]);
    }
    for (int k = 0; k < 2; k++) {
        if (!CHECK_EQ(run_spmd(c, m, d, tiers[k], in, g), TSR_OK)) goto out;
        for (int i = 0; i < R * P; i++) {
            double got[N * COLS];
            tsr_read(c, g[i], got, sizeof got);
            for (int e = (int)test_int(0, 2); e < N * COLS; e += 3) {
                double at = x[i][e], h = 1e-5, loss[2];
                for (int side = 0; side < 2; side++) {
                    x[i][e] = side ? at + h : at - h;
                    xn[i] = tsr_from(c, t, x[i]);
                    loss[side] = total_loss(c, m, f, xn, wn);
                }
                x[i][e] = at, xn[i] = in[2 * i];
                CHECK_CLOSE(got[e], (loss[1] - loss[0]) / (2 * h), 1e-6, 1e-7);
            }
        }
    }
out:
    tsr_fn_free(c, f), tsr_fn_free(c, d), tsr_mesh_free(m);
    CHECK_OK(c);
}

TEST(gradients_are_the_transposed_communication) {
    tsr_ctx *c = test_ctx();
    static const int64_t two[] = {1, 0}, swap[] = {0, 1, 1, 0};
    static const tsr_reduce how[] = {TSR_REDUCE_SUM, TSR_REDUCE_MAX, TSR_REDUCE_MIN, TSR_REDUCE_PROD};
    for (int o = 0; o < COLLECTIVES; o++)
        for (int h = 0; h < 4; h++) {
            struct ask a = {.op = collectives[o], .how = how[h], .concat = 1, .root = h % 2 ? 1 : -1,
                .npairs = h % 2 + 1};
            bool reduces = a.op == TSR_OP_ALL_REDUCE || a.op == TSR_OP_REDUCE_SCATTER;
            if (h > 1 && !reduces) continue;
            if (a.op == TSR_OP_COLLECTIVE_REDUCE) a.how = TSR_REDUCE_SUM;
            if (a.op == TSR_OP_COLLECTIVE_BROADCAST || a.op == TSR_OP_COLLECTIVE_REDUCE || reduces || h)
                a.g = (tsr_groups){.n = 1, .size = 2, .id = two};
            else a.g = (tsr_groups){.mode = TSR_FLATTENED_IDS, .members = 4};
            if (a.op == TSR_OP_COLLECTIVE_PERMUTE) a.g = (tsr_groups){0};
            memcpy(a.pair, swap, sizeof swap);
            test_case("%s %d", op_name(a.op), h);
            tsr_scope *s = tsr_scope_begin(c);
            check_gradient(c, &a, 2, 2);
            tsr_scope_end(c, s);
        }
}

/* ---- data-parallel training -------------------------------------------------------------------------------------- */

enum { BATCH = 24, FEATURES = 6, HIDDEN = 5 };

/* One SGD step on mean((tanh(x a) b - y)^2) over `batch` rows of a whole of BATCH; reduce: gradients are summed over
 * all participants. Params: x, y, a, b; results: a, b, loss. */
static tsr_fn *sgd_step(tsr_ctx *c, int64_t batch, bool reduce) {
    tsr_fn_begin(c, "step");
    tsr_node *x = tsr_param(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){batch, FEATURES}), "x"),
        *y = tsr_param(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){batch, 1}), "y"), *w[2], *g[2], *out[3];
    w[0] = tsr_param(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){FEATURES, HIDDEN}), "a");
    w[1] = tsr_param(c, tsr_type_dims(c, TSR_F32, 2, (int64_t[]){HIDDEN, 1}), "b");
    tsr_node *e = tsr_sub(c, tsr_matmul(c, tsr_tanh(c, tsr_matmul(c, x, w[0])), w[1]), y);
    int64_t axes[] = {0, 1};
    out[2] = tsr_prim2(c, TSR_S_MUL, tsr_prim_reduce(c, tsr_mul(c, e, e), TSR_REDUCE_SUM, 2, axes),
        tsr_scalar_float(c, TSR_F32, 1.0 / BATCH));
    tsr_grad(c, out[2], 2, w, g);
    for (int i = 0; i < 2; i++) {
        if (reduce) g[i] = tsr_prim_all_reduce(c, g[i], TSR_REDUCE_SUM, NULL);
        out[i] = tsr_sub(c, w[i], tsr_mul(c, g[i], tsr_full(c, tsr_node_type(g[i]), 0.1)));
    }
    if (reduce) out[2] = tsr_prim_all_reduce(c, out[2], TSR_REDUCE_SUM, NULL);
    return tsr_fn_end(c, 3, out);
}

/* Ten steps on `n` participants with their part of the batch each; the parameters in a and b, equal everywhere. */
static bool train(tsr_ctx *c, int n, tsr_tier tier, const float *x, const float *y, float *a, float *b, float *loss) {
    tsr_fn *f = sgd_step(c, BATCH / n, n > 1);
    tsr_mesh *m = tsr_mesh_new(c, n, 1);
    tsr_node *in[4 * MOST], *out[3 * MOST];
    bool ok = f && m;
    for (int step = 0; step < 10 && ok; step++) {
        tsr_scope *s = tsr_scope_begin(c);
        for (int i = 0; i < n; i++) {
            in[4 * i] = tsr_tensor(c, TSR_F32, 2, (int64_t[]){BATCH / n, FEATURES}, x + i * BATCH / n * FEATURES);
            in[4 * i + 1] = tsr_tensor(c, TSR_F32, 2, (int64_t[]){BATCH / n, 1}, y + i * BATCH / n);
            in[4 * i + 2] = tsr_tensor(c, TSR_F32, 2, (int64_t[]){FEATURES, HIDDEN}, a);
            in[4 * i + 3] = tsr_tensor(c, TSR_F32, 2, (int64_t[]){HIDDEN, 1}, b);
        }
        ok = CHECK_EQ(run_spmd(c, m, f, tier, in, out), TSR_OK);
        for (int i = 0; i < n && ok; i++) {
            float a_i[FEATURES * HIDDEN], b_i[HIDDEN];
            tsr_read(c, out[3 * i], i ? a_i : a, sizeof a_i), tsr_read(c, out[3 * i + 1], i ? b_i : b, sizeof b_i);
            if (i) ok = CHECK_BYTES(a_i, a, sizeof a_i) && CHECK_BYTES(b_i, b, sizeof b_i);
        }
        if (ok) *loss = (float)tsr_read_scalar(c, out[2]);
        tsr_scope_end(c, s);
    }
    tsr_fn_free(c, f), tsr_mesh_free(m);
    return CHECK_OK(c) && ok;
}

/* Four participants with a quarter of the batch each walk as one with all of it; every replica keeps the same bits,
 * with any number of threads. */
TEST(data_parallel_training_is_training) {
    float x[BATCH * FEATURES], y[BATCH], a0[FEATURES * HIDDEN], b0[HIDDEN], a[4][FEATURES * HIDDEN], b[4][HIDDEN],
        loss[4];
    for (int i = 0; i < BATCH * FEATURES; i++) x[i] = (float)test_normal();
    for (int i = 0; i < BATCH; i++) y[i] = (float)test_normal();
    for (int i = 0; i < FEATURES * HIDDEN; i++) a0[i] = (float)test_uniform(-1, 1);
    for (int i = 0; i < HIDDEN; i++) b0[i] = (float)test_uniform(-1, 1);
    for (int tier = 0; tier < 2; tier++) {
        test_case("%s", tier_name(tiers[tier]));
        static const struct { int n, threads; } run[] = {{1, 1}, {4, 1}, {4, 7}, {4, 2}};
        for (int k = 0; k < 4; k++) {
            tsr_ctx *c = test_ctx_with(&(tsr_config){.threads = run[k].threads});
            memcpy(a[k], a0, sizeof a0), memcpy(b[k], b0, sizeof b0);
            if (!train(c, run[k].n, tiers[tier], x, y, a[k], b[k], &loss[k])) return;
            test_ctx_close(c);
        }
        CHECK_F32(a[1], a[0], FEATURES * HIDDEN, 1e-5, 1e-6);
        CHECK_F32(b[1], b[0], HIDDEN, 1e-5, 1e-6);
        CHECK_CLOSE(loss[1], loss[0], 1e-5, 0);
        for (int k = 2; k < 4; k++) CHECK_BYTES(a[k], a[1], sizeof a[1]), CHECK_BYTES(b[k], b[1], sizeof b[1]);
    }
}

/* ---- messages ---------------------------------------------------------------------------------------------------- */

static tsr_fn *sender(tsr_ctx *c, int64_t channel, int times) {
    const tsr_type *t = f32s(c, 1, 3);
    tsr_fn_begin(c, "sender");
    tsr_node *x = tsr_param(c, t, "x"), *token = tsr_prim_token(c);
    for (int i = 0; i < times; i++) {
        tsr_node *v[] = {x, tsr_scalar_int(c, TSR_I32, i)};
        token = tsr_prim_send(c, 2, v, token, &(tsr_channel){.id = channel});
    }
    return tsr_fn_end(c, 1, &token);
}

/* What arrives, in order: 3-vectors and numbers. */
static tsr_fn *receiver(tsr_ctx *c, int64_t channel, int times, tsr_node **result) {
    const tsr_type *t[] = {f32s(c, 1, 3), tsr_type_dims(c, TSR_I32, 0, NULL)};
    tsr_fn_begin(c, "receiver");
    tsr_node *token = tsr_prim_token(c);
    for (int i = 0; i < times; i++) {
        tsr_node *all = tsr_prim_recv(c, token, &(tsr_channel){.id = channel}, 2, t);
        result[2 * i] = tsr_item(c, all, 0), result[2 * i + 1] = tsr_item(c, all, 1);
        token = tsr_item(c, all, 2);
    }
    return tsr_fn_end(c, 2 * times, result);
}

TEST(messages_arrive_in_order) {
    tsr_ctx *c = test_ctx();
    tsr_node *result[4], *out[8], *x = tsr_full(c, f32s(c, 1, 3), 4);
    tsr_fn *send = sender(c, 7, 2), *recv = receiver(c, 7, 2, result), *other = sender(c, 8, 1),
        *other_recv = receiver(c, 8, 1, result);
    tsr_mesh *m = tsr_mesh_new(c, 2, 2);
    /* the receiver comes before its sender, and two channels cross */
    tsr_mesh_program p[] = {{recv, 0, NULL, out}, {other_recv, 0, NULL, out + 4}, {send, 1, &x, out + 6},
        {other, 1, &x, out + 7}};
    for (int k = 0; k < 2; k++) {
        test_case("%s", tier_name(tiers[k]));
        if (!CHECK_EQ(tsr_mesh_run(c, m, p, tiers[k]), TSR_OK)) break;
        float v[3], want[] = {4, 4, 4};
        for (int i = 0; i < 3; i++) {
            tsr_read(c, out[2 * i], v, sizeof v), CHECK_F32(v, want, 3, 0, 0);
            CHECK_CLOSE(tsr_read_scalar(c, out[2 * i + 1]), i % 2, 0, 0);
        }
    }
    tsr_fn_free(c, send), tsr_fn_free(c, recv), tsr_fn_free(c, other), tsr_fn_free(c, other_recv), tsr_mesh_free(m);
    CHECK_OK(c);
}

/* A ring by send and recv with pairs: one fn for all; who is no target gets zeros. */
TEST(pairs_name_senders_and_receivers) {
    tsr_ctx *c = test_ctx();
    static const int64_t pairs[] = {0, 1, 1, 2, 2, 3};
    tsr_channel k = {.id = 1, .mode = TSR_FLATTENED_IDS, .npairs = 3, .pairs = pairs};
    const tsr_type *t = tsr_type_dims(c, TSR_I32, 0, NULL);
    tsr_fn_begin(c, "ring");
    tsr_node *x = tsr_param(c, t, "x"), *sent = tsr_prim_send(c, 1, &x, tsr_prim_token(c), &k),
        *all = tsr_prim_recv(c, sent, &k, 1, &t), *y = tsr_item(c, all, 0), *in[4], *out[4];
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    tsr_mesh *m = tsr_mesh_new(c, 2, 2);
    for (int i = 0; i < 4; i++) in[i] = tsr_scalar_int(c, TSR_I32, 10 + i);
    for (int tier = 0; tier < 2; tier++) {
        test_case("%s", tier_name(tiers[tier]));
        if (!CHECK_EQ(run_spmd(c, m, f, tiers[tier], in, out), TSR_OK)) break;
        for (int i = 0; i < 4; i++) CHECK_CLOSE(tsr_read_scalar(c, out[i]), i ? 9 + i : 0, 0, 0);
    }
    tsr_fn_free(c, f), tsr_mesh_free(m);
    CHECK_OK(c);
}

/* Takes from the infeed in a loop until a value is 0; puts each, doubled, into the outfeed. */
static tsr_fn *feeder(tsr_ctx *c) {
    const tsr_type *t = tsr_type_dims(c, TSR_I32, 0, NULL), *token = tsr_type_dims(c, TSR_BOOL, 0, NULL);
    tsr_fn_begin(c, "go");
    tsr_node *v = tsr_param(c, t, "v");
    tsr_param(c, token, "token");
    tsr_node *go = tsr_prim2(c, TSR_S_NE, v, tsr_scalar_int(c, TSR_I32, 0));
    tsr_fn *cond = tsr_fn_end(c, 1, &go);
    tsr_fn_begin(c, "feed");
    tsr_param(c, t, "v");
    tsr_node *all = tsr_prim_infeed(c, tsr_param(c, token, "token"), 1, &t), *next[2] = {tsr_item(c, all, 0)};
    tsr_node *twice = tsr_prim2(c, TSR_S_ADD, next[0], next[0]);
    next[1] = tsr_prim_outfeed(c, 1, &twice, tsr_item(c, all, 1));
    tsr_fn *body = tsr_fn_end(c, 2, next);
    tsr_fn_begin(c, "feeder");
    tsr_node *loop = tsr_prim_while(c, cond, body, 2, (tsr_node *[]){tsr_scalar_int(c, TSR_I32, 1), tsr_prim_token(c)},
        0);
    tsr_node *last[] = {tsr_item(c, loop, 0), tsr_prim_after_all(c, 1, (tsr_node *[]){tsr_item(c, loop, 1)})};
    tsr_fn_free(c, cond), tsr_fn_free(c, body);
    return tsr_fn_end(c, 2, last);
}

TEST(the_host_feeds_and_is_fed) {
    tsr_ctx *c = test_ctx();
    tsr_fn *f = feeder(c);
    tsr_mesh *m = tsr_mesh_new(c, 2, 1);
    static const int value[] = {5, 7, 0, -3, 0};
    for (int k = 0; k < 2; k++) {
        test_case("%s", tier_name(tiers[k]));
        tsr_node *out[4], *got;
        for (int i = 0; i < 5; i++) {
            tsr_node *v = tsr_scalar_int(c, TSR_I32, value[i]);
            CHECK_EQ(tsr_mesh_infeed(c, m, 1, &v), TSR_OK);
        }
        if (!CHECK_EQ(run_spmd(c, m, f, tiers[k], NULL, out), TSR_OK)) break;
        for (int i = 0; i < 5; i++) {
            int who = -1;
            if (!CHECK_EQ(tsr_mesh_outfeed(c, m, &who, 1, &got), 1)) break;
            CHECK_EQ(who, i > 2); /* turns go by number: participant 0 takes until its 0 */
            CHECK_CLOSE(tsr_read_scalar(c, got), 2 * value[i], 0, 0);
        }
        CHECK_EQ(tsr_mesh_outfeed(c, m, NULL, 1, &got), -1);
        CHECK_OK(c);
    }
    test_case("an empty infeed");
    tsr_node *out[4];
    CHECK_EQ(run_spmd(c, m, f, TSR_TIER_PLAN, NULL, out), TSR_ECHECK);
    CHECK_ERROR(c, TSR_ECHECK, "tsr_mesh_infeed");
    tsr_fn_free(c, f), tsr_mesh_free(m);
}

/* ---- sizes and variables ----------------------------------------------------------------------------------------- */

TEST(symbols_and_variables) {
    tsr_ctx *c = test_ctx();
    const tsr_extent *n = tsr_extent_symbol(c, "N", 0, 100);
    tsr_var *v = tsr_var_new(c, "v", tsr_scalar_float(c, TSR_F32, 10));
    tsr_fn_begin(c, "gather");
    tsr_node *x = tsr_param(c, tsr_type_tensor(c, TSR_F32, 1, &n), "x");
    tsr_node *y = tsr_prim_all_gather(c, x, 0, &(tsr_groups){.members = 2});
    tsr_node *sum = tsr_prim_reduce(c, y, TSR_REDUCE_SUM, 1, (int64_t[]){0});
    tsr_var_assign(c, v, tsr_prim2(c, TSR_S_ADD, tsr_var_read(c, v), sum));
    tsr_fn *f = tsr_fn_end(c, 1, &y);
    tsr_mesh *m = tsr_mesh_new(c, 2, 1);
    double want = 10;
    for (int k = 0; k < 2; k++)
        for (int64_t size = 1; size < 4; size++) {
            test_case("%s N=%d", tier_name(tiers[k]), (int)size);
            tsr_node *in[2], *out[2];
            float got[8];
            for (int i = 0; i < 2; i++) in[i] = tsr_full(c, f32s(c, 1, size), i + 1);
            if (!CHECK_EQ(run_spmd(c, m, f, tiers[k], in, out), TSR_OK)) break;
            CHECK_EQ(tsr_node_dim(out[1], 0), 2 * size);
            tsr_read(c, out[1], got, 2 * (size_t)size * sizeof *got);
            for (int64_t i = 0; i < 2 * size; i++) CHECK_CLOSE(got[i], i < size ? 1 : 2, 0, 0);
            want += 3.0 * (double)size;
            CHECK_CLOSE(tsr_read_scalar(c, tsr_var_read(c, v)), want, 0, 0);
        }
    test_case("sizes that differ");
    tsr_node *in[] = {tsr_full(c, f32s(c, 1, 2), 0), tsr_full(c, f32s(c, 1, 3), 0)}, *out[2];
    CHECK_EQ(run_spmd(c, m, f, TSR_TIER_PLAN, in, out), TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "their shapes must agree");
    CHECK(tsr_is_poison(out[0]));
    CHECK_CLOSE(tsr_read_scalar(c, tsr_var_read(c, v)), want, 0, 0); /* a failed run changes nothing */
    tsr_fn_free(c, f), tsr_mesh_free(m), tsr_var_free(c, v);
}

/* ---- what goes wrong --------------------------------------------------------------------------------------------- */

static tsr_fn *reducer(tsr_ctx *c, const char *name, tsr_reduce how, const tsr_groups *g, int times) {
    tsr_fn_begin(c, name);
    tsr_node *x = tsr_param(c, f32s(c, 1, 2), "x");
    for (int i = 0; i < times; i++) x = tsr_prim_all_reduce(c, x, how, g);
    return tsr_fn_end(c, 1, &x);
}

static int failing(void *user, int nin, const void *const *in, int nout, void *const *out) {
    (void)user, (void)nin, (void)in, (void)nout, (void)out;
    return 3;
}

static tsr_fn *fails(tsr_ctx *c) {
    const tsr_type *t = f32s(c, 1, 2);
    tsr_fn_begin(c, "fails");
    tsr_node *x = tsr_param(c, t, "x");
    x = tsr_prim_host_call(c, "broken", failing, NULL, 1, &x, 1, &t);
    x = tsr_prim_all_reduce(c, x, TSR_REDUCE_SUM, NULL);
    return tsr_fn_end(c, 1, &x);
}

TEST(errors_end_everybody) {
    tsr_ctx *c = test_ctx();
    static const int64_t one[] = {0, 5};
    tsr_node *result[2];
    tsr_fn *sum = reducer(c, "once", TSR_REDUCE_SUM, NULL, 1), *twice = reducer(c, "twice", TSR_REDUCE_SUM, NULL, 2),
        *max = reducer(c, "max", TSR_REDUCE_MAX, NULL, 1), *broken = fails(c), *waits = receiver(c, 9, 1, result),
        *far = reducer(c, "far", TSR_REDUCE_SUM, &(tsr_groups){.n = 1, .size = 2, .id = one}, 1),
        *built = reducer(c, "built for 3", TSR_REDUCE_SUM, &(tsr_groups){.members = 3}, 1),
        *some = reducer(c, "some", TSR_REDUCE_SUM, &(tsr_groups){.n = 1, .size = 1, .id = one}, 1);
    struct { const char *what; tsr_fn *a, *b; tsr_status status; const char *says; } cases[] = {
        {"one ends early", twice, sum, TSR_ECHECK, "waits at all_reduce of twice for replica 1, partition 0, whose "
            "program once has ended"},
        {"one ends early, the other way round", sum, twice, TSR_ECHECK, "replica 1, partition 0 waits at all_reduce"},
        {"different collectives", sum, max, TSR_ECHECK, "which is at all_reduce with other groups"},
        {"a message that nobody sends", sum, waits, TSR_ECHECK, "waits at recv of receiver for a message on channel 9"},
        {"a failing host function", sum, broken, TSR_ECHECK, "replica 1, partition 0: "},
        {"a failing host function first", broken, sum, TSR_ECHECK, "replica 0, partition 0: "},
        {"ids beyond the mesh", far, far, TSR_EINVAL, "names replica 5, but the mesh has 2 x 1"},
        {"another number of members", built, built, TSR_ECHECK, "built for groups of 3 participants, in this mesh "
            "2 meet"},
        {"groups that do not cover", some, some, TSR_EINVAL, "no group has replica 1"},
    };
    tsr_mesh *m = tsr_mesh_new(c, 2, 1);
    tsr_node *x = tsr_full(c, f32s(c, 1, 2), 1), *out[4];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int k = 0; k < 2; k++) {
            test_case("%s, %s", cases[i].what, tier_name(tiers[k]));
            tsr_mesh_program p[] = {{cases[i].a, tsr_fn_params(cases[i].a), &x, out},
                {cases[i].b, tsr_fn_params(cases[i].b), &x, out + 2}};
            CHECK_EQ(tsr_mesh_run(c, m, p, tiers[k]), cases[i].status);
            CHECK(tsr_is_poison(out[0]) && tsr_is_poison(out[2]));
            CHECK_ERROR(c, cases[i].status, cases[i].says);
        }
    test_case("alone");
    CHECK(tsr_run(c, far, 1, &x, out) == TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "1 x 1");
    CHECK(tsr_run(c, waits, 0, NULL, out) == TSR_EINVAL);
    CHECK_ERROR(c, TSR_EINVAL, "tsr_mesh_run");
    test_case("afterwards all is well");
    CHECK_EQ(run_spmd(c, m, sum, TSR_TIER_PLAN, (tsr_node *[]){x, x}, out), TSR_OK);
    test_case("meshes of impossible sizes");
    CHECK(!tsr_mesh_new(c, 0, 1));
    CHECK_ERROR(c, TSR_EINVAL, "at least 1");
    CHECK(!tsr_mesh_new(c, 1 << 20, 1 << 20));
    CHECK_ERROR(c, TSR_EINVAL, "at most");
    tsr_fn *const all[] = {sum, twice, max, broken, waits, far, built, some};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) tsr_fn_free(c, all[i]);
    tsr_mesh_free(m);
}

/* ---- size -------------------------------------------------------------------------------------------------------- */

/* The largest mesh there may be: a ring and a sum. */
TEST(a_thousand_participants) {
    tsr_ctx *c = test_ctx();
    enum { N = TSR_MESH_MAX };
    int64_t *pair = mem_array(c, 2 * N, sizeof *pair);
    tsr_node **in = mem_array(c, N, sizeof *in), **out = mem_array(c, 2 * N, sizeof *out);
    tsr_mesh_program *p = mem_array(c, N, sizeof *p);
    for (int i = 0; i < N; i++) pair[2 * i] = i, pair[2 * i + 1] = (i + 1) % N;
    tsr_fn_begin(c, "ring");
    tsr_node *x = tsr_param(c, tsr_type_dims(c, TSR_I32, 0, NULL), "x"), *y[2];
    y[0] = tsr_prim_collective_permute(c, x, TSR_CROSS_REPLICA, N, pair);
    y[1] = tsr_prim_all_reduce(c, x, TSR_REDUCE_SUM, NULL);
    tsr_fn *f = tsr_fn_end(c, 2, y);
    tsr_mesh *m = tsr_mesh_new(c, N, 1);
    for (int i = 0; i < N; i++) {
        in[i] = tsr_scalar_int(c, TSR_I32, i);
        p[i] = (tsr_mesh_program){f, 1, in + i, out + 2 * i};
    }
    if (CHECK_EQ(tsr_mesh_run(c, m, p, TSR_TIER_PLAN), TSR_OK))
        for (int i = 0; i < N; i += 97) {
            CHECK_CLOSE(tsr_read_scalar(c, out[2 * i]), (i + N - 1) % N, 0, 0);
            CHECK_CLOSE(tsr_read_scalar(c, out[2 * i + 1]), N * (N - 1) / 2, 0, 0);
        }
    tsr_fn_free(c, f), tsr_mesh_free(m);
    mem_array_free(c, pair, 2 * N, sizeof *pair), mem_array_free(c, in, N, sizeof *in);
    mem_array_free(c, out, 2 * N, sizeof *out), mem_array_free(c, p, N, sizeof *p);
    CHECK_OK(c);
}

/* ---- refused allocations ----------------------------------------------------------------------------------------- */

static bool torture_mesh(tsr_ctx *c, void *tier) {
    tsr_fn *step = NULL, *feed = NULL;
    tsr_node *out[8], *zero = tsr_scalar_int(c, TSR_I32, 0), *in[4] = {NULL};
    tsr_mesh *m = tsr_mesh_new(c, 2, 1);
    bool ok = m && (step = reducer(c, "step", TSR_REDUCE_SUM, &(tsr_groups){.members = 2}, 2)) && (feed = feeder(c));
    for (int i = 0; i < 2; i++) in[i] = tsr_full(c, f32s(c, 1, 2), i);
    ok = ok && run_spmd(c, m, step, *(tsr_tier *)tier, in, out) == TSR_OK;
    for (int i = 0; i < 2 && ok; i++) ok = tsr_mesh_infeed(c, m, 1, &zero) == TSR_OK;
    ok = ok && run_spmd(c, m, feed, *(tsr_tier *)tier, NULL, out) == TSR_OK;
    ok = ok && tsr_mesh_outfeed(c, m, NULL, 1, out) == 1;
    tsr_node *result[2];
    tsr_fn *send = ok ? sender(c, 1, 1) : NULL, *recv = ok ? receiver(c, 1, 1, result) : NULL;
    tsr_node *x = ok ? tsr_full(c, f32s(c, 1, 3), 1) : NULL;
    tsr_mesh_program p[] = {{recv, 0, NULL, out}, {send, 1, &x, out + 2}};
    ok = ok && send && recv && tsr_mesh_run(c, m, p, *(tsr_tier *)tier) == TSR_OK;
    tsr_fn_free(c, step), tsr_fn_free(c, feed), tsr_fn_free(c, send), tsr_fn_free(c, recv);
    tsr_mesh_free(m);
    return ok;
}

TEST(refused_memory_ends_everybody_cleanly) {
    for (int k = 0; k < 2; k++) {
        tsr_tier tier = tiers[k];
        test_case("%s", tier_name(tier));
        CHECK(torture(torture_mesh, &tier) > 100);
    }
}
