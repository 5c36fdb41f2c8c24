/* op_form_sample.c: random instances of the form ops: every attribute combination over time, extents of 0 and 1
 * included. */
#include "graph/op_form.h"

/* The fn under way of one result, or NULL with its error. */
static tsr_fn *finish(tsr_ctx *c, tsr_node *y) { return tsr_fn_end(c, 1, &y); }
static bool begin(tsr_ctx *c, const char *name) { return tsr_fn_begin(c, name) == TSR_OK; }

static tsr_node *random_tensor(tsr_ctx *c, struct sample *s, int least_rank, int64_t *dim, int *rank) {
    *rank = (int)sample_int(s, least_rank, 4);
    sample_dims(s, *rank, dim);
    return sample_param(c, s->dtype, *rank, dim);
}

static void shuffle(struct sample *s, int n, int64_t *v) {
    for (int i = 0; i < n; i++) v[i] = i;
    for (int i = n - 1; i > 0; i--) {
        int64_t j = sample_int(s, 0, i), t = v[i];
        v[i] = v[j], v[j] = t;
    }
}

static tsr_dtype random_dtype(struct sample *s, bool bitcast) {
    for (;;) {
        tsr_dtype t = (tsr_dtype)sample_int(s, 0, TSR_C128);
        const tsr_dtype_info *to = tsr_dtype_of(t), *from = tsr_dtype_of(s->dtype);
        bool castable = (to->kind == TSR_KIND_COMPLEX) == (from->kind == TSR_KIND_COMPLEX) &&
            (to->kind == TSR_KIND_BOOL) == (from->kind == TSR_KIND_BOOL);
        if (!bitcast || castable) return t;
    }
}

/* A conversion between floats is smooth only as far as the narrower one goes: finite differences need both wide. */
tsr_fn *sample_convert(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK];
    int rank;
    tsr_dtype to = random_dtype(s, false);
    if (!begin(c, "convert")) return NULL;
    s->smooth = s->smooth && tsr_dtype_of(to)->bits >= 32 && (dtype_is_float(to) || dtype_is_complex(to));
    return finish(c, tsr_prim_convert(c, random_tensor(c, s, 0, dim, &rank), to));
}

tsr_fn *sample_bitcast(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK];
    tsr_dtype to = random_dtype(s, true);
    int from_bits = tsr_dtype_of(s->dtype)->bits, to_bits = tsr_dtype_of(to)->bits, rank = (int)sample_int(s, 0, 3);
    if (!begin(c, "bitcast")) return NULL;
    sample_dims(s, rank, dim);
    if (to_bits > from_bits) dim[rank++] = to_bits / from_bits;
    s->smooth = false;
    return finish(c, tsr_prim_bitcast(c, sample_param(c, s->dtype, rank, dim), to));
}

tsr_fn *sample_iota(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK];
    int rank = (int)sample_int(s, 1, 4);
    sample_dims(s, rank, dim);
    if (!begin(c, "iota")) return NULL;
    return finish(c, tsr_prim_iota(c, tsr_type_dims(c, s->dtype, rank, dim), (int)sample_int(s, 0, rank - 1)));
}

tsr_fn *sample_broadcast(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK], order[TSR_MAX_RANK], from[TSR_MAX_RANK];
    int rank = (int)sample_int(s, 0, 4), own = (int)sample_int(s, 0, rank);
    sample_dims(s, rank, dim);
    shuffle(s, rank, order);
    for (int i = 0; i < own; i++) from[i] = sample_int(s, 0, 3) ? dim[order[i]] : 1;
    if (!begin(c, "broadcast")) return NULL;
    return finish(c, tsr_prim_broadcast(c, sample_param(c, s->dtype, own, from), tsr_type_dims(c, s->dtype, rank,
        dim), order));
}

tsr_fn *sample_reshape(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK], to[TSR_MAX_RANK] = {0};
    int rank, n = 0;
    if (!begin(c, "reshape")) return NULL;
    tsr_node *x = random_tensor(c, s, 0, dim, &rank);
    for (int i = 0; i < rank; i++) { /* merge with the axis before, split by a divisor, or put a 1 in front */
        if (n && sample_int(s, 0, 1)) to[n - 1] *= dim[i];
        else if (dim[i] > 2 && dim[i] % 2 == 0 && sample_int(s, 0, 1)) to[n++] = 2, to[n++] = dim[i] / 2;
        else to[n++] = dim[i];
        if (sample_int(s, 0, 4) == 0) to[n++] = 1;
    }
    return finish(c, tsr_prim_reshape(c, x, tsr_type_dims(c, s->dtype, n, to)));
}

tsr_fn *sample_transpose(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK], perm[TSR_MAX_RANK];
    int rank;
    if (!begin(c, "transpose")) return NULL;
    tsr_node *x = random_tensor(c, s, 0, dim, &rank);
    shuffle(s, rank, perm);
    return finish(c, tsr_prim_transpose(c, x, perm));
}

tsr_fn *sample_slice(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK], start[TSR_MAX_RANK], limit[TSR_MAX_RANK], stride[TSR_MAX_RANK];
    int rank;
    if (!begin(c, "slice")) return NULL;
    tsr_node *x = random_tensor(c, s, 0, dim, &rank);
    for (int i = 0; i < rank; i++) {
        start[i] = sample_int(s, 0, dim[i]), limit[i] = sample_int(s, start[i], dim[i]);
        stride[i] = sample_int(s, 1, 3);
        if (sample_int(s, 0, 3) == 0) start[i] = 0, limit[i] = dim[i];
    }
    return finish(c, tsr_prim_slice_ints(c, x, start, limit, stride));
}

tsr_fn *sample_pad(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK], low[TSR_MAX_RANK], high[TSR_MAX_RANK], interior[TSR_MAX_RANK];
    int rank;
    if (!begin(c, "pad")) return NULL;
    tsr_node *x = random_tensor(c, s, 0, dim, &rank), *v = sample_param(c, s->dtype, 0, NULL);
    for (int i = 0; i < rank; i++) {
        interior[i] = sample_int(s, 0, 3) ? 0 : sample_int(s, 1, 2);
        int64_t dilated = dim[i] ? (dim[i] - 1) * (interior[i] + 1) + 1 : 0;
        low[i] = sample_int(s, -2, 3), high[i] = sample_int(s, -2, 3);
        if (low[i] + dilated + high[i] < 0) low[i] = 0, high[i] = 1;
    }
    return finish(c, tsr_prim_pad_ints(c, x, v, low, high, interior));
}

tsr_fn *sample_concat(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK];
    tsr_node *x[5];
    int n = (int)sample_int(s, 1, 5), rank = (int)sample_int(s, 1, 3), axis = (int)sample_int(s, 0, rank - 1);
    if (!begin(c, "concat")) return NULL;
    sample_dims(s, rank, dim);
    for (int k = 0; k < n; k++) {
        x[k] = sample_param(c, s->dtype, rank, dim);
        dim[axis] = sample_int(s, 0, s->size ? 33 : 3);
    }
    return finish(c, tsr_prim_concat(c, n, x, axis));
}

tsr_fn *sample_reverse(tsr_ctx *c, struct sample *s) {
    int64_t dim[TSR_MAX_RANK], axes[TSR_MAX_RANK];
    int rank;
    if (!begin(c, "reverse")) return NULL;
    tsr_node *x = random_tensor(c, s, 0, dim, &rank);
    shuffle(s, rank, axes);
    return finish(c, tsr_prim_reverse(c, x, (int)sample_int(s, 0, rank), axes));
}
