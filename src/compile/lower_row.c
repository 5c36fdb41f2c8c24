/* lower_row.c: reductions along inner axes, with what is around them. */
#include "compile/lower.h"

bool lower_row(struct lower *L, int cluster) { return lower_loop(L, cluster); }
