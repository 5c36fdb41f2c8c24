/* test_suite_reference.c: OpenXLA's suite on the reference. Failing: an operation means something else than it
 * should. */
#include "suite_check.h"

TEST(stablehlo_on_reference) {
    run_suite("reference", &(struct conform_options){.tier = CONFORM_REFERENCE, .config = {.threads = 1}}, 2500);
}
