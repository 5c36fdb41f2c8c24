/* fuzz_stablehlo_print.c: any text that is StableHLO is printed, in both forms, as text that reads as the same program
 * and prints the same; and where its @main can be imported, the fn is exported, and what it exports prints and reads
 * likewise. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/stablehlo/export.h"
#include "formats/stablehlo/import.h"
#include "formats/stablehlo/read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { IMPORTED_MAX = 1 << 14 }; /* bytes: importing builds a graph, which takes longer than reading */

static void stop(const char *why, const struct str *text) {
    fprintf(stderr, "%s\n%s\n", why, text->s);
    abort();
}

static void round_trip(tsr_ctx *c, const struct hlo_module *m, bool generic) {
    struct str text, second, why;
    str_init(&text, c), str_init(&second, c), str_init(&why, c);
    void (*print)(struct str *, const struct hlo_module *) = generic ? hlo_print_generic : hlo_print;
    print(&text, m);
    struct hlo_module *again = hlo_read_text(c, "printed", text.s, text.n);
    /* text of dialects that nobody here knows is kept as it stands, comments too, which then hide what follows */
    if (!again && !strstr(text.s, "//")) stop(tsr_error_message(c), &text);
    if (again && !strstr(text.s, "//") && !hlo_module_equal(m, again, &why)) stop(why.s, &text);
    if (again) print(&second, again);
    if (again && text.n != second.n) stop("prints otherwise when it is read again", &text);
    if (!again) tsr_error_clear(c);
    hlo_module_free(again);
    str_release(&text), str_release(&second), str_release(&why);
}

static void there_and_back(tsr_ctx *c, const struct hlo_module *m) {
    struct hlo_import_options o = {.partition = -1, .replica = -1};
    tsr_fn *f = hlo_find_func(m, "main") ? hlo_import(m, "main", &o, NULL) : NULL;
    struct hlo_module *out = f ? hlo_export(c, f) : NULL;
    if (out) round_trip(c, out, false);
    hlo_module_free(out);
    tsr_fn_free(c, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
    tsr_ctx *c = tsr_open(&(tsr_config){.threads = 1});
    struct hlo_module *m = hlo_read_text(c, "fuzz", (const char *)data, n);
    for (int generic = 0; m && generic < 2; generic++) round_trip(c, m, generic != 0);
    if (m && n <= IMPORTED_MAX) there_and_back(c, m);
    hlo_module_free(m);
    tsr_close(c);
    return 0;
}
