/* tune.c: how large the tiles are: a cost model of a few lines.
 *
 * A tile program on a machine with caches is fastest when the tiles that are alive at a time stay in the first-level
 * cache and the cost of starting an instruction is spread over many elements. So a loop takes as many elements as fit
 * the budget (tile/budget.h) over the number of live tiles, from the innermost axis outwards. Extents that are small
 * constants round up to a power of two, so that neighbouring shapes share a program. */
#include "compile/lower.h"

enum { TILE_AXES = 4, UNKNOWN = 1 << 20, SMALL = 64 };

int64_t tune_round(const tsr_extent *e, int64_t most) {
    int64_t hint = ext_hint(e, UNKNOWN), t = 1;
    while (t < hint && t < most) t *= 2;
    return t;
}

int64_t tune_divide(const tsr_extent *e, int64_t most) {
    int64_t hint = ext_hint(e, UNKNOWN), power = 1;
    if (hint > SMALL || hint < 1) {
        while (power * 2 <= most && power < hint) power *= 2;
        return power;
    }
    int64_t parts = (hint + most - 1) / most, part = (hint + parts - 1) / parts;
    while (power < part) power *= 2;
    int64_t step = power > 8 ? power / 8 : 1, even = (part + step - 1) / step * step;
    return even < most ? even : most;
}

const struct tile_budget *tune_budget(const struct lower *L) { return L->o->tiles ? L->o->tiles : &tile_budget_host; }

void tune_loop(const struct tile_budget *b, int n, const tsr_extent *const *dim, int bytes, int live, int64_t *tile) {
    int64_t budget = b->loop_most;
    while (budget > b->loop_fewest && budget * bytes * (live > 2 ? live : 2) > b->loop_bytes) budget /= 2;
    int axes = 0;
    for (int i = n - 1; i >= 0; i--) {
        tile[i] = 1;
        if (axes == TILE_AXES || budget <= 1) continue;
        tile[i] = tune_round(dim[i], budget);
        budget /= tile[i];
        axes += tile[i] > 1;
    }
}
