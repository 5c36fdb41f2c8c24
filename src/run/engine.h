/* engine.h: the inside of engine files: a plan as bytes.
 *
 *     header (64 bytes) | body | padding | constants
 *
 * The header is magic, version, the sizes of the parts and their hashes, all little endian. The body is one stream of
 * numbers (LEB128; signed ones zigzag), strings (length, bytes) and tile programs (their canonical text, which the
 * reader of tile programs checks anyway), in this order: names, extent expressions (operands before users), types,
 * tile programs (equal ones once), constants (where they lie), plans (bodies before those that call them; the last
 * is the whole), then the signature. Constants begin at a page and each at a multiple of 64 bytes, so a mapped file is
 * computed with in place.
 *
 * Opening believes the header only after its hash, the body only after its hash, and even then nothing in it: counts
 * are bounded by the bytes that are left, indices by what was read before, and each plan goes through plan_check.
 * Constants are hashed on request alone: opening touches none of their pages. */
#ifndef RUN_ENGINE_H
#define RUN_ENGINE_H

#include "base/sys.h"
#include "run/bind.h"
#include "run/runner.h"
#include "tessera/engine.h"

enum { ENGINE_VERSION = 1, ENGINE_ALIGN = 64, ENGINE_PAGE = 4096, ENGINE_DEPTH = 32 };
extern const uint8_t engine_magic[8];

struct engine_header {
    uint8_t magic[8];
    uint32_t version, flags; /* flags: 0 */
    uint64_t file_bytes, body_bytes, constants_at, body_hash, constants_hash;
    uint64_t header_hash; /* of all before it */
};
_Static_assert(sizeof(struct engine_header) == 64, "the header is 64 bytes");

/* A mapped file that buffers share: it goes with its last user. */
struct engine_file {
    tsr_ctx *c;
    uint32_t refs; /* atomic */
    struct file_map map;
};

void engine_file_drop(struct engine_file *f); /* NULL is accepted */

struct engine_const { const void *p; size_t bytes; uint64_t at; }; /* at: from where the constants begin */
struct tsr_engine {
    tsr_ctx *c;
    tsr_plan *plan;
    struct engine_file *file; /* NULL: the bytes are the caller's */
    struct engine_header header;
    const uint8_t *constants;
    struct engine_const *constant; /* (nconstant), p unused */
    int nconstant;
    struct arena mem;
    const char *producer;
    int nparam, nresult;
    const char **param;        /* (nparam) names, "" where there is none */
    const tsr_type **result;   /* (nresult) */
    struct fn_size *size;     /* (nsize) */
    int nsize;
};

const tsr_plan *engine_plan(const tsr_engine *e);

/* engine_write.c: the body for the plan of f (closed: no captures, no variables). constants receives, in order of
 * their place, what must follow. ECHECK, EUNSUPPORTED: recorded, naming the op. */
struct engine_body {
    struct str bytes;
    VEC(struct engine_const) constant;
    uint64_t constant_bytes;
};
tsr_status engine_write(tsr_ctx *c, const tsr_plan *p, const tsr_fn *f, struct engine_body *out);
void engine_body_release(tsr_ctx *c, struct engine_body *b);

/* engine_read.c: the body of e (header checked) -> plan and signature. name: for messages. */
tsr_status engine_read(tsr_engine *e, const uint8_t *body, const char *name);

/* f closed: its captures become literals, and its variables literals too, or (open) explicit parameters behind the
 * others, in order of first use, named as they are. The caller's; NULL: error recorded. */
tsr_fn *engine_freeze(tsr_ctx *c, tsr_fn *f, bool open);

#endif
