/* vhlo.h: operations of VHLO, the versioned copy of StableHLO that files hold, and their StableHLO form.
 *
 * VHLO never changes an operation: it adds add_v2 beside add_v1. So a name alone says which attributes there are, and
 * an upgrade is nothing but leaving out what the newer version has with its default. vhlo.def lists the operations.
 * VHLO has no structures, no symbols and no optional attributes: vhlo_canonical puts the parts of a structure together
 * ("offset_dims", "index_vector_dim" ... become dimension_numbers), turns names into symbols and drops what stands for
 * an absent attribute. Attributes that equal their default are left to hlo_normalise, which both readers share.
 * Source: StableHLO's docs/vhlo.md and the dialect's definitions. */
#ifndef FORMATS_STABLEHLO_VHLO_H
#define FORMATS_STABLEHLO_VHLO_H

#include "formats/stablehlo/ir.h"

/* Versions this reader knows: VHLO_MIN to VHLO_MAX, any patch number. */
enum { VHLO_MIN_MAJOR = 0, VHLO_MIN_MINOR = 9, VHLO_MAX_MAJOR = 1, VHLO_MAX_MINOR = 20 };

struct vhlo_op {
    const char *name;  /* "add_v1" */
    const char *hlo;   /* "stablehlo.add" */
    const char *attrs; /* in the order of the properties' encoding, which is that of their names; spaces between */
    int since[2], until[2]; /* versions that have it */
};
const struct vhlo_op *vhlo_op_find(const char *name); /* NULL: none */

typedef VEC(struct hlo_named) vhlo_attrs;
/* The attributes of an operation named hlo as StableHLO has them, in place. False: an error at `at` is recorded. */
bool vhlo_canonical(struct hlo_module *m, struct hlo_loc at, const char *hlo, vhlo_attrs *attrs);

#endif
