/* dump.h: the plan of a known graph and the text of its kernels, as files: what `make replay` compares. */
#ifndef CLI_DUMP_H
#define CLI_DUMP_H

#include "models/graphs.h"

/* Writes DIR/NAME.plan, .tile, .c, .cl and .cu; the folder is made. Gives an exit code. */
int dump_graph(const struct model_graph *g, const char *dir);

#endif
