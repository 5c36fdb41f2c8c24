/* structs.h: the enums and structures that are attributes of the stablehlo and chlo dialects (structs.def), and their
 * making in canonical form, for both readers. */
#ifndef FORMATS_STABLEHLO_STRUCTS_H
#define FORMATS_STABLEHLO_STRUCTS_H

#include "formats/stablehlo/ir.h"

enum { HLO_STRUCT_FIELDS = 9 }; /* at most */

struct hlo_struct_info {
    const char *name;
    const char *fields; /* of an enum: its values */
    bool is_enum;
};
const struct hlo_struct_info *hlo_struct_find(const char *name, size_t n); /* NULL: none */
/* Field i of a structure; false: there is none. Name and kind are slices of info->fields. */
struct hlo_struct_field { const char *name, *kind; size_t nname, nkind; };
bool hlo_struct_field(const struct hlo_struct_info *info, int i, struct hlo_struct_field *out);
bool hlo_enum_has(const struct hlo_struct_info *info, const char *value, size_t n);
/* The structure of these values (one for each field of structs.def, NULL where not written). NULL: ENOMEM. */
const struct hlo_attr *hlo_struct_make(struct hlo_module *m, const struct hlo_struct_info *info,
    const struct hlo_attr *const *value);

#endif
