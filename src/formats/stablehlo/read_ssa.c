/* read_ssa.c: what the %names mean.
 *
 * One open-addressing table over a stack of definitions. Leaving a region pops what it defined; because the table is
 * probed linearly and entries leave in the reverse order they came, a popped entry's slot is simply emptied. A region
 * of an isolated operation (func.func, module) does not see names below its base and may define them again. */
#include <string.h>

#include "formats/stablehlo/reader.h"

static uint64_t head_of(const char *s, size_t n) {
    uint64_t w = 0;
    if (n >= 8) memcpy(&w, s, 8);
    for (size_t i = 0; n < 8 && i < n; i++) w = w << 8 | (unsigned char)s[i];
    return w;
}

/* Names that differ in a number at their end (%0, %1, ...; %arg0, ...) are neighbours in the table, with a free slot
 * between them: programs use most values soon after they define them. */
static uint32_t hash_name(uint64_t head, const char *s, size_t n) {
    size_t k = n;
    uint32_t number = 0, unit = 1;
    for (; k > 0 && n - k < 8 && lex_is_digit((unsigned char)s[k - 1]); k--, unit *= 10)
        number += unit * (uint32_t)(s[k - 1] - '0');
    uint64_t h = !k ? 0 : n > 8 ? hash_bytes(n, s, k) : (head >> 8 * (n - k)) * UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t)(h ^ h >> 32) + 2 * number;
}

static void insert(struct reader *r, size_t at) {
    size_t i = r->ssa.v[at].hash & (r->ssa.slots - 1);
    while (r->ssa.slot[i]) i = (i + 1) & (r->ssa.slots - 1);
    r->ssa.slot[i] = (uint32_t)at + 1;
}

/* Twice as many slots as definitions at least. */
static bool grow(struct reader *r) {
    size_t slots = r->ssa.slots ? r->ssa.slots * 2 : 64;
    uint32_t *slot = mem_array(r->c, slots, sizeof *slot);
    if (!slot) return false;
    mem_array_free(r->c, r->ssa.slot, r->ssa.slots, sizeof *slot);
    r->ssa.slot = slot, r->ssa.slots = slots;
    for (size_t i = 0; i < r->ssa.n; i++) insert(r, i);
    return true;
}

static bool same_name(const struct read_ssa *s, uint64_t head, const char *name, size_t n) {
    return s->head == head && s->n == n && (n <= 8 || memcmp(s->name, name, n) == 0);
}

static struct read_ssa *find(struct reader *r, const char *name, size_t n, uint64_t head, uint32_t hash) {
    for (size_t i = hash; r->ssa.slots; i++) {
        uint32_t at = r->ssa.slot[i & (r->ssa.slots - 1)];
        if (!at) break;
        struct read_ssa *s = &r->ssa.v[at - 1];
        if (at > r->ssa.base && same_name(s, head, name, n)) return s;
    }
    return NULL;
}

bool read_ssa_define(struct reader *r, const struct read_ssa *s) {
    uint64_t head = head_of(s->name, s->n);
    uint32_t hash = hash_name(head, s->name, s->n);
    const struct read_ssa *old = find(r, s->name, s->n, head, hash);
    if (old)
        return hlo_fail(r->m, s->at, "%%%.*s is defined already, at line %u: each value has a name of its own",
            (int)s->n, s->name, old->at.line);
    if (r->ssa.n >= UINT32_MAX / 4) return hlo_fail(r->m, s->at, "too many values in one region");
    if (r->ssa.n * 2 >= r->ssa.slots && !grow(r)) return false;
    if (!vec_reserve(r->c, &r->ssa, r->ssa.n + 1)) return false;
    r->ssa.v[r->ssa.n] = *s;
    r->ssa.v[r->ssa.n].hash = hash, r->ssa.v[r->ssa.n].head = head;
    insert(r, r->ssa.n++);
    return true;
}

struct ssa_scope read_scope_open(struct reader *r, bool isolated) {
    struct ssa_scope s = {r->ssa.n, r->ssa.base};
    if (isolated) r->ssa.base = r->ssa.n;
    return s;
}

void read_scope_close(struct reader *r, struct ssa_scope s) {
    while (r->ssa.n > s.n) {
        size_t i = r->ssa.v[--r->ssa.n].hash;
        while (r->ssa.slot[i & (r->ssa.slots - 1)] != r->ssa.n + 1) i++;
        r->ssa.slot[i & (r->ssa.slots - 1)] = 0;
    }
    r->ssa.base = s.base;
}

/* ---- in the text ------------------------------------------------------------------------------------------------ */

static bool name_byte(int ch) { return lex_is_word(ch) || ch == '-'; }

/* The name after '%'; the cursor then stands right behind it, so that '#' is seen. */
static bool name_here(struct reader *r, const char *what, struct read_ssa *out) {
    struct lex *x = &r->x;
    *out = (struct read_ssa){.at = lex_here(x), .count = 1};
    if (lex_peek(x) != '%') return lex_expected(x, what);
    const char *p = x->p + 1;
    while (p < x->end && name_byte((unsigned char)*p)) p++;
    out->name = x->p + 1, out->n = (uint32_t)(p - x->p - 1);
    if (!out->n || p - x->p > 1 << 20) return lex_expected(x, "a name after '%'");
    x->p = p;
    return true;
}

bool read_ssa_name(struct reader *r, struct read_ssa *out) {
    if (!name_here(r, "a value, %name", out)) return false;
    lex_skip(&r->x);
    return true;
}

bool read_ssa_use(struct reader *r, struct hlo_value **out) {
    struct read_ssa use;
    int64_t which = 0;
    if (!name_here(r, "an operand, %name", &use)) return false;
    if (lex_peek(&r->x) == '#') {
        r->x.p++;
        if (!lex_int(&r->x, &which, "a result's number after '#'")) return false;
    } else {
        lex_skip(&r->x);
    }
    uint64_t head = head_of(use.name, use.n);
    const struct read_ssa *s = find(r, use.name, use.n, head, hash_name(head, use.name, use.n));
    if (!s)
        return hlo_fail(r->m, use.at, "%%%.*s is not defined before this line: values are defined before they are used",
            (int)use.n, use.name);
    if (which < 0 || which >= s->count)
        return hlo_fail(r->m, use.at, "%%%.*s#%lld: %%%.*s has %d results, numbered from 0", (int)use.n, use.name,
            (long long)which, (int)use.n, use.name, s->count);
    *out = s->value + which;
    return true;
}

bool read_operands(struct reader *r) {
    if (lex_peek(&r->x) != '%') return true;
    do {
        struct hlo_value *v;
        if (!read_ssa_use(r, &v) || !vec_push(r->c, &r->operand, v)) return false;
    } while (lex_accept(&r->x, ','));
    return true;
}
