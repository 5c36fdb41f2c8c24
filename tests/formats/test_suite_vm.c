/* test_suite_vm.c: OpenXLA's suite on the VM. Failing: an operation means something else than it should. */
#include "suite_check.h"

TEST(stablehlo_on_vm) { run_suite("vm", CONFORM_VM, 2500); }
