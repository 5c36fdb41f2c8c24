/* attr.h: sets of attributes, as nodes and composites keep them: sorted by key, in one block with their arrays. */
#ifndef GRAPH_ATTR_H
#define GRAPH_ATTR_H

#include "graph/node.h"

size_t attrs_bytes(int n, const struct attr *a);                       /* room that attrs_copy needs */
struct attr *attrs_copy(void *at, int n, const struct attr *a);        /* sorted deep copy at a 16-byte aligned place */
void attrs_drop(int n, struct attr *a);                                /* before the block is freed */
uint64_t attrs_hash(uint64_t h, int n, const struct attr *a);          /* of sorted attributes */
bool attrs_equal(int n, const struct attr *a, const struct attr *b);   /* of sorted attributes, both (n) */
void attrs_print(struct str *s, int n, const struct attr *a);          /* axis=1, perm=[1,0] */
const struct attr *attrs_find(int n, const struct attr *a, enum attr_key k); /* any order; NULL when absent */

#endif
