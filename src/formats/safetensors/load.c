/* load.c: open safetensors files and their tensors as values.
 *
 * The file is mapped and counted: every node that shares its bytes holds the file, so closing only drops the caller's
 * hold. A mapping of a file that somebody else truncates later raises SIGBUS, as any mapped file does; our own writer
 * never truncates, it renames. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"
#include "formats/safetensors/header.h"

struct tsr_safetensors {
    uint32_t refs; /* atomic: buffers may be dropped by other threads */
    tsr_ctx *c;
    char *name;
    struct file_map map; /* p NULL: memory of the caller's */
    struct st_header h;
};

static void drop(void *user) {
    tsr_safetensors *f = user;
    if (__atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL)) return;
    st_header_release(f->c, &f->h);
    file_unmap(&f->map);
    mem_strfree(f->c, f->name);
    mem_del(f->c, f);
}

void tsr_safetensors_close(tsr_safetensors *f) {
    if (f) drop(f);
}

static uint64_t little64(const uint8_t *p) {
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--) v = v << 8 | p[i];
    return v;
}

static tsr_status parse(tsr_safetensors *f, const uint8_t *p, size_t n) {
    if (n < 8) return err_set(f->c, TSR_EFORMAT, "%s: %zu bytes are no safetensors file", f->name, n);
    uint64_t head = little64(p);
    if (head > HEADER_MAX || head > n - 8)
        return err_set(f->c, TSR_EFORMAT,
            "%s: no safetensors file, or cut short: its first 8 bytes promise a header of "
            "%llu bytes, the file has %zu", f->name, (unsigned long long)head, n);
    const uint8_t *data = p + 8 + head;
    tsr_status s = st_header_parse(f->c, &f->h, f->name, p + 8, (size_t)head, n - 8 - head);
    for (size_t i = 0; !s && i < f->h.tensor.n; i++) f->h.tensor.v[i].t.data = data + f->h.tensor.v[i].begin;
    return s;
}

static tsr_safetensors *file_new(tsr_ctx *c, const char *name) {
    tsr_safetensors *f = mem_new(c, tsr_safetensors);
    if (!f) return NULL;
    *f = (tsr_safetensors){.refs = 1, .c = c, .name = mem_strdup(c, name)};
    if (f->name) return f;
    mem_del(c, f);
    return NULL;
}

tsr_safetensors *tsr_safetensors_open(tsr_ctx *c, const char *path) {
    tsr_safetensors *f = file_new(c, path);
    if (f && !file_map(c, path, &f->map) && !parse(f, f->map.p, f->map.n)) return f;
    tsr_safetensors_close(f);
    return NULL;
}

tsr_safetensors *tsr_safetensors_parse(tsr_ctx *c, const void *p, size_t n, const char *name) {
    tsr_safetensors *f = file_new(c, name);
    if (f && !parse(f, p, n)) return f;
    tsr_safetensors_close(f);
    return NULL;
}

/* ---- looking ---------------------------------------------------------------------------------------------------- */

int64_t tsr_safetensors_count(const tsr_safetensors *f) { return (int64_t)f->h.tensor.n; }

const tsr_safetensor *tsr_safetensors_at(const tsr_safetensors *f, int64_t i) {
    return i >= 0 && i < (int64_t)f->h.tensor.n ? &f->h.tensor.v[i].t : NULL;
}

static int find_name(const void *key, const void *e) { return strcmp(key, ((const struct st_entry *)e)->t.name); }
static int find_key(const void *key, const void *m) { return strcmp(key, ((const tsr_metadata *)m)->key); }

const tsr_safetensor *tsr_safetensors_find(const tsr_safetensors *f, const char *name) {
    const struct st_entry *e =
        f->h.tensor.n ? bsearch(name, f->h.tensor.v, f->h.tensor.n, sizeof *f->h.tensor.v, find_name) : NULL;
    return e ? &e->t : NULL;
}

const char *tsr_safetensors_metadata(const tsr_safetensors *f, const char *key) {
    const tsr_metadata *m = f->h.meta.n ? bsearch(key, f->h.meta.v, f->h.meta.n, sizeof *f->h.meta.v, find_key) : NULL;
    return m ? m->value : NULL;
}

const tsr_metadata *tsr_safetensors_metadata_at(const tsr_safetensors *f, int64_t i) {
    return i >= 0 && i < (int64_t)f->h.meta.n ? &f->h.meta.v[i] : NULL;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

static bool truth_values(const tsr_safetensor *t) {
    const uint8_t *p = t->data;
    for (size_t i = 0; i < t->bytes; i++) {
        if (p[i] > 1) return false;
    }
    return true;
}

/* A node over the mapped bytes themselves. */
static tsr_node *share(tsr_ctx *c, tsr_safetensors *f, const tsr_safetensor *t, const tsr_type *type) {
    __atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
    tsr_buf *b = tsr_buf_borrow(c, t->data, t->bytes, drop, f);
    if (!b) return drop(f), tsr_poison(c);
    tsr_node *n = tsr_wrap(c, type, b);
    tsr_buf_free(b);
    return n;
}

tsr_node *tsr_safetensors_node(tsr_ctx *c, tsr_safetensors *f, const char *name) {
    const tsr_safetensor *t = tsr_safetensors_find(f, name);
    if (!t) return err_set(c, TSR_ENOTFOUND, "%s: no tensor is called \"%s\"", f->name, name), tsr_poison(c);
    if (t->dtype == TSR_BOOL && !truth_values(t)) {
        err_set(c, TSR_EFORMAT, "%s: tensor \"%s\" is BOOL and has bytes other than 0 and 1", f->name, name);
        return tsr_poison(c);
    }
    const tsr_type *type = tsr_type_dims(c, t->dtype, t->rank, t->dim);
    if (!type) return tsr_poison(c);
    size_t align = (size_t)tsr_dtype_of(t->dtype)->bytes;
    bool aligned = (uintptr_t)t->data % align == 0;
    return f->map.p && aligned && t->bytes ? share(c, f, t, type) : tsr_from(c, type, t->data);
}
