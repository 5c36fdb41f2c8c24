/* fuzz_idx.c: any bytes as an IDX file, plain or gzip: refused with a message, or an array of the promised size. */
#include <stdlib.h>

#include "tessera/data.h"

volatile unsigned sink; /* what is read is used, so that reading it cannot be left out */

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    tsr_ctx *c = tsr_open(NULL);
    tsr_array a;
    tsr_status s = tsr_idx_parse(c, p, n, "fuzz", &a);
    if ((s != TSR_OK) != (tsr_error_status(c) != TSR_OK) || (s == TSR_OK) != (a.data != NULL)) abort();
    for (size_t i = 0; i < a.bytes; i++) sink += ((const uint8_t *)a.data)[i];
    tsr_array_release(c, &a);
    tsr_close(c);
    return 0;
}
