/* budget.h: the sizes of tiles that a machine wants: what the compiler asks when it lowers to tile programs, and what a
 * device says of itself (struct device.tiles). None of them changes a result: the chunks in which sums are taken are
 * constants of the lowering. */
#ifndef TILE_BUDGET_H
#define TILE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

struct tile_budget {
    /* Elementwise loops: at most loop_most elements an instance, and not so many that the tiles alive at a time exceed
     * loop_bytes; not fewer than loop_fewest for that. */
    int64_t loop_most, loop_fewest, loop_bytes;
    /* Products: an accumulator of at most dot_m x dot_n; halved, down to dot_least elements, until there are dot_blocks
     * instances. */
    int64_t dot_m, dot_n, dot_least, dot_blocks;
    int64_t thin_n; /* instead of dot_n where rows are few and the right matrix is read where it lies */
    bool pools; /* gradients of pooling are kernels too: what is left to the library waits for the host */
    int64_t row_elements; /* rows that one tile covers: together at most this many elements, one row at least */
};
extern const struct tile_budget tile_budget_host;   /* a core with caches, a few threads */
extern const struct tile_budget tile_budget_groups; /* groups of hundreds of threads that keep tiles in registers */

#endif
