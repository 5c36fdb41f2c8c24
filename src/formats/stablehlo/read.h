/* read.h: StableHLO from text or bytecode, and back to text. */
#ifndef FORMATS_STABLEHLO_READ_H
#define FORMATS_STABLEHLO_READ_H

#include "formats/stablehlo/ir.h"

/* The modules of a file: MLIR bytecode when it begins with its magic number, text else (several modules when split by
 * lines that begin with "// -----"). Bytes must outlive the modules; `file` names them in messages. NULL: an error
 * "file:line:col: message" is recorded. A text whose operations stand outside any module is one module. */
struct hlo_module *hlo_read(tsr_ctx *c, const char *file, const void *bytes, size_t n);
struct hlo_module *hlo_read_text(tsr_ctx *c, const char *file, const char *text, size_t n);
struct hlo_module *hlo_read_bytecode(tsr_ctx *c, const char *file, const void *bytes, size_t n);
/* One section of a split file, [text, text + n), whose first line is number `line`. A caller that wants the good
 * sections of a file with bad ones (conformance) splits it itself with hlo_split and reads section by section. */
struct hlo_module *hlo_read_section(tsr_ctx *c, const char *file, const char *text, size_t n, uint32_t line);
/* The next section from *at on, past the "// -----" line; false at the end. line: number of its first line. */
bool hlo_split(const char *text, size_t n, size_t *at, const char **section, size_t *length, uint32_t *line);

/* Canonical text of a module: pretty forms, values numbered in order (%0, %1, %arg0), constants as MLIR prints them
 * (hex for more than 100 elements), two spaces an indent. hlo_print_generic: every op in the generic form. */
void hlo_print(struct str *out, const struct hlo_module *m);
void hlo_print_generic(struct str *out, const struct hlo_module *m);

#endif
