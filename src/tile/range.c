/* range.c: what is known of a value's sign without running the program.
 *
 * x - m with m at least x is never positive (but may be a NaN): m is the maximum of x along an axis, repeated along it,
 * or the greater of that and something else. So softmax's exp needs half of its care. */
#include "tile/tile.h"

enum { DEEP = 6 };

static const struct tile_inst *maker(const tsr_tile *p, tsr_tv v) { return &p->inst.v[p->value.v[v].inst]; }

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
