/* import_mesh_axes.c: replica groups said by the axes of a mesh of devices, written out as lists of ids.
 *
 *     #stablehlo.replica_group_mesh_axes<
 *         mesh = #stablehlo.mesh<axes = [<name = "x", size = 2>, <name = "y", size = 4>]>,
 *         axes = [#stablehlo.axis_ref<name = "y", sub_axis_info = (1)2>]>
 *
 * Devices are numbered in row-major order of the mesh's coordinates, or by device_ids. A group is the devices that
 * differ only along the named axes, the first named one slowest; groups follow one another in the order of the other
 * coordinates. A sub-axis (pre)size is the digit of that size after `pre` in the axis's coordinate.
 * Source: openxla.org/stablehlo/spec, "StableHLO Mesh". */
#include <string.h>

#include "formats/stablehlo/import_mesh.h"

enum { AXES_MOST = 16, DEVICES_MOST = 1 << 16 };

/* A digit of a device's number: number / stride % size. */
struct digit { int64_t stride, size; };
struct named { const char *name; struct digit d; };

static int64_t int_field(const struct hlo_attr *a, const char *name, int64_t fallback) {
    const struct hlo_attr *f = a ? hlo_field(a, name) : NULL;
    return f && f->kind == HLO_A_INT ? f->i : fallback;
}

static const char *text_field(const struct hlo_attr *a, const char *name) {
    const struct hlo_attr *f = hlo_field(a, name);
    return f && f->s ? f->s : "";
}

/* The mesh's axes with their strides; the number of its devices, 0 with an error recorded. */
static int64_t mesh_axes(struct imp *p, const struct hlo_op *op, const struct hlo_attr *mesh, struct named *axis,
    int *n) {
    const struct hlo_attr *list = mesh && mesh->kind == HLO_A_STRUCT ? hlo_field(mesh, "axes") : NULL;
    int64_t devices = 1;
    if (!list || list->kind != HLO_A_LIST || list->n > AXES_MOST)
        return imp_fail(p, op, "the mesh of its replica_groups must be written out (#stablehlo.mesh<axes = ...>), with "
            "at most %d axes", AXES_MOST);
    *n = list->n;
    for (int i = list->n; i-- > 0;) {
        int64_t size = int_field(list->item[i], "size", 0);
        axis[i] = (struct named){text_field(list->item[i], "name"), {devices, size}};
        if (size < 1 || (devices *= size) > DEVICES_MOST)
            return imp_fail(p, op, "axis \"%s\" of its mesh has size %lld; at most %d devices are possible",
                axis[i].name, (long long)size, DEVICES_MOST);
    }
    return devices;
}

/* The digits that a list of axis references names. */
static bool named_digits(struct imp *p, const struct hlo_op *op, const struct hlo_attr *refs, const struct named *axis,
    int n, struct digit *out, int *count) {
    *count = refs && refs->kind == HLO_A_LIST ? refs->n : 0;
    if (*count > AXES_MOST) return imp_fail(p, op, "its replica_groups name %d axes", *count);
    for (int i = 0; i < *count; i++) {
        const char *name = text_field(refs->item[i], "name");
        const struct hlo_attr *sub = hlo_field(refs->item[i], "sub_axis_info");
        int a = 0;
        while (a < n && strcmp(axis[a].name, name)) a++;
        if (a == n) return imp_fail(p, op, "its mesh has no axis \"%s\"", name);
        int64_t pre = int_field(sub, "pre_size", 1), size = int_field(sub, "size", axis[a].d.size);
        if (pre < 1 || size < 1 || axis[a].d.size % pre || axis[a].d.size / pre % size)
            return imp_fail(p, op, "axis \"%s\" of size %lld has no part (%lld)%lld", name, (long long)axis[a].d.size,
                (long long)pre, (long long)size);
        out[i] = (struct digit){axis[a].d.stride * (axis[a].d.size / pre / size), size};
    }
    return true;
}

/* Where a device stands in its group, and the least device that differs from it only along the digits. */
static int64_t place_of(const struct digit *d, int n, int64_t device, int64_t *first) {
    int64_t place = 0;
    *first = device;
    for (int i = 0; i < n; i++) {
        int64_t v = device / d[i].stride % d[i].size;
        place = place * d[i].size + v;
        *first -= v * d[i].stride;
    }
    return place;
}

bool imp_mesh_axes(struct imp *p, const struct hlo_op *op, const struct hlo_attr *a, tsr_groups *g) {
    struct named axis[AXES_MOST];
    struct digit d[AXES_MOST];
    const struct hlo_attr *mesh = hlo_field(a, "mesh"), *ids;
    int n = 0, count;
    int64_t devices = mesh_axes(p, op, mesh, axis, &n), size = 1, *number = NULL, first;
    if (!devices || !named_digits(p, op, hlo_field(a, "axes"), axis, n, d, &count)) return false;
    for (int i = 0; i < count; i++) size *= d[i].size;
    if (size > devices || devices % size) return imp_fail(p, op, "its replica_groups name an axis twice");
    if ((ids = hlo_field(mesh, "device_ids"))) {
        number = arena_array(&p->arena, (size_t)devices, sizeof *number);
        if (!number) return false;
        if (ids->kind != HLO_A_ELEMENTS || hlo_type_count(ids->type) != devices)
            return imp_fail(p, op, "device_ids of its mesh do not number %lld devices", (long long)devices);
        if (!hlo_elements_ints(p->c, ids, number)) return false;
    }
    int64_t *id = arena_array(&p->arena, (size_t)devices, sizeof *id);
    int64_t *group = arena_array(&p->arena, (size_t)devices, sizeof *group), made = 0;
    if (!id || !group) return false;
    for (int64_t i = 0; i < devices; i++) {
        int64_t place = place_of(d, count, i, &first);
        if (first == i) group[i] = made++;
        id[group[first] * size + place] = number ? number[i] : i;
    }
    g->n = (int)(devices / size), g->size = (int)size, g->id = id;
    return true;
}
