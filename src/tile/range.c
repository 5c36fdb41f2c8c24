/* range.c: what is known of a program without running it: what it needs, and signs of its values.
 *
 * What nobody uses and changes no memory is dropped. Bounds and masks of windows are often such: they were computed
 * before it was known that another guard implies them.
 *
 * x - m with m at least x is never positive (but may be a NaN): m is the maximum of x along an axis, repeated along it,
 * or the greater of that and something else. So softmax's exp needs half of its care. */
#include "tile/tile.h"

enum { DEEP = 6 };

static const struct tile_inst *maker(const tsr_tile *p, tsr_tv v) { return &p->inst.v[p->value.v[v].inst]; }

void tile_find_need(const tsr_tile *p, bool *need) {
    for (int32_t at = (int32_t)p->inst.n - 1; at >= 0; at--) {
        const struct tile_inst *in = &p->inst.v[at];
        need[at] |= in->op == TILE_STORE || in->op == TILE_SCATTER || in->op >= TILE_FOR;
        for (int i = 0; need[at] && i < in->n_operand; i++) {
            tsr_tv v = tile_operands(p, in)[i];
            if (v != TSR_TV_NONE) need[p->value.v[v].inst] = true;
        }
    }
}

/* m >= x in every element, or a NaN. A reduced axis stays, with one element, so m is repeated along it alone. */
static bool is_at_least(const tsr_tile *p, tsr_tv m, tsr_tv x, int deep) {
    const struct tile_inst *in = maker(p, m);
    const tsr_tv *o = tile_operands(p, in);
    if (m == x || deep == 0) return m == x;
    if (in->op == TILE_BROADCAST) return is_at_least(p, o[0], x, deep - 1);
    if (in->op == TILE_REDUCE) return in->sub == TSR_REDUCE_MAX && o[0] == x;
    return in->op == TILE_ELEM && in->sub == TSR_S_MAX && (is_at_least(p, o[0], x, deep - 1) ||
        is_at_least(p, o[1], x, deep - 1));
}

bool tile_never_above_zero(const tsr_tile *p, tsr_tv v) {
    const struct tile_inst *in = maker(p, v);
    const tsr_tv *o = tile_operands(p, in);
    return in->op == TILE_ELEM && in->sub == TSR_S_SUB && is_at_least(p, o[1], o[0], DEEP);
}
