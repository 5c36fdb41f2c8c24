/* export_call.c: custom_call for the ops of calls.def that are one: attributes go into its backend_config, a tile
 * program as its text. */
#include <string.h>

#include "formats/stablehlo/calls.h"
#include "formats/stablehlo/export_call.h"

/* Attributes of the node that a call carries: those with a form as an attribute, the tile program as its text. */
static const struct hlo_attr *config_of(struct exp *x, const tsr_node *n) {
    struct hlo_named field[EXP_ATTRS_MAX];
    int count = 0;
    for (int i = 0; i < n->nattr; i++) {
        const struct attr *a = &n->attr[i];
        if (a->key == ATTR_HOST) continue;
        const struct hlo_attr *v;
        if (a->key == ATTR_TILE) {
            char *text = tsr_tile_print(a->tile);
            v = text ? hlo_attr_string(x->m, text, strlen(text)) : NULL;
            tsr_text_free(x->c, text);
        } else {
            v = exp_attr_value(x, a);
        }
        if (!v) return NULL;
        field[count++] = exp_named(attr_name(a->key), v);
    }
    return hlo_attr_dict(x->m, count, field);
}

static bool own_call(struct exp *x, const tsr_node *n, int nmore, struct hlo_value *more) {
    int results = type_results(n->type), nattr = 1;
    struct hlo_value **in = arena_array(&x->m->arena, (size_t)n->nsrc + 1, sizeof *in);
    const struct hlo_type **t = arena_array(&x->m->arena, (size_t)results + 1, sizeof *t);
    if (!in || !t) return false;
    for (int i = 0; i < n->nsrc; i++) in[i] = exp_in(x, n, i);
    in[n->nsrc] = more;
    for (int i = 0; i < results; i++) t[i] = exp_type(x, type_result(n->type, i));
    struct hlo_named attr[3] = {exp_string(x, "call_target_name", hlo_call_name((enum tsr_op)n->op))};
    if (n->nattr) { /* a dictionary is the configuration of the typed interface, API version 4 */
        attr[nattr++] = exp_named("api_version", hlo_attr_int(x->m, HLO_I32, 4));
        attr[nattr++] = exp_named("backend_config", config_of(x, n));
    }
    return exp_done_op(x, n, exp_op(x, HLO_OP_CUSTOM_CALL, n->nsrc + nmore, in, nattr, attr, results, t, 0));
}

bool exp_own_call(struct exp *x, const tsr_node *n) { return own_call(x, n, 0, NULL); }
bool exp_own_call_with(struct exp *x, const tsr_node *n, struct hlo_value *more) { return own_call(x, n, 1, more); }
