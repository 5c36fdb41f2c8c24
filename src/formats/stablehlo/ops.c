/* ops.c: the table of operations known by name (ops.def), and the way from a name to its line. */
#include "formats/stablehlo/ir.h"

#include <string.h>

static const struct hlo_op_info op_info[] = {
#define HLO_OP(code, name, form) {name, HLO_FORM_##form},
#include "formats/stablehlo/ops.def"
#undef HLO_OP
    {"", HLO_FORM_GENERIC},
};

const struct hlo_op_info *hlo_op_of(enum hlo_opcode code) { return &op_info[code]; }

/* A plain search: readers ask once for each name of a module and remember the answer. */
enum hlo_opcode hlo_opcode_find(const char *name, size_t n) {
    for (int i = 0; i < HLO_OP_UNKNOWN; i++)
        if (strlen(op_info[i].name) == n && memcmp(op_info[i].name, name, n) == 0) return (enum hlo_opcode)i;
    return HLO_OP_UNKNOWN;
}
