/* set.c: data sets: storage, splitting, the order of an epoch, batches.
 *
 * The order of an epoch is a Fisher-Yates shuffle by Philox with the epoch as its stream, made from nothing but (count,
 * seed, epoch): a run resumed in the middle of an epoch draws the same order again and continues at its batch. */
#include "data/data.h"

#include <string.h>

#include "base/rng.h"

struct data_set *data_alloc(tsr_ctx *c, tsr_dtype t, int64_t count, int rank, const int64_t *dim, bool labelled) {
    int64_t elements = count;
    size_t bytes;
    bool fits = count >= 0 && rank >= 0 && rank < TSR_MAX_RANK;
    for (int i = 0; fits && i < rank; i++) fits = dim[i] >= 0 && i64_mul(elements, dim[i], &elements);
    if (!fits || tsr_dtype_of(t)->block != 1 || !tsr_dtype_bytes(t, elements, &bytes))
        return err_set(c, TSR_EINVAL, "data set of %lld examples with %d axes of %s: sizes are not usable",
            (long long)count, rank, tsr_dtype_name(t)), NULL;
    struct data_set *d = mem_new(c, struct data_set);
    if (!d) return NULL;
    d->view = (tsr_data){.count = count, .dtype = t, .rank = rank, .scale = 1};
    for (int i = 0; i < rank; i++) d->view.dim[i] = dim[i];
    arena_init(&d->text, c);
    d->x_bytes = bytes;
    d->view.x = d->x = mem_alloc(c, bytes);
    if (labelled) d->view.y = d->y = mem_array(c, (size_t)count, sizeof *d->y);
    if (d->x && (d->y || !labelled)) return d;
    tsr_data_free(c, &d->view);
    return NULL;
}

void tsr_data_free(tsr_ctx *c, tsr_data *view) {
    struct data_set *d = (struct data_set *)view;
    if (!d) return;
    mem_free(c, d->x, d->x_bytes);
    if (d->y) mem_array_free(c, d->y, (size_t)view->count, sizeof *d->y);
    arena_release(&d->text);
    mem_del(c, d);
}

tsr_data *tsr_data_new(tsr_ctx *c, tsr_dtype t, int64_t count, int rank, const int64_t *dim, const void *x,
    const int32_t *y, int64_t classes) {
    for (int64_t i = 0; y && i < count; i++) {
        if (y[i] >= 0 && y[i] < classes) continue;
        err_set(c, TSR_EINVAL, "data set: label %lld is %d, outside [0, %lld)", (long long)i, y[i], (long long)classes);
        return NULL;
    }
    struct data_set *d = data_alloc(c, t, count, rank, dim, y != NULL);
    if (!d) return NULL;
    if (d->x_bytes) memcpy(d->x, x, d->x_bytes);
    if (y && count) memcpy(d->y, y, (size_t)count * sizeof *y);
    d->view.classes = y ? classes : 0;
    return &d->view;
}

/* ---- order ------------------------------------------------------------------------------------------------------ */

static void shuffle(struct rng *r, int64_t n, int64_t *order) {
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = (int64_t)rng_below(r, (uint64_t)i + 1), t = order[i];
        order[i] = order[j], order[j] = t;
    }
}

void tsr_data_order(const tsr_data *d, uint64_t seed, uint64_t epoch, int64_t *order) {
    shuffle(&(struct rng){.seed = seed, .stream = epoch}, d->count, order);
}

/* ---- choosing examples ------------------------------------------------------------------------------------------ */

static void copy_examples(const tsr_data *d, int64_t n, const int64_t *index, void *x, int32_t *y) {
    size_t one = d->count ? ((const struct data_set *)d)->x_bytes / (size_t)d->count : 0;
    for (int64_t i = 0; i < n; i++) {
        if (one) memcpy((uint8_t *)x + one * (size_t)i, (const uint8_t *)d->x + one * (size_t)index[i], one);
        if (y) y[i] = d->y[index[i]];
    }
}

static const char *const *copy_names(struct arena *a, int64_t n, const char *const *from) {
    const char **to = from ? arena_array(a, (size_t)n + 1, sizeof *to) : NULL;
    for (int64_t i = 0; to && i < n; i++) {
        if (!(to[i] = arena_strdup(a, from[i]))) return NULL;
    }
    return to;
}

static tsr_data *subset(tsr_ctx *c, const tsr_data *d, int64_t n, const int64_t *index) {
    struct data_set *s = data_alloc(c, d->dtype, n, d->rank, d->dim, d->y != NULL);
    if (!s) return NULL;
    copy_examples(d, n, index, s->x, s->y);
    s->view.classes = d->classes, s->view.scale = d->scale, s->view.shift = d->shift;
    s->view.class_name = copy_names(&s->text, d->classes, d->class_name);
    s->view.feature_name = copy_names(&s->text, d->rank ? d->dim[0] : 0, d->feature_name);
    if ((!d->class_name || s->view.class_name) && (!d->feature_name || s->view.feature_name)) return &s->view;
    tsr_data_free(c, &s->view);
    return NULL;
}

tsr_status tsr_data_split(tsr_ctx *c, const tsr_data *d, double part, uint64_t seed, tsr_data **a, tsr_data **b) {
    *a = *b = NULL;
    if (!(part >= 0 && part <= 1)) return err_set(c, TSR_EINVAL, "split: part %g is outside [0, 1]", part);
    int64_t *order = mem_array(c, (size_t)d->count + 1, sizeof *order), held = (int64_t)(part * (double)d->count);
    if (!order) return TSR_ENOMEM;
    tsr_data_order(d, seed, UINT64_MAX, order); /* a stream that no epoch uses */
    *a = subset(c, d, d->count - held, order + held);
    *b = *a ? subset(c, d, held, order) : NULL;
    mem_array_free(c, order, (size_t)d->count + 1, sizeof *order);
    if (*b) return TSR_OK;
    tsr_data_free(c, *a);
    *a = NULL;
    return tsr_error_status(c);
}

static bool check_batch(tsr_ctx *c, const tsr_data *d, int64_t n, const int64_t *index, bool labels) {
    if (n < 0) return err_set(c, TSR_EINVAL, "batch of %lld examples", (long long)n), false;
    if (labels && !d->y) return err_set(c, TSR_EINVAL, "batch: labels are wanted and the data set has none"), false;
    for (int64_t i = 0; i < n; i++) {
        if (index[i] >= 0 && index[i] < d->count) continue;
        err_set(c, TSR_EINVAL, "batch: example %lld of %lld", (long long)index[i], (long long)d->count);
        return false;
    }
    return true;
}

/* A value node over a fresh buffer of n examples' x, or their labels. */
static tsr_node *wrap(tsr_ctx *c, tsr_dtype t, int rank, const int64_t *dim, tsr_buf *buf) {
    tsr_node *v = buf ? tsr_wrap(c, tsr_type_dims(c, t, rank, dim), buf) : tsr_poison(c);
    tsr_buf_free(buf);
    return v;
}

tsr_status tsr_data_batch(tsr_ctx *c, const tsr_data *d, int64_t n, const int64_t *index, tsr_node **x, tsr_node **y) {
    size_t one = d->count ? ((const struct data_set *)d)->x_bytes / (size_t)d->count : 0;
    int64_t dim[TSR_MAX_RANK] = {n};
    *x = tsr_poison(c);
    if (y) *y = tsr_poison(c);
    if (!check_batch(c, d, n, index, y != NULL)) return tsr_error_status(c);
    for (int i = 0; i < d->rank; i++) dim[i + 1] = d->dim[i];
    tsr_buf *bx = tsr_buf_new(c, one * (size_t)n), *by = bx && y ? tsr_buf_new(c, (size_t)n * sizeof(int32_t)) : NULL;
    if (!bx || (y && !by)) {
        tsr_buf_free(bx);
        return TSR_ENOMEM;
    }
    copy_examples(d, n, index, tsr_buf_data(bx), y ? tsr_buf_data(by) : NULL);
    *x = wrap(c, d->dtype, d->rank + 1, dim, bx);
    if (y) *y = wrap(c, TSR_I32, 1, &n, by);
    return tsr_is_poison(*x) || (y && tsr_is_poison(*y)) ? tsr_error_status(c) : TSR_OK;
}
