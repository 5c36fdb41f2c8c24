/* import_narrow.c: element types that live in a carrier: their values are put back on the type's grid. */
#include "formats/stablehlo/import.h"

tsr_node *imp_on_grid(struct imp *p, const struct hlo_type *t, tsr_node *n) {
    const struct hlo_elem_info *e = hlo_elem_of(t->elem);
    if (e->exact || t->quant) return n;
    return err_set(p->c, TSR_EUNSUPPORTED, "the element type %s is not supported", e->text), tsr_poison(p->c);
}
