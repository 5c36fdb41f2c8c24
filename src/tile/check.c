/* check.c: the checker of whole tile programs.
 *
 * It trusts nothing that the builders did: it walks the instructions once with its own stack of regions and checks that
 * every operand is defined before its use in a region that is still open, that regions nest and each ends in one yield
 * whose values match, that links (match, region) are right, and that the types recorded for results are those that
 * rule.c gives. After TSR_OK the VM and the renderers rely on all of it. */
#include "tile/tile.h"

#include <string.h>

/* n values of types `want(i)` must be yielded. */
static bool match_types(const tsr_tile *p, const char *where, int skip, int n, const tsr_tv *v, int want,
    const struct tile_type *(*type)(const tsr_tile *, const struct tile_inst *, int),
                        const struct tile_inst *of) {
    char ta[128], tb[128];
    if (n - skip != want) {
        tile_error(p, "yield: %d values for a %s that carries %d%s", n, where, want, skip
            ? " (a while yields its condition first)" : "");
        return false;
    }
    for (int i = 0; i < want; i++) {
        const struct tile_type *a = tile_type_of(p, v[skip + i]), *b = type(p, of, i);
        if (tile_type_same(a, b)) continue;
        tile_error(p, "yield: value %d is %s where the %s has %s; a carried value keeps its dtype and shape", skip + i,
            tile_type_text(a, ta), where,
                   tile_type_text(b, tb));
        return false;
    }
    return true;
}

static const struct tile_type *carry_type(const tsr_tile *p, const struct tile_inst *opener, int i) {
    return tile_type_of(p, opener->result + (opener->op == TILE_FOR) + i);
}

static const struct tile_type *yield_type(const tsr_tile *p, const struct tile_inst *yield, int i) {
    return tile_type_of(p, tile_operands(p, yield)[i]);
}

bool tile_check_yield(const tsr_tile *p, const struct tile_inst *opener, const struct tile_inst *first, int n,
    const tsr_tv *v) {
    if (opener->op == TILE_IF)
        return !first || match_types(p, "first arm", 0, n, v, first->n_operand, yield_type, first);
    bool turn = opener->op == TILE_WHILE;
    if (turn) {
        const struct tile_type *t = n > 0 ? tile_type_of(p, v[0]) : NULL;
        if (!t || t->rank || t->dtype != TSR_BOOL) {
            tile_error(p, "yield: the first value of a while must be a bool scalar: whether to go round again");
            return false;
        }
    }
    return match_types(p, tile_op_name[opener->op], turn, n, v, opener->n_result - !turn, carry_type, opener);
}

/* ---- the walk ---- */

struct walk {
    const tsr_tile *p;
    struct frame {
        int32_t region, opener; /* opener: FOR, WHILE, IF or ELSE */
        const struct tile_inst *first; /* else arm: the yield of the then arm */
        bool yielded;
    } stack[TILE_MAX_DEPTH + 1];
    int depth;
    int32_t regions; /* met so far: regions are numbered in order */
    int32_t values;
};

#define REFUSE(...) (tile_error(w->p, __VA_ARGS__), false)

static struct frame *top(struct walk *w) { return &w->stack[w->depth]; }

static bool is_open(const struct walk *w, int32_t region) {
    for (int i = w->depth; i >= 0; i--)
        if (w->stack[i].region == region) return true;
    return false;
}

static bool check_operands(struct walk *w, const struct tile_inst *in) {
    const tsr_tile *p = w->p;
    if (in->n_operand < 0 || in->operand < 0 || (size_t)in->operand + (size_t)in->n_operand > p->operand.n)
        return REFUSE("%s: its operands lie outside the program", tile_op_name[in->op]);
    for (int i = 0; i < in->n_operand; i++) {
        tsr_tv v = tile_operands(p, in)[i];
        if (v == TSR_TV_NONE) continue;
        if (v < 0 || v >= w->values || !is_open(w, p->value.v[v].region))
            return REFUSE("%s: operand %d (value %d) is not defined here", tile_op_name[in->op], i, (int)v);
    }
    return true;
}

/* Results are the next values, stand in `region`, and have the types that the rule gives. */
static bool check_results(struct walk *w, int32_t at, const struct tile_type *t, int32_t region) {
    const tsr_tile *p = w->p;
    const struct tile_inst *in = &p->inst.v[at];
    if (in->result != w->values || in->n_result < 0 || (size_t)in->result + (size_t)in->n_result > p->value.n)
        return REFUSE("%s: its results are out of order", tile_op_name[in->op]);
    for (int i = 0; i < in->n_result; i++) {
        const struct tile_value *v = &p->value.v[in->result + i];
        if (v->inst != at || v->region != region || !tile_type_same(&v->type, &t[i]))
            return REFUSE("%s: result %d is recorded with another type or place than its rule gives",
                tile_op_name[in->op], i);
    }
    w->values += in->n_result;
    return true;
}

static bool push_frame(struct walk *w, int32_t opener, const struct tile_inst *first) {
    if (w->depth == TILE_MAX_DEPTH) return REFUSE("regions are nested deeper than %d", TILE_MAX_DEPTH);
    if (++w->regions >= (int32_t)w->p->region.n || w->p->region.v[w->regions].opener != opener ||
        w->p->region.v[w->regions].parent != top(w)->region)
        return REFUSE("region %d is recorded wrongly", (int)w->regions);
    w->stack[++w->depth] = (struct frame){.region = w->regions, .opener = opener, .first = first};
    return true;
}

static bool check_else(struct walk *w, int32_t at) {
    const tsr_tile *p = w->p;
    struct frame f = *top(w);
    if (w->depth == 0 || p->inst.v[f.opener].op != TILE_IF || !f.yielded || p->inst.v[f.opener].match != at)
        return REFUSE("else: does not follow the first arm of an if");
    w->depth--;
    return push_frame(w, at, &p->inst.v[at - 1]);
}

static bool check_end(struct walk *w, int32_t at) {
    const tsr_tile *p = w->p;
    const struct tile_inst *in = &p->inst.v[at];
    struct frame f = *top(w);
    struct tile_type t[TILE_MAX_RESULTS + 1];
    if (w->depth == 0 || !f.yielded) return REFUSE("end: closes no region, or one without a yield");
    if (in->match < 0 || in->match >= at) return REFUSE("end: names no opener");
    const struct tile_inst *opener = &p->inst.v[in->match];
    bool arm = opener->op == TILE_IF;
    if (p->inst.v[f.opener].match != at || (arm ? opener->match != f.opener : in->match != f.opener))
        return REFUSE("end: names another opener than its region's");
    int n = arm ? p->inst.v[at - 1].n_operand : opener->n_result - (opener->op == TILE_FOR);
    if (n != in->n_result || n > TILE_MAX_RESULTS)
        return REFUSE("end: has %d results where its region yields %d", (int)in->n_result, n);
    for (int i = 0; i < n; i++) t[i] = arm ? *yield_type(p, &p->inst.v[at - 1], i) : *carry_type(p, opener, i);
    w->depth--;
    return check_results(w, at, t, top(w)->region);
}

static bool check_yield_inst(struct walk *w, const struct tile_inst *in) {
    const tsr_tile *p = w->p;
    struct frame *f = top(w);
    if (w->depth == 0) return REFUSE("yield: stands outside every region");
    const struct tile_inst *opener = &p->inst.v[f->opener];
    /* In an else arm the IF is the instruction whose match is the ELSE: its arm's yield type is what counts. */
    static const struct tile_inst an_if = {.op = TILE_IF};
    if (opener->op == TILE_ELSE) opener = &an_if;
    for (int i = 0; i < in->n_operand; i++)
        if (tile_operands(p, in)[i] == TSR_TV_NONE || tile_type_of(p, tile_operands(p, in)[i])->buf)
            return REFUSE("yield: value %d is missing or a buffer", i);
    f->yielded = true;
    return tile_check_yield(p, opener, f->first, in->n_operand, tile_operands(p, in));
}

static bool check_inst(struct walk *w, int32_t at) {
    const tsr_tile *p = w->p;
    const struct tile_inst *in = &p->inst.v[at];
    struct tile_type t[TILE_MAX_RESULTS + 1];
    if ((unsigned)in->op >= TILE_OP_COUNT) return REFUSE("instruction %d is of no kind", (int)at);
    if (!check_operands(w, in)) return false;
    if (in->op == TILE_ELSE) return check_else(w, at);
    if (in->op == TILE_END) return check_end(w, at);
    if (in->region != top(w)->region)
        return REFUSE("%s: is recorded in another region than it stands in", tile_op_name[in->op]);
    if (top(w)->yielded) return REFUSE("%s: follows the yield of its region", tile_op_name[in->op]);
    if ((in->op == TILE_BUF || in->op == TILE_ARG) != (at < (int32_t)p->arg.n))
        return REFUSE("arguments come first, and nothing else is one");
    if (in->op == TILE_YIELD) return check_yield_inst(w, in);
    if (!tile_rule(p, in, tile_operands(p, in), t)) return false;
    if (!tile_opens(in->op)) return check_results(w, at, t, in->region);
    return check_results(w, at, t, w->regions + 1) && push_frame(w, at, NULL);
}

tsr_status tile_check(const tsr_tile *p) {
    struct walk walk = {.p = p, .stack[0].opener = -1}, *w = &walk;
    for (size_t i = 0; i < p->inst.n; i++)
        if (!check_inst(w, (int32_t)i)) return tsr_error_status(p->c);
    if (w->depth) return tile_error(p, "a region is never closed");
    if ((size_t)w->values != p->value.n || (size_t)w->regions + 1 != p->region.n)
        return tile_error(p, "has values or regions that nothing makes");
    return TSR_OK;
}
