/* device.c: the list of devices, and the one a context uses.
 *
 * A name is a folder's name, with an optional index: "cpu", "null", "cuda:1". The device opens at first use and closes
 * with the context, after every value that may live in its memory. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/devices.h"
#include "device/memory.h"

static const struct device_ops *const devices[] = {&device_cpu, &device_cuda, &device_hip, &device_opencl,
    &device_null};
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
    char *end = NULL;
    long k = name[n] ? strtol(name + n + 1, &end, 10) : 0;
    bool number = !name[n] || (name[n + 1] >= '0' && name[n + 1] <= '9' && !*end && k <= INT_MAX);
    *index = (int)k;
    for (int i = 0; number && i < DEVICES; i++)
        if (strlen(devices[i]->name) == n && memcmp(devices[i]->name, name, n) == 0) return devices[i];
    return NULL;
}

static tsr_status unknown(tsr_ctx *c) {
    char known[128] = "";
    for (int i = 0; i < DEVICES; i++) {
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", devices[i]->name);
    }
    return err_set(c, TSR_ENOTFOUND, "device '%s' is not known: set TSR_DEVICE (or tsr_config.device) to one of %s, "
        "with :1 behind it for the second of its kind", ctx_device_name(c), known);
}

struct device *device_of(tsr_ctx *c) {
    struct device *d = ctx_slot(c, SLOT_DEVICE);
    if (d) return d;
    int index;
    const struct device_ops *ops = find(ctx_device_name(c), &index);
    if (!ops) return unknown(c), NULL;
    if (ops->open(c, index, &d)) return NULL;
    ctx_slot_set(c, SLOT_DEVICE, d, slot_close);
    return d;
}
