/* engine.h: compiled ahead of time: engine files, and what stands for a model outside of this library.
 *
 * An engine file (.tsr) holds the plan of a fn and its constants: kernels as tile programs, sizes as expressions over
 * the symbols of the fn's types, the memory plan's inputs. Opening one maps it: constants are used where they lie in
 * the file, and no compiler, no graph and no model format is needed to run it. It serves every size that the fn serves
 * and gives the bits of tsr_run. Files are little endian, versioned and checksummed; a file that is cut short, damaged
 * or of a newer version is refused with a message that says so.
 *
 * An engine file is a program. What it says is checked (types, indices, sizes, the order of steps), but the addresses
 * inside its tile programs are only looked at under TSR_CHECK=1: run files of strangers with it. */
#ifndef TESSERA_ENGINE_H
#define TESSERA_ENGINE_H

#include "tessera/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tsr_engine tsr_engine;

/* Writes f's plan to `path`, complete or not at all. Captured values and variables that f reads become constants.
 * EUNSUPPORTED, naming the op: f assigns variables, calls host functions or communicates. */
tsr_status tsr_engine_save(tsr_ctx *c, const char *path, tsr_fn *f);

/* NULL: error recorded (ENOTFOUND, EIO, EFORMAT, EUNSUPPORTED for a newer version). The constants' checksum is not
 * looked at: tsr_engine_verify does that. */
tsr_engine *tsr_engine_open(tsr_ctx *c, const char *path);
/* From memory that stays valid and unchanged until the engine is closed and every result that shares its constants is
 * gone; 64-byte aligned. `name` is what messages call it. */
tsr_engine *tsr_engine_parse(tsr_ctx *c, const void *p, size_t n, const char *name);
tsr_status tsr_engine_verify(tsr_engine *e); /* reads all constants: EFORMAT when they are damaged */
void tsr_engine_close(tsr_engine *e);        /* values made by it live on; NULL is accepted */

const char *tsr_engine_name(const tsr_engine *e);     /* of the fn */
const char *tsr_engine_producer(const tsr_engine *e); /* "tessera 0.1.0" */
int tsr_engine_params(const tsr_engine *e);
int tsr_engine_results(const tsr_engine *e);
const char *tsr_engine_param_name(const tsr_engine *e, int i); /* "" where the fn gave none */
const tsr_type *tsr_engine_param_type(const tsr_engine *e, int i);
const tsr_type *tsr_engine_result_type(const tsr_engine *e, int i);
int64_t tsr_engine_constant_bytes(const tsr_engine *e);
/* The plan as text, as tsr_plan_text; freed with tsr_text_free. NULL: error recorded. */
char *tsr_engine_text(const tsr_engine *e);

/* As tsr_run: n arguments (evaluated first when they are not), out[i] evaluated nodes. Symbols take their values from
 * the arguments, so one engine runs any number of sizes. */
tsr_status tsr_engine_run(tsr_engine *e, int n, tsr_node *const *arg, tsr_node **out);

#ifdef __cplusplus
}
#endif
#endif
