/* fuzz_stablehlo_text.c: any bytes as StableHLO text: refused with a message that names a place, or modules whose
 * constants can be decoded, whose types have a text, and that are equal to themselves. */
#include <stdlib.h>
#include <string.h>

#include "base/vec.h"
#include "formats/stablehlo/read.h"

enum { CONSTANT_MAX = 1 << 20 }; /* bytes that are decoded: a splat may claim any number */

static void check_type(tsr_ctx *c, const struct hlo_type *t) {
    struct str s;
    str_init(&s, c);
    hlo_type_text(&s, t);
    if (!s.n) abort();
    str_release(&s);
}

static void check_attr(tsr_ctx *c, const struct hlo_attr *a) {
    size_t bytes;
    if (!hlo_attr_equal(a, a)) abort();
    if (a->type) check_type(c, a->type);
    for (int i = 0; a->kind == HLO_A_LIST && i < a->n; i++) check_attr(c, a->item[i]);
    for (int i = 0; (a->kind == HLO_A_DICT || a->kind == HLO_A_STRUCT) && i < a->n; i++)
        check_attr(c, a->field[i].value);
    if (a->kind != HLO_A_ELEMENTS) return;
    if (!tsr_dtype_bytes(hlo_elem_of(a->type->elem)->dtype, hlo_type_count(a->type), &bytes) ||
        bytes > CONSTANT_MAX) return;
    void *p = malloc(bytes + 1);
    if (!p || !hlo_elements_read(c, a, p, bytes)) abort();
    free(p);
}

static void check_ops(tsr_ctx *c, const struct hlo_block *b) {
    for (const struct hlo_op *op = b->first; op; op = op->next) {
        if (op->parent != b) abort();
        for (int i = 0; i < op->nattr; i++) check_attr(c, op->attr[i].value);
        for (int i = 0; i < op->nresult; i++) check_type(c, op->result[i].type);
        for (int i = 0; i < op->noperand; i++)
            if (!op->operand[i]->type) abort();
        for (int r = 0; r < op->nregion; r++)
            for (int k = 0; k < op->region[r].nblock; k++) check_ops(c, &op->region[r].block[k]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    char *text = malloc(n + !n); /* of its own length: reading past its end is seen */
    if (!text) abort();
    if (n) memcpy(text, p, n);
    tsr_ctx *c = tsr_open(NULL);
    struct hlo_module *m = hlo_read_text(c, "fuzz", text, n);
    if (!m != (tsr_error_status(c) != TSR_OK)) abort();
    if (!m && tsr_error_status(c) == TSR_EINVAL && strncmp(tsr_error_message(c), "fuzz:", 5) != 0) abort();
    for (const struct hlo_module *k = m; k; k = k->next) check_ops(c, &k->op->region[0].block[0]);
    if (tsr_error_status(c) != TSR_OK && m) abort();
    hlo_module_free(m);
    tsr_close(c);
    free(text);
    return 0;
}
