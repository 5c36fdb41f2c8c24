/* fuzz_idx.c: any bytes as an IDX file, plain or gzip: refused with a message, or an array of the promised size. */
#include <stdlib.h>

#include "tessera/data.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    tsr_ctx *c = tsr_open(NULL);
    tsr_array a;
    tsr_status s = tsr_idx_parse(c, p, n, "fuzz", &a);
    if ((s != TSR_OK) != (tsr_error_status(c) != TSR_OK) || (s == TSR_OK) != (a.data != NULL)) abort();
    volatile unsigned sum = 0;
    for (size_t i = 0; i < a.bytes; i++) sum += ((const uint8_t *)a.data)[i];
    tsr_array_release(c, &a);
    tsr_close(c);
    return 0;
}
