/* vm_kernels.c: which table of kernels belongs to which level of instruction set. A level that this build lacks
 * (another processor family) falls back to generic. */
#include "tile/vm_kernels.h"

#include "tile/vm_tables.h"

static const struct {
    vm_elem_table *elem;
    vm_cast_table *cast;
    vm_fold_table *fold;
    const struct vm_links *links;
} tables[CPU_ISA_COUNT] = {
    [CPU_GENERIC] = {&vm_elem_table_generic, &vm_cast_table_generic, &vm_fold_table_generic, &vm_links_generic},
#if TSR_ISA_LEVELS > 1
    [CPU_AVX2] = {&vm_elem_table_avx2, &vm_cast_table_avx2, &vm_fold_table_avx2, &vm_links_avx2},
    [CPU_AVX512] = {&vm_elem_table_avx512, &vm_cast_table_avx512, &vm_fold_table_avx512, &vm_links_avx512},
#else
    [CPU_AVX2] = {&vm_elem_table_generic, &vm_cast_table_generic, &vm_fold_table_generic, &vm_links_generic},
    [CPU_AVX512] = {&vm_elem_table_generic, &vm_cast_table_generic, &vm_fold_table_generic, &vm_links_generic},
#endif
};

vm_elem_kernel *vm_elem_find(enum cpu_isa isa, tsr_scalar fn, tsr_dtype t) { return (*tables[isa].elem)[fn][t]; }

vm_cast_kernel *vm_cast_find(enum cpu_isa isa, tsr_dtype from, tsr_dtype to) { return (*tables[isa].cast)[from][to]; }

vm_fold_kernel *vm_fold_find(enum cpu_isa isa, tsr_reduce op, tsr_dtype t) { return (*tables[isa].fold)[op][t]; }

const struct vm_links *vm_links_of(enum cpu_isa isa) { return tables[isa].links; }
