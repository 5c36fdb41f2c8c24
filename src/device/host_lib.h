/* host_lib.h: library kernels for devices whose memory the host does not see, on the CPU. */
#ifndef DEVICE_HOST_LIB_H
#define DEVICE_HOST_LIB_H

#include "device/device.h"

/* As lib_has and lib_run of device.h: a device without kernels of its own for these puts them in its table. */
bool host_lib_has(struct device *d, const char *name);
tsr_status host_lib_run(struct device *d, const char *name, const struct lib_call *call);

#endif
