/* print_name.c: the names that values have in printed text.
 *
 * A result is %0, %1, ... in order of text; an operation of several results has one number, its results are %0#0, %0#1.
 * An argument of a region's first block is %arg0, %arg1, ...; constants, loop variables and the results of a few
 * operations have words (%cst, %iterArg, %values). A word in use is made unique with _N. Numbers and N go on in nested
 * regions from where the whole region around them ended, so names in regions next to each other may be the same, and a
 * name never hides another. These are MLIR's rules (AsmPrinter), so that texts can be compared line by line. */
#include <string.h>

#include "formats/stablehlo/print.h"

struct label {
    const struct hlo_value *value;
    const char *word; /* without '%' */
    int group, index; /* values that share the word, which of them this is */
};

/* Words given in a region, taken back at its end. */
struct used {
    struct used *before;
    const char *word;
};
struct numbering {
    struct print_names *names;
    struct used *last;
    bool failed;
};
struct counters {
    int value, argument, conflict;
};

void print_names_release(struct print_names *n) {
    map_release(n->arena.c, &n->label);
    map_release(n->arena.c, &n->used);
    arena_release(&n->arena);
}

static uint64_t hash_value(const struct hlo_value *v) { return hash_mix(0, (uintptr_t)v); }

static bool same_value(const void *item, const void *key, void *user) {
    (void)user;
    return ((const struct label *)item)->value == key;
}

static bool same_word(const void *item, const void *key, void *user) {
    (void)user;
    return strcmp(((const struct used *)item)->word, key) == 0;
}

static bool is_used(const struct numbering *s, const char *word) {
    return map_get(&s->names->used, hash_str(0, word), word, same_word, NULL) != NULL;
}

/* `word`, made unique and marked as used; NULL: no memory. */
static const char *unique(struct numbering *s, const char *word, struct counters *k) {
    struct arena *a = &s->names->arena;
    const char *name = word;
    while (name && is_used(s, name)) name = arena_printf(a, "%s_%d", word, k->conflict++);
    struct used *u = name ? arena_alloc(a, sizeof *u) : NULL;
    if (!u) return NULL;
    *u = (struct used){s->last, name};
    if (!map_put(a->c, &s->names->used, hash_str(0, name), u)) return NULL;
    s->last = u;
    return name;
}

static void give(struct numbering *s, const struct hlo_value *v, int group, int index, const char *word) {
    struct label *l = word ? arena_alloc(&s->names->arena, sizeof *l) : NULL;
    if (!l) {
        s->failed = true;
        return;
    }
    *l = (struct label){v, word, group, index};
    if (!map_put(s->names->arena.c, &s->names->label, hash_value(v), l)) s->failed = true;
}

/* Words for the results of operations whose definition names several. */
static const struct {
    enum hlo_opcode code;
    const char *word[3];
} result_words[] = {
    {HLO_OP_BATCH_NORM_GRAD, {"grad_operand", "grad_scale", "grad_offset"}},
    {HLO_OP_BATCH_NORM_TRAINING, {"output", "batch_mean", "batch_var"}},
    {HLO_OP_CHLO_SCAN, {"outputs", "carries"}},
    {HLO_OP_CHLO_TOP_K, {"values", "indices"}},
    {HLO_OP_RNG_BIT_GENERATOR, {"output_state", "output"}},
};

/* Values of a scan's first group of results: the other is the carries. */
static int scan_outputs(const struct hlo_op *op) {
    int n;
    const int64_t *size = hlo_get_ints(op, "resultSegmentSizes", &n);
    return n == 2 && size[0] >= 0 && size[0] <= op->nresult ? (int)size[0] : op->nresult;
}

static const char *constant_word(const struct hlo_op *op) {
    const struct hlo_type *t = op->nresult ? op->result[0].type : NULL;
    if (op->code != HLO_OP_CONSTANT || !t) return NULL;
    char first = t->quant ? 'q' : hlo_elem_of(t->elem)->text[0];
    return t->elem != HLO_INDEX && (first == 'i' || first == 'u') ? "c" : "cst";
}

static void number_group(struct numbering *s, const struct hlo_op *op, int from, int to, const char *word,
    struct counters *k) {
    if (from == to) return;
    const char *name = word ? unique(s, word, k) : arena_printf(&s->names->arena, "%d", k->value++);
    for (int i = from; i < to; i++) give(s, &op->result[i], to - from, i - from, name);
}

static void number_results(struct numbering *s, const struct hlo_op *op, struct counters *k) {
    for (size_t i = 0; i < sizeof result_words / sizeof *result_words; i++) {
        if (result_words[i].code != op->code) continue;
        bool scan = op->code == HLO_OP_CHLO_SCAN;
        int first = scan ? scan_outputs(op) : 1, at = 0;
        for (int g = 0; g < 3 && at < op->nresult; g++) {
            const char *word = result_words[i].word[g];
            int to = !word ? op->nresult : g == 0 ? first : scan ? op->nresult : at + 1;
            number_group(s, op, at, to, word, k);
            at = to;
        }
        if (at == op->nresult) return;
    }
    number_group(s, op, 0, op->nresult, constant_word(op), k);
}

static void number_block(struct numbering *s, const struct hlo_block *b, bool entry, struct counters *k) {
    bool loop = b->parent->parent->code == HLO_OP_WHILE;
    for (int i = 0; i < b->narg; i++) {
        const char *word = NULL;
        if (entry) word = loop ? "iterArg" : arena_printf(&s->names->arena, "arg%d", k->argument++);
        word = entry ? word ? unique(s, word, k) : NULL : arena_printf(&s->names->arena, "%d", k->value++);
        give(s, &b->arg[i], 1, 0, word);
    }
    for (const struct hlo_op *op = b->first; op; op = op->next) number_results(s, op, k);
}

static void number_region(struct numbering *s, const struct hlo_region *r, struct counters k) {
    struct used *outer = s->last;
    for (int i = 0; i < r->nblock; i++) number_block(s, &r->block[i], i == 0, &k);
    for (int i = 0; i < r->nblock && !s->failed; i++)
        for (const struct hlo_op *op = r->block[i].first; op; op = op->next)
            for (int g = 0; g < op->nregion; g++) number_region(s, &op->region[g], k);
    for (; s->last != outer; s->last = s->last->before)
        map_remove(&s->names->used, hash_str(0, s->last->word), s->last);
}

bool print_names_init(struct print_names *n, const struct hlo_module *m) {
    arena_init(&n->arena, m->c);
    map_init(&n->label);
    map_init(&n->used);
    struct numbering s = {.names = n};
    for (int i = 0; i < m->op->nregion; i++) number_region(&s, &m->op->region[i], (struct counters){0});
    return !s.failed;
}

/* ---- writing them ----------------------------------------------------------------------------------------------- */
static const struct label *label_of(const struct print_names *n, const struct hlo_value *v) {
    return map_get(&n->label, hash_value(v), v, same_value, NULL);
}

void print_value(struct str *o, const struct print_names *n, const struct hlo_value *v) {
    const struct label *l = label_of(n, v);
    if (!l) TSR_BUG("print: a value that no operation or block of the module defines");
    str_printf(o, l->group == 1 ? "%%%s" : "%%%s#%d", l->word, l->index);
}

void print_results(struct str *o, const struct print_names *n, const struct hlo_op *op) {
    for (int i = 0; i < op->nresult;) {
        const struct label *l = label_of(n, &op->result[i]);
        str_printf(o, "%s%%%s", i ? ", " : "", l->word);
        if (l->group > 1) str_printf(o, ":%d", l->group);
        i += l->group;
    }
    if (op->nresult) str_put(o, " = ");
}
