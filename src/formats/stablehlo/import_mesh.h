/* import_mesh.h: what the importers of communication share: the grid, tokens, and what must stay alive. */
#ifndef FORMATS_STABLEHLO_IMPORT_MESH_H
#define FORMATS_STABLEHLO_IMPORT_MESH_H

#include "formats/stablehlo/import.h"

/* The grid that the program is for: the options', else what the module's attributes say (mhlo.num_replicas,
 * mhlo.num_partitions); 0: not known. */
int imp_replicas(const struct imp *p);
int imp_partitions(const struct imp *p);

/* An attribute dense<[[...], ...]> : tensor<RxCxi64> as integers in the import's arena; absent: NULL, no rows. False:
 * error recorded. */
bool imp_pairs(struct imp *p, const struct hlo_op *op, const char *name, int *rows, int *columns, const int64_t **out);
/* The number in channel_handle; 0 where it is absent. */
int64_t imp_channel_of(const struct hlo_op *op);

/* Groups said by the axes of a mesh, written out: n, size and id of g. */
bool imp_mesh_axes(struct imp *p, const struct hlo_op *op, const struct hlo_attr *a, tsr_groups *g);

/* A token as a node: the beginning of effects where nothing has happened yet. */
tsr_node *imp_token_node(struct imp *p, const struct imp_value *v);
/* Sets result i, a token. */
bool imp_set_token(struct imp *p, const struct hlo_op *op, int i, tsr_node *token);
/* A collective's result, which other participants wait for even when nobody here uses it. */
bool imp_spoken(struct imp *p, tsr_node *n);

/* Regions: effects inside one must lead to its results. mark: p->effects.n before it was built; out[]: its n results as
 * nodes; token: the place of a token among them, -1: it has none. */
bool imp_keep_effects(struct imp *p, const struct hlo_op *op, size_t mark, tsr_node **out, int token);

#endif
