/* fuzz_csv.c: any bytes as a table, the first of which chooses the options: refused with a message, or a data set whose
 * labels lie in their range. */
#include <stdlib.h>

#include "tessera/data.h"

volatile float sink; /* what is read is used, so that reading it cannot be left out */

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    if (!n) return 0;
    static const char *const label[] = {NULL, "1", "a", "2"};
    tsr_csv_opts o = {.delimiter = *p & 1 ? ';' : 0, .no_header = *p & 2, .label = label[*p >> 2 & 3]};
    tsr_ctx *c = tsr_open(NULL);
    tsr_data *d = tsr_data_csv_parse(c, p + 1, n - 1, "fuzz", &o);
    if (!d != (tsr_error_status(c) != TSR_OK)) abort();
    for (int64_t i = 0; d && d->y && i < d->count; i++) {
        if (d->y[i] < 0 || d->y[i] >= d->classes || !d->class_name[d->y[i]]) abort();
    }
    for (int64_t i = 0; d && i < d->count * d->dim[0]; i++) sink += ((const float *)d->x)[i];
    tsr_data_free(c, d);
    tsr_close(c);
    return 0;
}
