/* fuzz_safetensors.c: any bytes as a safetensors file: refused with a message, or every tensor readable. */
#include <stdlib.h>

#include "tessera/graph.h"
#include "tessera/safetensors.h"

static unsigned sum_bytes(const tsr_safetensor *t) {
    unsigned sum = 0;
    for (size_t i = 0; i < t->bytes; i++) sum += ((const unsigned char *)t->data)[i];
    return sum;
}

volatile unsigned sink; /* what is read is used, so that reading it cannot be left out */

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    tsr_ctx *c = tsr_open(NULL);
    tsr_safetensors *f = tsr_safetensors_parse(c, p, n, "fuzz");
    if (!f != (tsr_error_status(c) != TSR_OK)) abort(); /* a failure has its error, a success has none */
    for (int64_t i = 0; f && i < tsr_safetensors_count(f); i++) {
        const tsr_safetensor *t = tsr_safetensors_at(f, i);
        sink += sum_bytes(t);
        if (tsr_safetensors_find(f, t->name) != t) abort();
        tsr_safetensors_node(c, f, t->name);
    }
    for (int64_t i = 0; f && tsr_safetensors_metadata_at(f, i); i++) {
        const tsr_metadata *m = tsr_safetensors_metadata_at(f, i);
        if (tsr_safetensors_metadata(f, m->key) != m->value) abort();
    }
    tsr_safetensors_close(f);
    tsr_close(c);
    return 0;
}
