/* memory.h: memory of a device that the host does not see, kept for the next of its size. */
#ifndef DEVICE_MEMORY_H
#define DEVICE_MEMORY_H

#include "device/device.h"

/* At least so many bytes, from what is kept or from the device. NULL: ENOMEM recorded. On a device with host memory
 * these are its alloc and free. */
void *device_alloc(struct device *d, size_t bytes);
/* bytes: as asked for. Any thread may call it; kernels that were launched before may still use the memory. */
void device_free(struct device *d, void *p, size_t bytes);
/* Gives back what is kept. A device whose memory is short does this itself, and asks again. */
void device_memory_empty(struct device *d);
void device_memory_close(struct device *d); /* the same, and forgets the room for it: before the device closes */

#endif
