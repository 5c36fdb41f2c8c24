/* state.h: variables as tensors of a safetensors file. */
#ifndef NN_STATE_H
#define NN_STATE_H

#include "base/mem.h"
#include "tessera/safetensors.h"

/* The value of a variable under a name. Host memory is lent and valid until the variable changes; a device's is copied
 * into the arena. */
tsr_status state_tensor(tsr_ctx *c, struct arena *a, tsr_var *v, const char *name, tsr_safetensor *out);

#endif
