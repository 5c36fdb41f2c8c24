/* comp_recurrent.c: LSTM and GRU as scans, with PyTorch's layouts.
 *
 * The products with the inputs need no recurrence: they are one matmul over all times before the scan, which then does
 * only h w_hh^T and the gates. Weights enter the scan's body as captured values. */
#include "graph/build.h"

enum { HAS_B_IH = 1, HAS_B_HH = 2 };

/* What both have: x w_ih^T + b_ih for all times, and the recurrent weights. FLAGS says which biases follow the
 * weights. */
struct cell { tsr_node *xg, *w_hh, *b_hh; };

static struct cell prepare(tsr_ctx *c, tsr_node *x, tsr_node *const *w, int64_t flags) {
    tsr_node *b_ih = flags & HAS_B_IH ? w[2] : NULL, *b_hh = flags & HAS_B_HH ? w[flags & HAS_B_IH ? 3 : 2] : NULL;
    return (struct cell){tsr_linear(c, x, w[0], b_ih), w[1], b_hh};
}

static bool check(tsr_ctx *c, const char *what, int gates, int nstate, tsr_node *const *state, tsr_node *x,
                  tsr_node *w_ih, tsr_node *w_hh, tsr_node *b_ih, tsr_node *b_hh) {
    tsr_node *in[6] = {x, w_ih, w_hh, state[0], state[nstate - 1]}, *bias[2] = {b_ih, b_hh};
    if (build_bad(c, 5, in)) return false;
    int64_t hidden = tsr_node_dim(w_hh, 1);
    bool ok = x->type->rank == 3 && w_ih->type->rank == 2 && w_hh->type->rank == 2 && tsr_node_dim(w_hh, 0) ==
        gates * hidden &&
              tsr_node_dim(w_ih, 0) == gates * hidden && w_ih->type->extent[1] == x->type->extent[2];
    for (int i = 0; i < nstate && ok; i++) ok = state[i]->type->rank == 2 && tsr_node_dim(state[i], 1) == hidden &&
        state[i]->type->extent[0] == x->type->extent[1];
    for (int i = 1; i < 5 && ok; i++) ok = in[i]->type->dtype == x->type->dtype;
    for (int i = 0; i < 2 && ok; i++)
        ok = !bias[i] || (!tsr_is_poison(bias[i]) && bias[i]->type->rank == 1 && tsr_node_dim(bias[i], 0) ==
                          gates * hidden && bias[i]->type->dtype == x->type->dtype);
    if (!ok) err_set(c, TSR_EINVAL,
                     "%s: x %s, state %s, w_ih %s, w_hh %s; expected (T, B, I), (B, H), (%dH, I), (%dH, H) and biases "
                     "(%dH), all of one dtype", what,
                     type_text(c, x->type), type_text(c, state[0]->type), type_text(c, w_ih->type),
                         type_text(c, w_hh->type), gates, gates, gates);
    return ok;
}

/* Operands in order x, states, w_ih, w_hh, biases that are there. */
static int operands(tsr_node *x, int nstate, tsr_node *const *state, tsr_node *w_ih, tsr_node *w_hh, tsr_node *b_ih,
                    tsr_node *b_hh, tsr_node **in, int64_t *flags) {
    int n = 0;
    in[n++] = x;
    for (int i = 0; i < nstate; i++) in[n++] = state[i];
    in[n++] = w_ih, in[n++] = w_hh;
    if (b_ih) in[n++] = b_ih;
    if (b_hh) in[n++] = b_hh;
    *flags = (b_ih ? HAS_B_IH : 0) | (b_hh ? HAS_B_HH : 0);
    return n;
}

/* The scan of a body over xg, from these states; results: final states, then y. */
static bool run(tsr_ctx *c, tsr_fn *body, int nstate, tsr_node *const *state, tsr_node *xg, tsr_node **out, int *nout) {
    tsr_node *scan = body ? tsr_prim_scan(c, body, nstate, state, 1, &xg, xg->type->extent[0], false) : tsr_poison(c);
    tsr_fn_free(c, body);
    for (int i = 0; i <= nstate; i++)
        if (tsr_is_poison(out[i] = tsr_item(c, scan, i))) return false;
    *nout = nstate + 1;
    return true;
}

static const tsr_type *gates_type(tsr_ctx *c, const tsr_node *xg) { return type_drop_axis(c, xg->type, 0); }

/* ---- LSTM (Hochreiter and Schmidhuber 1997, with forget gates) ---- */

tsr_node *tsr_lstm(tsr_ctx *c, tsr_node *x, tsr_node *h0, tsr_node *c0, tsr_node *w_ih, tsr_node *w_hh, tsr_node *b_ih,
                   tsr_node *b_hh, tsr_node **h, tsr_node **cell) {
    tsr_node *in[8], *state[2] = {h0, c0}, *out[3] = {tsr_poison(c), tsr_poison(c), tsr_poison(c)};
    int64_t flags;
    if (check(c, "lstm", 4, 2, state, x, w_ih, w_hh, b_ih, b_hh)) {
        int n = operands(x, 2, state, w_ih, w_hh, b_ih, b_hh, in, &flags);
        composite_call(c, &composites[COMP_lstm], n, in, 1, (struct attr[]){attr_int(ATTR_FLAGS, flags)}, out, 3);
    }
    if (h) *h = out[0];
    if (cell) *cell = out[1];
    return out[2];
}

static tsr_fn *lstm_step(tsr_ctx *c, const struct cell *k, const tsr_type *state) {
    tsr_node *gate[4], *out[3];
    if (tsr_fn_begin(c, "lstm_step") != TSR_OK) return NULL;
    tsr_node *h = tsr_param(c, state, "h"), *cell = tsr_param(c, state, "c"),
        *xg = tsr_param(c, gates_type(c, k->xg), "xg");
    tsr_split(c, tsr_add(c, xg, tsr_linear(c, h, k->w_hh, k->b_hh)), 4, 1, gate); /* i f g o */
    tsr_node *kept = tsr_mul(c, tsr_sigmoid(c, gate[1]), cell),
        *new = tsr_mul(c, tsr_sigmoid(c, gate[0]), tsr_tanh(c, gate[2]));
    out[1] = tsr_add(c, kept, new);
    out[0] = out[2] = tsr_mul(c, tsr_sigmoid(c, gate[3]), tsr_tanh(c, out[1]));
    return tsr_fn_end(c, 3, out);
}

bool comp_lstm(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    struct cell k = prepare(c, in[0], in + 3, comp_int(attr, nattr, ATTR_FLAGS));
    (void)n;
    return !tsr_is_poison(k.xg) && run(c, lstm_step(c, &k, in[1]->type), 2, in + 1, k.xg, out, nout);
}

/* ---- GRU (Cho et al. 2014, the reset gate after the product, as in cuDNN) ---- */

tsr_node *tsr_gru(tsr_ctx *c, tsr_node *x, tsr_node *h0, tsr_node *w_ih, tsr_node *w_hh, tsr_node *b_ih, tsr_node *b_hh,
                  tsr_node **h) {
    tsr_node *in[8], *out[2] = {tsr_poison(c), tsr_poison(c)};
    int64_t flags;
    if (check(c, "gru", 3, 1, &h0, x, w_ih, w_hh, b_ih, b_hh)) {
        int n = operands(x, 1, &h0, w_ih, w_hh, b_ih, b_hh, in, &flags);
        composite_call(c, &composites[COMP_gru], n, in, 1, (struct attr[]){attr_int(ATTR_FLAGS, flags)}, out, 2);
    }
    if (h) *h = out[0];
    return out[1];
}

static tsr_fn *gru_step(tsr_ctx *c, const struct cell *k, const tsr_type *state) {
    tsr_node *a[3], *b[3], *out[2];
    if (tsr_fn_begin(c, "gru_step") != TSR_OK) return NULL;
    tsr_node *h = tsr_param(c, state, "h"), *xg = tsr_param(c, gates_type(c, k->xg), "xg");
    tsr_split(c, xg, 3, 1, a); /* r z n */
    tsr_split(c, tsr_linear(c, h, k->w_hh, k->b_hh), 3, 1, b);
    tsr_node *r = tsr_sigmoid(c, tsr_add(c, a[0], b[0])), *z = tsr_sigmoid(c, tsr_add(c, a[1], b[1]));
    tsr_node *new = tsr_tanh(c, tsr_add(c, a[2], tsr_mul(c, r, b[2])));
    out[0] = out[1] = tsr_add(c, new, tsr_mul(c, z, tsr_sub(c, h, new)));
    return tsr_fn_end(c, 2, out);
}

bool comp_gru(tsr_ctx *c, int n, tsr_node *const *in, const struct attr *attr, int nattr, tsr_node **out, int *nout) {
    struct cell k = prepare(c, in[0], in + 2, comp_int(attr, nattr, ATTR_FLAGS));
    (void)n;
    return !tsr_is_poison(k.xg) && run(c, gru_step(c, &k, in[1]->type), 1, in + 1, k.xg, out, nout);
}
