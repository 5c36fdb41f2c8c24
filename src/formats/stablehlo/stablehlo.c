/* stablehlo.c: the public calls: a fn to text, text or bytecode to a fn. */
#include "base/sys.h"
#include "formats/stablehlo/export.h"
#include "formats/stablehlo/import.h"
#include "formats/stablehlo/read.h"
#include "tessera/stablehlo.h"

char *tsr_stablehlo_text(tsr_ctx *c, const tsr_fn *f) {
    struct str s;
    struct hlo_module *m = hlo_export(c, f);
    if (!m) return NULL;
    str_init(&s, c);
    hlo_print(&s, m);
    char *text = s.failed ? NULL : mem_strdup(c, s.s);
    str_release(&s);
    hlo_module_free(m);
    return text;
}

/* The function's name: as asked for, or main, or the only one there is. */
static const char *entry_of(const struct hlo_module *m, const char *entry) {
    const char *only = NULL;
    int n = 0;
    if (entry || hlo_find_func(m, "main")) return entry ? entry : "main";
    for (const struct hlo_op *op = m->op->region[0].block[0].first; op; op = op->next)
        if (op->code == HLO_OP_FUNC) only = hlo_get_text(op, "sym_name"), n++;
    return n == 1 ? only : "main";
}

tsr_fn *tsr_stablehlo_parse(tsr_ctx *c, const char *name, const void *bytes, size_t n, const char *entry) {
    struct hlo_import_options o = {.partition = -1, .replica = -1};
    struct hlo_module *m = hlo_read(c, name, bytes, n);
    tsr_fn *f = m ? hlo_import(m, entry_of(m, entry), &o, NULL) : NULL;
    hlo_module_free(m);
    return f;
}

tsr_fn *tsr_stablehlo_read(tsr_ctx *c, const char *path, const char *entry) {
    struct file_map file;
    if (file_map(c, path, &file) != TSR_OK) return NULL;
    tsr_fn *f = tsr_stablehlo_parse(c, path, file.p, file.n, entry);
    file_unmap(&file);
    return f;
}
