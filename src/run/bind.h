/* bind.h: arguments give symbols their values: what running a fn and running an engine share. */
#ifndef RUN_BIND_H
#define RUN_BIND_H

#include "graph/node.h"

/* What a run takes: of a fn, or of an engine. */
struct run_signature {
    const char *name;
    int nparam, nsize;
    const tsr_type *const *param;  /* (nparam) */
    const struct fn_size *size;   /* (nsize) */
};
int run_most_symbols(const struct run_signature *s); /* that a binding may have */
/* arg (nparam) are evaluated. b has room for run_most_symbols; *n of them are set. EINVAL names the argument. */
tsr_status run_bind(tsr_ctx *c, const struct run_signature *s, tsr_node *const *arg, tsr_binding *b, int *n);

#endif
