/* rates.h: what a device can do, measured through tile programs, so in the same way for every device.
 *
 * Copying: a block of memory read and written once, larger than any cache. Multiply-adds of f32, two ways, of which the
 * faster counts: chains of fma over tiles, and products of tiles that are loaded once. */
#ifndef RUN_RATES_H
#define RUN_RATES_H

#include "base/ctx.h"

struct rates {
    double copy;  /* bytes read plus bytes written, a second */
    double chain; /* operations (two for an fma) a second, fma over tiles */
    double dot;   /* the same, products of tiles */
};
/* On the context's device; about a second. */
tsr_status rates_measure(tsr_ctx *c, struct rates *out);

#endif
