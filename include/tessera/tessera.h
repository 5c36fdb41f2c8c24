/* tessera.h: all public headers.
 *
 *     base.h       context, errors, memory          run.h          evaluate, run, read, measure
 *     dtype.h      element types                    transform.h    gradients, forward mode, vmap, checkpoint
 *     scalar.h     the elementwise functions        ops.h          the builders people use
 *     graph.h      nodes, fns, variables            prim.h         the primitives, exact
 *     tile.h       tile programs                    random.h       keys and distributions as jax.random has them
 *     nn.h         modules                          models.h       the model zoo
 *     optim.h      optimisers and schedules         data.h         data sets
 *     train.h      the Trainer                      safetensors.h  files of tensors
 *     stablehlo.h  StableHLO in and out            engine.h       compiled ahead of time */
#ifndef TESSERA_TESSERA_H
#define TESSERA_TESSERA_H

#include "tessera/base.h"
#include "tessera/data.h"
#include "tessera/dtype.h"
#include "tessera/engine.h"
#include "tessera/graph.h"
#include "tessera/mesh.h"
#include "tessera/models.h"
#include "tessera/nn.h"
#include "tessera/ops.h"
#include "tessera/optim.h"
#include "tessera/prim.h"
#include "tessera/random.h"
#include "tessera/run.h"
#include "tessera/safetensors.h"
#include "tessera/scalar.h"
#include "tessera/stablehlo.h"
#include "tessera/tile.h"
#include "tessera/train.h"
#include "tessera/transform.h"

#endif
