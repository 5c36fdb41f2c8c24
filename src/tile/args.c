/* args.c: the arguments of a tile program as those see them who call it. */
#include "tile/tile.h"

bool tsr_tile_is_finished(const tsr_tile *p) { return p->finished; }
int tsr_tile_args(const tsr_tile *p) { return (int)p->arg.n; }

struct tsr_tile_arg_info tsr_tile_arg_at(const tsr_tile *p, int index) {
    TSR_ASSERT(index >= 0 && (size_t)index < p->arg.n);
    const struct tile_arg *a = &p->arg.v[index];
    const struct tile_value *v = &p->value.v[a->value];
    tsr_tile_access access = v->type.buf ? (tsr_tile_access)p->inst.v[v->inst].sub : TSR_TILE_IN;
    return (struct tsr_tile_arg_info){v->type.buf, v->type.dtype, access, a->name};
}
