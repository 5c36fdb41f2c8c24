/* devices.h: every device there is. */
#ifndef DEVICE_DEVICES_H
#define DEVICE_DEVICES_H

#include "device/device.h"

extern const struct device_ops device_cpu, device_cuda, device_hip, device_opencl, device_null;

#endif
