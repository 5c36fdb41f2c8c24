/* foreign.h: a device whose memory the host does not see, for tests: handles are made-up addresses, kernels run on the
 * tile VM.
 *
 * Whoever reads or writes through a handle dies; a handle that leaves its memory fails the test. Fresh memory is filled
 * with 0xA5. */
#ifndef TESTS_FOREIGN_H
#define TESTS_FOREIGN_H

#include "device/device.h"

/* Makes it the device of c, which has not used one yet. False: out of memory. It closes with c. */
bool foreign_open(tsr_ctx *c);

/* What it was asked for so far; zeros on another device. */
struct foreign_counts { int64_t allocs, frees, copies_in, copies_out, launches; size_t bytes_in, bytes_out; };
struct foreign_counts foreign_counts(tsr_ctx *c);
/* The nth call of launch from now on fails (1: the next), as asynchronous work does: the next sync or copy out says
 * so. */
void foreign_fail_launch(tsr_ctx *c, int n);

#endif
