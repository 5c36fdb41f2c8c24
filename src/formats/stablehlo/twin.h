/* twin.h: a bytecode file against the text it was made from. */
#ifndef FORMATS_STABLEHLO_TWIN_H
#define FORMATS_STABLEHLO_TWIN_H

#include "base/vec.h"

/* True: the module of bytecode bc_path is that of text_path, and still is when it is printed and read again. Where the
 * text says in its first line that the file must be refused ("RUN: not ..."): it was, by an error that names versions.
 * False: *why says what is wrong; no error stays recorded but lack of memory. */
bool hlo_twin(tsr_ctx *c, const char *bc_path, const char *text_path, struct str *why);

#endif
