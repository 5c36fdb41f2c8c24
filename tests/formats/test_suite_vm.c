/* test_suite_vm.c: OpenXLA's suite on the VM. Failing: an operation means something else than it should. */
#include "suite_check.h"

TEST(stablehlo_on_vm) {
    run_suite("vm", &(struct conform_options){.tier = CONFORM_PLAN, .config = {.threads = 1}}, 2500);
}
