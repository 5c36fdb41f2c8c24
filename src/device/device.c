/* device.c: the list of devices, and the one a context uses.
 *
 * A name is a folder's name, with an optional index: "cpu", "null", "cuda:1". The device opens at first use and closes
 * with the context, after every value that may live in its memory. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/devices.h"
#include "device/memory.h"

static const struct device_ops *const devices[] = {&device_cpu, &device_cuda, &device_hip, &device_null};
enum { DEVICES = sizeof devices / sizeof *devices };

const struct device_ops *device_kind(int i) { return i >= 0 && i < DEVICES ? devices[i] : NULL; }

static void slot_close(tsr_ctx *c, void *state) {
    struct device *d = state;
    (void)c;
    device_memory_close(d);
    d->ops->close(d);
}

static const struct device_ops *find(const char *name, int *index) {
    size_t n = strcspn(name, ":");
    *index = name[n] ? atoi(name + n + 1) : 0;
    for (int i = 0; i < DEVICES; i++)
        if (strlen(devices[i]->name) == n && memcmp(devices[i]->name, name, n) == 0) return devices[i];
    return NULL;
}

struct device *device_of(tsr_ctx *c) {
    struct device *d = ctx_slot(c, SLOT_DEVICE);
    if (d) return d;
    int index;
    const struct device_ops *ops = find(ctx_device_name(c), &index);
    if (!ops) {
        err_set(c, TSR_ENOTFOUND, "device '%s' is not known: set TSR_DEVICE (or tsr_config.device) to cpu, cuda, hip "
            "or null", ctx_device_name(c));
        return NULL;
    }
    if (ops->open(c, index, &d)) return NULL;
    ctx_slot_set(c, SLOT_DEVICE, d, slot_close);
    return d;
}
