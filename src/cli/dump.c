/* dump.c: a graph's plan and the text of its kernels in every language, as files (dump.h).
 *
 * Nothing is run (device null). The targets are fixed ones, not those of this machine, so that two builds can be
 * compared anywhere; the library in front of the kernels is left out, its own tests hold it. */
#include "cli/dump.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/sys.h"
#include "cli/cli.h"
#include "compile/plan.h"
#include "emit/gpu.h"
#include "tessera/run.h"

static const struct emit_gpu_target opencl = {.lang = EMIT_OPENCL, .threads = 256, .local_bytes = 32 << 10,
    .f64 = true};
static const struct emit_gpu_target cuda = {.lang = EMIT_CUDA, .arch = 80, .subgroup = 32, .threads = 1024,
    .local_bytes = 48 << 10, .f64 = true, .tensor = true};

struct dump {
    tsr_ctx *c;
    struct str tile, text_c, text_cl, text_cu;
    int n;
};

static void put_gpu(struct dump *d, struct str *out, const struct emit_gpu_target *t, const tsr_tile *p,
    const char *symbol) {
    struct emit_gpu_info info;
    const char *why = NULL;
    if (!emit_gpu_kernel(out, d->c, p, t, symbol, &info, &why) && why) str_printf(out, "/* not claimed: %s */\n", why);
}

static void put_program(void *user, const tsr_tile *p, const char *label) {
    struct dump *d = user;
    struct emit_plan plan;
    char symbol[32], *text = tsr_tile_print(p);
    snprintf(symbol, sizeof symbol, "k%d", d->n++);
    str_printf(&d->tile, "// %s: %s\n%s\n", symbol, label, text ? text : "");
    tsr_text_free(d->c, text);
    if (emit_plan_init(&plan, d->c, p, EMIT_FOR_HOST)) {
        emit_c_kernel(&d->text_c, &plan, symbol);
        emit_plan_release(&plan);
    }
    put_gpu(d, &d->text_cl, &opencl, p, symbol);
    put_gpu(d, &d->text_cu, &cuda, p, symbol);
}

static bool write_file(tsr_ctx *c, const char *dir, const char *name, const char *suffix, const char *text) {
    struct file_out o;
    struct str path;
    str_init(&path, c);
    str_printf(&path, "%s/%s.%s", dir, name, suffix);
    bool ok = !path.failed && !file_out_open(c, path.s, &o);
    if (ok && file_out_write(&o, text, strlen(text))) file_out_abort(&o), ok = false;
    ok = ok && !file_out_commit(&o);
    str_release(&path);
    return ok;
}

static bool dump_fn(tsr_ctx *c, tsr_fn *f, const char *name, const char *dir) {
    struct compile_opts o = {.fuse = env_int("TSR_FUSE") != 0};
    struct dump d = {.c = c};
    struct str *const part[] = {&d.tile, &d.text_c, &d.text_cl, &d.text_cu};
    static const char *const suffix[] = {"tile", "c", "cl", "cu"};
    for (int i = 0; i < 4; i++) str_init(part[i], c);
    tsr_plan *p = compile_fn(c, f, &o);
    char *plan = p ? tsr_plan_text(c, f) : NULL;
    if (p) plan_programs(p, put_program, &d);
    bool ok = plan && !tsr_error_status(c) && write_file(c, dir, name, "plan", plan);
    for (int i = 0; i < 4; i++) {
        ok = ok && !part[i]->failed && write_file(c, dir, name, suffix[i], part[i]->s);
        str_release(part[i]);
    }
    tsr_text_free(c, plan);
    if (p) plan_free(p);
    return ok;
}

int dump_graph(const struct model_graph *g, const char *dir) {
    tsr_ctx *c = cli_open("null");
    if (!c) return CLI_FAILED;
    if (mkdir(dir, 0777) && errno != EEXIST) err_set(c, TSR_EIO, "%s: the folder cannot be made", dir);
    tsr_fn *f = err_any(c) ? NULL : model_graph_build(c, g, NULL, NULL);
    bool ok = f && dump_fn(c, f, g->name, dir);
    tsr_fn_free(c, f);
    if (!ok) return cli_fail(c);
    tsr_close(c);
    return CLI_OK;
}
