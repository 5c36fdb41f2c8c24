/* bytecode.c: MLIR bytecode. The reader is not part of this build yet: such files are refused with a message. */
#include "formats/stablehlo/read.h"

struct hlo_module *hlo_read_bytecode(tsr_ctx *c, const char *file, const void *bytes, size_t n) {
    (void)bytes;
    err_set(c, TSR_EUNSUPPORTED, "%s: MLIR bytecode (%zu bytes) is not read by this build; give the program as text",
        file, n);
    return NULL;
}
