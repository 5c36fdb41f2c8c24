/* host_tile.h: tile programs that a device's renderer does not claim, on the CPU. */
#ifndef DEVICE_HOST_TILE_H
#define DEVICE_HOST_TILE_H

#include "device/device.h"
#include "tile/vm.h"

/* Runs code of vm_compile on buffers of d, a device without host memory. code, grid, arg: of one program, as for
 * device_ops.launch. */
tsr_status host_tile_run(struct device *d, const struct vm_code *code, const tsr_tile *program, const int64_t grid[3],
    int n, const struct launch_arg *arg);

#endif
