/* print.c: a tile program as text. read.c is its inverse; docs/tile.md has the grammar.
 *
 * Values are printed as %0, %1, ... in the order in which instructions make them, so equal programs print alike and the
 * text serves as a key. Floats are printed with the fewest digits that read back to the same bits. */
#include "tile/tile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_value(struct str *s, tsr_tv v) {
    if (v == TSR_TV_NONE) str_putc(s, '_');
    else str_printf(s, "%%%d", (int)v);
}

static void put_values(struct str *s, int n, const tsr_tv *v) {
    for (int i = 0; i < n; i++) {
        if (i) str_put(s, ", ");
        put_value(s, v[i]);
    }
}

static void put_list(struct str *s, const char *word, int n, const tsr_tv *v) {
    str_printf(s, " %s (", word);
    put_values(s, n, v);
    str_putc(s, ')');
}

static void put_extents(struct str *s, int n, const int32_t *extent) {
    str_putc(s, '[');
    for (int i = 0; i < n; i++) str_printf(s, "%s%d", i ? ", " : "", (int)extent[i]);
    str_putc(s, ']');
}

static void put_number(struct str *s, double v) {
    char text[40];
    if (v != v) {
        str_put(s, "nan");
        return;
    }
    locale_t before = locale_enter_c();
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v) break;
    }
    locale_leave_c(before);
    str_put(s, text);
}

static void put_const(struct str *s, const struct tile_inst *in) {
    tsr_kind k = tsr_dtype_of(in->dtype)->kind;
    str_printf(s, " %s ", tsr_dtype_name(in->dtype));
    if (k == TSR_KIND_FLOAT || k == TSR_KIND_COMPLEX) put_number(s, in->imm.f);
    else if (in->dtype == TSR_U64) str_printf(s, "%llu", (unsigned long long)in->imm.i);
    else str_printf(s, "%lld", (long long)in->imm.i);
}

static void put_block(struct str *s, const struct tile_inst *in, const tsr_tv *o) {
    str_putc(s, ' ');
    put_value(s, o[TILE_BLK_BUF]);
    str_putc(s, ' ');
    put_extents(s, in->rank, in->extent);
    str_put(s, " at ");
    put_value(s, o[TILE_BLK_BASE]);
    put_list(s, "stride", in->rank, o + TILE_BLK_AXES);
    put_list(s, "lo", in->rank, o + TILE_BLK_AXES + in->rank);
    put_list(s, "hi", in->rank, o + TILE_BLK_AXES + 2 * in->rank);
    str_put(s, in->op == TILE_LOAD ? " other " : " value ");
    put_value(s, o[TILE_BLK_VALUE]);
}

static void put_access(struct str *s, int32_t access) {
    str_printf(s, " %s", access == TSR_TILE_IN ? "in" : access == TSR_TILE_OUT ? "out" : "inout");
}

/* What stands between the op's name and the end of the line. */
static void put_rest(struct str *s, const tsr_tile *p, const struct tile_inst *in) {
    const tsr_tv *o = tile_operands(p, in);
    switch (in->op) {
    case TILE_BUF: put_access(s, in->sub); /* fall through */
    case TILE_ARG:
        str_printf(s, " %s ", tsr_dtype_name(in->dtype));
        str_json(s, p->arg.v[in->axis].name);
        return;
    case TILE_PID: str_printf(s, " %d", (int)in->sub); return;
    case TILE_CONST: put_const(s, in); return;
    case TILE_IOTA:
        str_printf(s, " %s ", tsr_dtype_name(in->dtype));
        put_extents(s, in->rank, in->extent);
        str_printf(s, " axis %d", (int)in->axis);
        return;
    case TILE_CAST: case TILE_BITCAST: str_printf(s, " %s", tsr_dtype_name(in->dtype)); break;
    case TILE_BROADCAST: case TILE_RESHAPE: case TILE_TRANSPOSE: str_putc(s, ' '), put_extents(s, in->rank, in->extent);
        break;
    case TILE_REDUCE: case TILE_ARGREDUCE: case TILE_SCAN:
        str_printf(s, " %s axis %d%s", tile_reduce_name[in->sub], (int)in->axis, in->reverse ? " reverse" : "");
        break;
    case TILE_LOAD: case TILE_STORE: put_block(s, in, o); return;
    case TILE_GATHER: case TILE_SCATTER:
        str_putc(s, ' ');
        put_values(s, 2, o);
        str_put(s, " mask ");
        put_value(s, o[TILE_GS_MASK]);
        str_put(s, in->op == TILE_GATHER ? " other " : " value ");
        put_value(s, o[TILE_GS_VALUE]);
        return;
    case TILE_FOR:
        str_putc(s, ' ');
        put_values(s, 3, o);
        put_list(s, "carry", in->n_operand - 3, o + 3);
        return;
    case TILE_WHILE: put_list(s, "carry", in->n_operand, o); return;
    default: break;
    }
    if (in->n_operand) str_putc(s, ' ');
    put_values(s, in->n_operand, o);
}

static void put_results(struct str *s, const struct tile_inst *in) {
    for (int i = 0; i < in->n_result; i++) str_printf(s, "%s%%%d", i ? ", " : "", (int)in->result + i);
}

void tile_put_inst(struct str *s, const tsr_tile *p, const struct tile_inst *in) {
    if (in->op == TILE_ELSE || in->op == TILE_END) {
        str_put(s, in->op == TILE_ELSE ? "} else {" : "}");
        if (in->n_result) str_put(s, " -> "), put_results(s, in);
    } else {
        put_results(s, in);
        if (in->n_result) str_put(s, " = ");
        str_put(s, in->op == TILE_ELEM ? tile_scalar[in->sub].name : tile_op_name[in->op]);
        put_rest(s, p, in);
        if (tile_opens(in->op)) str_put(s, " {");
    }
}

static void put_inst(struct str *s, const tsr_tile *p, const struct tile_inst *in, int *depth) {
    *depth -= in->op == TILE_ELSE || in->op == TILE_END;
    for (int i = 0; i < *depth; i++) str_put(s, "    ");
    tile_put_inst(s, p, in);
    str_putc(s, '\n');
    *depth += tile_opens(in->op) || in->op == TILE_ELSE;
}

char *tsr_tile_print(const tsr_tile *p) {
    struct str s;
    int depth = 1;
    str_init(&s, p->c);
    str_put(&s, "tile ");
    str_json(&s, p->name);
    str_put(&s, " {\n");
    for (size_t i = 0; i < p->inst.n; i++) put_inst(&s, p, &p->inst.v[i], &depth);
    str_put(&s, "}\n");
    char *text = s.failed ? NULL : mem_strdup(p->c, s.s);
    str_release(&s);
    return text;
}

void tsr_text_free(tsr_ctx *c, char *text) { mem_strfree(c, text); }
