/* stablehlo.h: StableHLO in and out: the text form of fns, and programs of JAX, TensorFlow and PyTorch/XLA as fns.
 *
 * A fn prints as one module of MLIR text whose function @main is the fn, as stablehlo-opt would print it: primitives
 * are operations of the stablehlo and chlo dialects, composites are stablehlo.composite with their body as a private
 * function, fns that are called are private functions, bodies are regions, symbolic extents are '?' (with
 * #stablehlo.bounds where the symbol has an upper bound). What StableHLO lacks (qr, svd, eigh, user kernels, host
 * calls) is a custom_call @tessera.NAME, which is read back here. Parameters of @main are the fn's explicit ones, then
 * what it captured (argument attribute tessera.capture) and the variables it reads (tessera.var = "name"); its results
 * are the explicit ones, then the new values of assigned variables.
 *
 * Reading takes text and MLIR bytecode (VHLO 0.9 and later), of every operation of the StableHLO specification
 * (openxla.org/stablehlo/spec). The fn has a parameter for each argument of the function; '?' becomes a symbol. Errors
 * begin with file:line:col. */
#ifndef TESSERA_STABLEHLO_H
#define TESSERA_STABLEHLO_H

#include "tessera/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* f as StableHLO text; freed with tsr_text_free (tile.h). NULL: an error that names the op that has no counterpart (a
 * block-quantised type, an extent that no parameter has). */
char *tsr_stablehlo_text(tsr_ctx *c, const tsr_fn *f);

/* The function `entry` (NULL: main, or the only function) of the file's first module as a fn, the caller's
 * (tsr_fn_free). NULL: error recorded: no such file, or file:line:col and what is wrong there. */
tsr_fn *tsr_stablehlo_read(tsr_ctx *c, const char *path, const char *entry);
/* The same from bytes, which need not outlive the call; `name` is what messages call them. */
tsr_fn *tsr_stablehlo_parse(tsr_ctx *c, const char *name, const void *bytes, size_t n, const char *entry);

#ifdef __cplusplus
}
#endif
#endif
