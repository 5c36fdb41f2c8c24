/* origin.c: what comments say: which program, and which nodes of the graph a piece of text was written for. */
#include "emit/emit.h"

void emit_name(struct str *out, const char *name) {
    for (; *name; name++)
        if ((unsigned char)*name >= ' ' && *name != '/' && *name != '\\') str_putc(out, *name);
}

enum { ORIGINS = 8 }; /* named at a place; more are summed up */

static bool same(struct tile_origin a, struct tile_origin b) { return a.name == b.name && a.number == b.number; }

void emit_origins(struct str *out, const struct emit_plan *k, int32_t group, int32_t at) {
    struct tile_origin seen[ORIGINS];
    int n = 0;
    int32_t first = group < 0 ? at : k->group.v[group].first, last = group < 0 ? at : k->group.v[group].last;
    for (int32_t i = first; i <= last; i++) {
        struct tile_origin o = k->p->inst.v[i].origin;
        bool known = !o.name || (group >= 0 && k->member.v[i] != group);
        for (int j = 0; j < n && !known; j++) known = same(seen[j], o);
        if (known) continue;
        if (n == ORIGINS) {
            str_put(out, ", ...");
            return;
        }
        seen[n++] = o;
        str_printf(out, "%s%%%d %s", n > 1 ? ", " : "", o.number, o.name);
    }
}
