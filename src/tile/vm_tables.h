/* vm_tables.h: the tables that each build of vm_elem.isa.c, vm_reduce.isa.c and vm_chain.isa.c defines, for
 * vm_kernels.c to choose from. */
#ifndef TILE_VM_TABLES_H
#define TILE_VM_TABLES_H

#include "tile/vm_kernels.h"

typedef vm_elem_kernel *const vm_elem_table[TSR_SCALAR_COUNT][TSR_DTYPE_COUNT];
typedef vm_cast_kernel *const vm_cast_table[TSR_DTYPE_COUNT][TSR_DTYPE_COUNT];
typedef vm_fold_kernel *const vm_fold_table[TSR_REDUCE_COUNT][TSR_DTYPE_COUNT];

extern vm_elem_table vm_elem_table_generic;
extern vm_cast_table vm_cast_table_generic;
extern vm_fold_table vm_fold_table_generic;
extern const struct vm_links vm_links_generic;
#if TSR_ISA_LEVELS > 1
extern vm_elem_table vm_elem_table_avx2, vm_elem_table_avx512;
extern vm_cast_table vm_cast_table_avx2, vm_cast_table_avx512;
extern vm_fold_table vm_fold_table_avx2, vm_fold_table_avx512;
extern const struct vm_links vm_links_avx2, vm_links_avx512;
#endif

#endif
