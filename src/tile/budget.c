/* budget.c: sizes of tiles for the two kinds of machine there are.
 *
 * Of a core: what is alive stays in the first-level cache; a product's accumulator and its operands' chunks in the
 * second. Of a group of threads: eight elements for each of 256 threads, 8 x 8 outputs of a product, and a few hundred
 * instances, so that every unit of a large machine has more than one. */
#include "tile/budget.h"

const struct tile_budget tile_budget_host = {.loop_most = 4096, .loop_fewest = 256, .loop_bytes = 24 * 1024,
    .dot_m = 128, .dot_n = 256, .thin_n = 1024, .dot_least = 2048,
    .dot_blocks = 8, .row_elements = 1024};
const struct tile_budget tile_budget_groups = {.loop_most = 2048, .loop_fewest = 256, .loop_bytes = 32 * 1024,
    .dot_m = 128, .dot_n = 128, .thin_n = 128, .dot_least = 1024,
    .dot_blocks = 256, .row_elements = 2048, .pools = true};
