/* aot.c: a fn's plan becomes a C file with its header, or a shared object (aot.h).
 *
 * A shared object is the same text for the system's compiler, with symbols kept and its constants beside it in a blob
 * that the assembler takes in as it is: a compiler would need minutes for them as text. */
#include "run/aot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "device/cpu/jit_cache.h"
#include "run/runner.h"

enum { INLINE_MOST = 64 << 20 }; /* bytes of constants that may stand in a C file as text */

struct job {
    tsr_ctx *c;
    const struct aot_opts *o;
    int n;
    const struct aot_entry *entry;
    struct arena mem;
    tsr_plan **plan;               /* (n) counted */
    struct module_entry *module;   /* (n) */
    tsr_binding *b;
};

static bool prepare_entry(struct job *k, int i) {
    const tsr_fn *f = k->entry[i].fn;
    struct compile_opts o = {.fuse = env_int("TSR_FUSE") != 0, .check = (int)env_int("TSR_CHECK")};
    struct module_entry *e = &k->module[i];
    const char **name = arena_array(&k->mem, f->param.n + 1, sizeof *name);
    const tsr_type **result = arena_array(&k->mem, (size_t)f->nresult + 1, sizeof *result);
    if (!name || !result || !(k->plan[i] = compile_fn(k->c, f, &o))) return false;
    for (size_t j = 0; j < f->param.n; j++) {
        const struct attr *a = node_attr(f->param.v[j].node, ATTR_NAME);
        name[j] = a ? a->str : "";
    }
    for (int j = 0; j < f->nresult; j++) result[j] = f->result.v[j]->type;
    *e = (struct module_entry){.name = k->entry[i].name, .about = k->entry[i].about, .plan = k->plan[i],
        .nparam = (int)f->param.n, .nresult = f->nresult, .param_name = name, .result = result,
        .nsize = (int)f->size.n, .size = f->size.v};
    return true;
}

/* The symbols of the entries by name. */
static bool bind_sizes(struct job *k) {
    if (!(k->b = arena_array(&k->mem, (size_t)k->o->nsize + 1, sizeof *k->b))) return false;
    for (int i = 0; i < k->o->nsize; i++) {
        const tsr_extent *found = NULL;
        for (int e = 0; e < k->n; e++)
            for (size_t j = 0; j < k->plan[e]->symbol.n; j++)
                if (!strcmp(k->plan[e]->symbol.v[j]->name, k->o->size[i].name)) found = k->plan[e]->symbol.v[j];
        if (!found) return err_set(k->c, TSR_EINVAL, "--size %s: %s has no size of that name", k->o->size[i].name,
            k->o->source), false;
        k->b[i] = (tsr_binding){found, k->o->size[i].value};
    }
    return true;
}

static bool open_job(struct job *k) {
    arena_init(&k->mem, k->c);
    k->plan = arena_array(&k->mem, (size_t)k->n + 1, sizeof *k->plan);
    k->module = arena_array(&k->mem, (size_t)k->n + 1, sizeof *k->module);
    bool ok = k->plan && k->module;
    for (int i = 0; ok && i < k->n; i++) ok = prepare_entry(k, i);
    return ok && bind_sizes(k);
}

static void close_job(struct job *k) {
    for (int i = 0; k->plan && i < k->n; i++) plan_free(k->plan[i]);
    arena_release(&k->mem);
}

static tsr_status write_whole(tsr_ctx *c, const char *path, const struct str *s) {
    struct file_out o = {0};
    tsr_status st = file_out_open(c, path, &o);
    if (!st) st = file_out_write(&o, s->s, s->n);
    if (!st) return file_out_commit(&o);
    file_out_abort(&o);
    return st;
}

/* x.c, x.so -> x.h */
static char *header_path(struct job *k) {
    const char *dot = strrchr(k->o->path, '.');
    return arena_printf(&k->mem, "%.*s.h", (int)(dot ? dot - k->o->path : (long)strlen(k->o->path)), k->o->path);
}

static void fill_info(const struct module_text *t, struct aot_info *info) {
    *info = (struct aot_info){t->kernels, t->library_calls, t->c.n, t->constant_bytes, t->arena_bytes, t->flops,
        t->bytes_moved};
}

static size_t constant_bytes(const tsr_plan *p) {
    size_t n = 0;
    for (size_t i = 0; i < p->constant.n; i++) n += tsr_buf_bytes(p->constant.v[i].buf);
    return n;
}

tsr_status aot_c(tsr_ctx *c, const struct aot_opts *o, int n, const struct aot_entry *entry, struct aot_info *info) {
    struct job k = {.c = c, .o = o, .n = n, .entry = entry};
    struct module_text t;
    module_text_init(&t, c);
    tsr_status s = open_job(&k) ? TSR_OK : tsr_error_status(c);
    if (!s && !o->blob && constant_bytes(k.plan[0]) > INLINE_MOST)
        s = err_set(c, TSR_EINVAL, "%s: %zu bytes of constants are too many for text; put them in a file with "
            "--blob FILE",
            o->path, constant_bytes(k.plan[0]));
    struct module_opts m = {.name = o->name, .source = o->source, .n = o->nsize, .b = k.b, .blob_path = o->blob,
        .constants = o->blob ? MODULE_BLOB : MODULE_INLINE, .ninitial = o->ninitial, .initial = o->initial};
    if (!s) s = module_write(c, n, k.module, &m, &t);
    const char *h = s ? NULL : header_path(&k);
    if (!s && !h) s = TSR_ENOMEM;
    if (!s && o->blob) s = write_whole(c, o->blob, &t.blob);
    if (!s) s = write_whole(c, h, &t.h);
    if (!s) s = write_whole(c, o->path, &t.c);
    if (!s) fill_info(&t, info);
    module_text_release(&t);
    close_job(&k);
    return s;
}

/* ---- shared objects ---- */

struct build {
    char dir[64], from[96], blob[96], to[96], log[96];
};

static bool build_open(struct build *b) {
    snprintf(b->dir, sizeof b->dir, "/tmp/tessera-XXXXXX");
    if (!mkdtemp(b->dir)) return b->dir[0] = 0, false;
    snprintf(b->from, sizeof b->from, "%s/m.c", b->dir);
    snprintf(b->blob, sizeof b->blob, "%s/m.bin", b->dir);
    snprintf(b->to, sizeof b->to, "%s/m.so", b->dir);
    snprintf(b->log, sizeof b->log, "%s/log", b->dir);
    return true;
}

static void build_close(struct build *b) {
    if (b->dir[0]) unlink(b->from), unlink(b->blob), unlink(b->to), unlink(b->log), rmdir(b->dir);
}

static tsr_status compiler_failed(tsr_ctx *c, const struct jit_tool *tool, const char *log) {
    struct file_map m;
    if (file_map(c, log, &m)) return tsr_error_status(c);
    err_set(c, TSR_EIO, "the C compiler (%s) failed: %.*s", tool->compiler, m.n < 1000 ? (int)m.n : 1000,
        (const char *)m.p);
    file_unmap(&m);
    return TSR_EIO;
}

static tsr_status copy_object(tsr_ctx *c, const char *from, const char *to) {
    struct file_map m;
    tsr_status s = file_map(c, from, &m);
    if (s) return s;
    struct file_out o = {0};
    s = file_out_open(c, to, &o);
    if (!s) s = file_out_write(&o, m.p, m.n);
    if (!s) s = file_out_commit(&o);
    else file_out_abort(&o);
    file_unmap(&m);
    return s;
}

static tsr_status build_object(struct job *k, struct build *b, struct module_text *t) {
    tsr_ctx *c = k->c;
    struct jit_tool tool;
    struct module_opts m = {.name = k->o->name, .source = k->o->source, .gnu = true, .symbolic = true,
        .constants = MODULE_LINKED, .blob_path = b->blob};
    const char *h = header_path(k);
    if (!jit_tool_find(&tool))
        return err_set(c, TSR_ENOTFOUND, "no C compiler for %s: install gcc or clang, or name one with TSR_CC",
            k->o->path);
    tsr_status s = h ? module_write(c, k->n, k->module, &m, t) : TSR_ENOMEM;
    if (!s) s = write_whole(c, b->from, &t->c);
    if (!s) s = write_whole(c, b->blob, &t->blob);
    if (!s && !jit_tool_make(&tool, b->from, b->to, b->log)) s = compiler_failed(c, &tool, b->log);
    if (!s) s = write_whole(c, h, &t->h);
    return s ? s : copy_object(c, b->to, k->o->path);
}

tsr_status aot_so(tsr_ctx *c, const struct aot_opts *o, int n, const struct aot_entry *entry, struct aot_info *info) {
    struct job k = {.c = c, .o = o, .n = n, .entry = entry};
    struct module_text t;
    struct build b = {.dir = ""};
    module_text_init(&t, c);
    tsr_status s = open_job(&k) ? TSR_OK : tsr_error_status(c);
    if (!s && !build_open(&b)) s = err_set(c, TSR_EIO, "/tmp: no folder can be made there for the compiler's files");
    if (!s) s = build_object(&k, &b, &t);
    if (!s) fill_info(&t, info);
    build_close(&b);
    module_text_release(&t);
    close_job(&k);
    return s;
}
