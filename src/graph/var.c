/* var.c: variables: named mutable state, the only mutable thing.
 *
 * A variable holds an eager node, evaluated or not: assigning is as lazy as everything else. Inside the outermost open
 * fn it is a parameter when read and a result when assigned (fn.c). */
#include "graph/room.h"

tsr_var *tsr_var_new(tsr_ctx *c, const char *name, tsr_node *initial) {
    if (tsr_is_poison(initial)) {
        if (!err_any(c)) err_set(c, TSR_EINVAL, "variable '%s': its initial value is missing", name ? name : "");
        return NULL;
    }
    if (initial->owner || initial->type->kind != TSR_TENSOR)
        return err_set(c, TSR_EINVAL, "variable '%s': make it outside any fn, from a tensor", name ? name : ""), NULL;
    tsr_var *v = mem_new(c, tsr_var);
    if (!v) return NULL;
    *v = (tsr_var){.refs = 1, .c = c, .type = initial->type, .value = initial};
    v->name = mem_strdup(c, name ? name : "var");
    if (!v->name) return mem_del(c, v), NULL;
    node_ref(initial);
    return v;
}

tsr_var *tsr_var_keep(tsr_var *v) {
    if (v) v->refs++;
    return v;
}

void tsr_var_free(tsr_ctx *c, tsr_var *v) {
    if (!v || --v->refs) return;
    node_unref(c, v->value);
    mem_strfree(c, v->name);
    mem_del(c, v);
}

tsr_status var_rename(tsr_ctx *c, tsr_var *v, const char *name) {
    char *own = mem_strdup(c, name);
    if (!own) return TSR_ENOMEM;
    mem_strfree(c, v->name);
    v->name = own;
    return TSR_OK;
}

const char *tsr_var_name(const tsr_var *v) { return v->name; }
const tsr_type *tsr_var_type(const tsr_var *v) { return v->type; }

tsr_node *tsr_var_read(tsr_ctx *c, tsr_var *v) {
    tsr_fn *f = fn_open_now(c);
    if (!v) return err_set(c, TSR_EINVAL, "read of a variable: it is NULL"), tsr_poison(c);
    if (f) return fn_var_read(c, f, v);
    return scope_hold(c, v->value) ? v->value : tsr_poison(c);
}

tsr_status tsr_var_assign(tsr_ctx *c, tsr_var *v, tsr_node *value) {
    tsr_fn *f = fn_open_now(c);
    if (!v) return err_set(c, TSR_EINVAL, "assign to a variable: it is NULL");
    if (tsr_is_poison(value) || tsr_is_poison(value = fn_capture(c, f, value)))
        return err_any(c) ? tsr_error_status(c) : err_set(c, TSR_EINVAL,
            "assign to variable '%s': the value is missing", v->name);
    if (value->type != v->type)
        return err_set(c, TSR_EINVAL, "assign to variable '%s': it is %s, the value is %s", v->name,
            type_text(c, v->type), type_text(c, value->type));
    if (f) return fn_var_assign(c, f, v, value);
    node_ref(value);
    node_unref(c, v->value);
    v->value = value;
    return TSR_OK;
}
