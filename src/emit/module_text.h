/* module_text.h: shared by the files that write a module. */
#ifndef EMIT_MODULE_TEXT_H
#define EMIT_MODULE_TEXT_H

#include "emit/module.h"

struct module_kernel {
    const tsr_tile *program;
    size_t scratch;
    char *name;
};
struct module_constant {
    const void *p;
    size_t bytes;
    tsr_dtype dtype;
    size_t at; /* in the blob */
};
/* A plan of the module, and what its function needs. */
struct module_plan {
    const tsr_plan *p;
    char *name;                  /* of its function */
    struct plan_binding b;       /* sizes that are constants */
    int64_t need;                /* bytes of memory, bodies and scratch included: constants */
    int first_constant;          /* of its literals among constant_of */
    /* symbolic: slots that never live at once share a pool */
    int *pool;                   /* (slot.n) -1: no temporary */
    int npool;
    VEC(const tsr_type *) pool_size; /* types that a pool must hold, in order of pools: pool_of[i] */
    VEC(int) pool_of;
};
struct module {
    tsr_ctx *c;
    const struct module_opts *o;
    struct module_text *text;
    struct arena mem;
    struct str kernels, bodies;  /* functions, in order */
    VEC(struct module_kernel) kernel;
    VEC(struct module_plan) plan;
    VEC(struct module_constant) constant;
    VEC(int) constant_of;        /* literals of each plan, in order: which constant */
    VEC(const tsr_extent *) symbol;
    bool failed;                 /* recorded */
};

/* ---- sizes as text ---- */
void module_extent(struct module *m, struct str *s, const tsr_extent *e);  /* a number, or an expression of s[] */
void module_bytes(struct module *m, struct str *s, const tsr_type *t);     /* bytes of a tensor */
void module_count(struct module *m, struct str *s, const tsr_type *t);     /* its elements */
/* "const vm_i64 name[] = {..};" */
void module_dims(struct module *m, struct str *s, const char *name, const tsr_type *t);
void module_ints(struct str *s, const char *name, int n, const int64_t *v);
bool module_value(struct module *m, const tsr_extent *e, int64_t *v);      /* constants alone; false: recorded */
const char *module_dtype_text(const tsr_type *t);

/* ---- parts ---- */
struct module_plan *module_find(struct module *m, const tsr_plan *p);
/* The kernel that is the text from there on loses the scalars that no one reads (unused.c). */
void module_drop_unused(struct str *s, size_t from);
/* Text of a function for p, after those of its bodies; false: recorded. */
bool module_plan_write(struct module *m, const tsr_plan *p);
/* "t5": the variable that holds the address of a slot. */
void module_slot(struct str *s, const tsr_plan *p, int slot);
static inline const tsr_type *module_arg_type(const tsr_plan *p, const struct plan_step *st, int i) {
    return p->slot.v[st->arg[i].slot].type;
}
/* Arguments that every function of a plan takes after in and out: ", mem, k, s". */
const char *module_tail(const struct module *m);

/* Bytes that add up: a number where sizes are constants, else text. */
struct module_sum {
    int64_t n;
    struct str s; /* " + ..." */
};
void module_sum_bytes(struct module *m, struct module_sum *sum, const tsr_type *t);
void module_sum_times(struct module *m, struct module_sum *sum, const tsr_extent *e, int64_t bytes);

/* module_control.c, module_lib.c: the text of a step, inside its block; and the bytes it needs behind the plan's own
 * temporaries. */
void module_control(struct module *m, struct str *s, const struct module_plan *q, const struct plan_step *st);
void module_control_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st);
bool module_lib(struct module *m, struct str *s, const struct module_plan *q, const struct plan_step *st);
void module_lib_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st);
bool module_linalg_has(const struct plan_step *st); /* module_linalg.c */
void module_linalg(struct module *m, struct str *s, const tsr_plan *p, const struct plan_step *st);
void module_linalg_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st);
void module_step_need(struct module *m, struct module_sum *sum, const tsr_plan *p, const struct plan_step *st);

/* module_layout.c: where temporaries lie. */
bool module_layout(struct module *m, struct module_plan *q);
/* The functions of a plan's sizes: frame (places of pools) and need. Symbolic alone. */
void module_frame(struct module *m, struct str *s, struct module_plan *q);

#endif
