/* jit.h: the C tier of the CPU: kernels compiled by the system's C compiler while the VM already runs them.
 *
 * TSR_JIT: off; lazy (the default where there is a compiler): a group of kernels is compiled in the background once the
 * VM has spent a while on it, and swapped in when ready, where it is faster; now: compiled before its first launch;
 * asked: compiled by jit_settle alone, kernels of many plans in a unit (tests of thousands of kernels). The text is
 * emit.h's, so both tiers give the same bits and the swap cannot be seen. Kernels that were added since the last launch
 * (those of a plan) are a unit; a large one is several translation units, so that the hottest kernels are ready first
 * and two compilers work. Compiled code is kept on disk under the hash of text, compiler and flags (TSR_CACHE), bounded
 * in size; a damaged entry is built again; processes may share the folder. Where there is no compiler, or it fails, the
 * VM goes on. */
#ifndef DEVICE_CPU_JIT_H
#define DEVICE_CPU_JIT_H

#include <stdatomic.h>

#include "emit/emit.h"
#include "tile/vm.h"

struct jit;
typedef void jit_fn(const union vm_arg *arg, const int64_t *grid, int64_t begin, int64_t end, char *scratch);

/* One kernel. run is NULL until its code is there. */
struct jit_kernel {
    _Atomic(jit_fn *) run;
    size_t scratch;
    tsr_tile *program;
    double seconds; /* on the VM */
    struct jit_unit *unit;
    struct jit_kernel *next; /* in its unit */
    int number;
};

/* NULL: switched off or no compiler; failed: no memory (recorded) */
struct jit *jit_open(tsr_ctx *c, bool *failed);
void jit_close(struct jit *j);                  /* stops a compiler that still runs; NULL is accepted */
bool jit_is_lazy(const struct jit *j);          /* nobody asked for compiled code */
/* NULL: no memory (recorded). */
struct jit_kernel *jit_add(struct jit *j, const tsr_tile *program);
/* Before and after a launch of k on the VM, which took `seconds`: may start the compiler, or wait for it (now). */
void jit_heat(struct jit *j, struct jit_kernel *k, double seconds);
void jit_rest(struct jit *j); /* a run has ended: may start the compiler */
/* Compiles every kernel that was added so far, a compiler on each core, and waits: afterwards each has its code or
 * never will. Gives the number of units that could not be compiled. */
int jit_settle(struct jit *j);
/* Runs a grid on compiled code. k->run must be there. */
tsr_status jit_run(struct jit *j, struct jit_kernel *k, const int64_t grid[3], const union vm_arg *args,
    struct pool *pool);

#endif
