/* library.h: the text that kernels call (vmath, helpers), kept as items, so that a unit carries what it uses and no
 * more.
 *
 * An item is a macro, a type, a table or a function of the library's text; it names what it defines and what it uses.
 * Putting the library in front of a text puts the items that the text uses, and those that they use, in the library's
 * own order: the same text for the same kernels. */
#ifndef EMIT_LIBRARY_H
#define EMIT_LIBRARY_H

#include "base/vec.h"

/* Of the n parts (each a whole text; items do not straddle parts), what `used` needs. False: no memory (recorded). */
bool emit_library_put(struct str *out, tsr_ctx *c, int n, const char *const *part, const char *used);

#endif
