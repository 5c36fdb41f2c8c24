/* rtc.c: finds a GPU's compiler, asks what it knows, compiles. */
#include "device/cuda/rtc.h"

#include <dlfcn.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>

#include "base/ctx.h"
#include "base/sys.h"

/* ---- finding it ---- */

static bool fill(struct rtc *r) {
    static const struct { const char *name; bool needed; size_t at; } call[] = {
#define X(field, result, parameters, name, needed) {name, needed, offsetof(struct rtc, field)},
        RTC_CALLS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof call / sizeof *call; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s%s", r->flavor->prefix, call[i].name);
        void *p = dlsym(r->so, name);
        if (!p && call[i].needed) return false;
        memcpy((char *)r + call[i].at, &p, sizeof p);
    }
    return r->get_version(&r->major, &r->minor) == 0;
}

static void ask_archs(struct rtc *r) {
    int known[256], n = 0;
    if (!r->arch_count || !r->archs || r->arch_count(&n) || n < 0 || n > 256 || r->archs(known)) n = 0;
    for (int i = 0; i < n && r->narchs < RTC_ARCHS; i++) r->arch_known[r->narchs++] = known[i];
}

static bool try_path(struct rtc *r, const struct rtc_flavor *f, const char *path, int most) {
    *r = (struct rtc){.flavor = f, .so = dlopen(path, RTLD_NOW | RTLD_LOCAL)};
    if (!r->so) return false;
    if (fill(r) && (!most || r->major <= most)) return ask_archs(r), true;
    rtc_close(r);
    return false;
}

static bool try_folder(struct rtc *r, const struct rtc_flavor *f, const char *pattern, int most) {
    const char *const base[] = {env_str("VIRTUAL_ENV"), env_str("HOME")};
    bool found = false;
    for (int i = 0; i < 2 && !found; i++) {
        char path[600];
        glob_t g;
        if (!*base[i] || snprintf(path, sizeof path, pattern, base[i]) >= (int)sizeof path) continue;
        if (glob(path, 0, NULL, &g)) continue;
        for (size_t k = g.gl_pathc; k-- > 0 && !found;) found = try_path(r, f, g.gl_pathv[k], most);
        globfree(&g);
        if (!strchr(pattern, '%')) break; /* the same again */
    }
    return found;
}

static bool search(struct rtc *r, const struct rtc_flavor *f, int most) {
    for (int i = 0; f->library[i]; i++)
        if (try_path(r, f, f->library[i], most)) return true;
    for (int i = 0; f->folder[i]; i++)
        if (try_folder(r, f, f->folder[i], most)) return true;
    return false;
}

bool rtc_open(struct rtc *r, const struct rtc_flavor *f, int most, char why[RTC_WHY]) {
    const char *own = env_str(f->variable);
    *why = 0;
    if (*own && try_path(r, f, own, 0)) return true;
    if (!*own && ((most && search(r, f, most)) || search(r, f, 0))) return true;
    if (*own) snprintf(why, RTC_WHY, "%s that %s names (%.100s) cannot be used: %s", f->title, f->variable, own,
        f->get);
    else snprintf(why, RTC_WHY, "%s is not found: %s, or name its library with %s", f->title, f->get, f->variable);
    return false;
}

void rtc_close(struct rtc *r) {
    if (r->so) dlclose(r->so);
    *r = (struct rtc){.flavor = r->flavor};
}

/* ---- compiling ---- */

int rtc_arch(const struct rtc *r, int arch, bool *exact) {
    int best = 0;
    for (int i = 0; i < r->narchs; i++)
        if (r->arch_known[i] <= arch && r->arch_known[i] > best) best = r->arch_known[i];
    if (!r->narchs) best = arch; /* it does not say */
    *exact = best == arch && r->cubin_size && r->cubin;
    return best;
}

static tsr_status explain(const struct rtc *r, tsr_ctx *c, void *program, const char *name, int error) {
    size_t n = 0;
    char *log = NULL;
    if (program && !r->log_size(program, &n) && n && (log = mem_zalloc(c, n + 1)) && r->log(program, log)) *log = 0;
    log_line(1, "%s: kernel %s does not compile:\n%s", r->flavor->title, name, log ? log : "");
    err_set(c, TSR_EUNSUPPORTED, "%s %d.%d does not compile kernel %s (%s; TSR_DEBUG=4 shows its text): %.600s",
        r->flavor->title, r->major, r->minor, name, r->error_text(error), log ? log : "it says nothing");
    if (log) mem_free(c, log, n + 1);
    return TSR_EUNSUPPORTED;
}

typedef int take_size(void *program, size_t *bytes);
typedef int take(void *program, char *out);

static tsr_status take_code(const struct rtc *r, tsr_ctx *c, void *program, const char *name, bool exact,
    struct rtc_code *out) {
    take_size *size = !r->flavor->archs ? r->code_size : exact ? r->cubin_size : r->ptx_size;
    take *bytes = !r->flavor->archs ? r->code : exact ? r->cubin : r->ptx;
    if (!size || !bytes)
        return err_set(c, TSR_EUNSUPPORTED, "%s %d.%d gives no code: %s", r->flavor->title, r->major, r->minor,
            r->flavor->get);
    int e = size(program, &out->n);
    if (!e && !(out->p = mem_alloc(c, out->n))) return TSR_ENOMEM;
    if (!e && !(e = bytes(program, out->p))) return TSR_OK;
    rtc_code_free(c, out);
    return explain(r, c, program, name, e);
}

tsr_status rtc_build(const struct rtc *r, tsr_ctx *c, const char *text, const char *name, int arch,
    struct rtc_code *out) {
    enum { OPTIONS = 16 };
    const char *option[OPTIONS];
    char target[64];
    void *program = NULL;
    bool exact = true;
    int n = 0, known = r->flavor->archs ? rtc_arch(r, arch, &exact) : 0;
    if (r->flavor->archs && !known)
        return err_set(c, TSR_EUNSUPPORTED, "%s %d.%d knows no architecture up to sm_%d: another version does: %s",
            r->flavor->title, r->major, r->minor, arch, r->flavor->get);
    if (known) {
        snprintf(target, sizeof target, "--gpu-architecture=%s_%d", exact ? "sm" : "compute", known);
        option[n++] = target;
    }
    for (int i = 0; r->flavor->option[i] && n < OPTIONS; i++) option[n++] = r->flavor->option[i];
    *out = (struct rtc_code){.ptx = r->flavor->archs && !exact};
    int e = r->create(&program, text, name, 0, NULL, NULL);
    if (!e) e = r->compile(program, n, option);
    tsr_status s = e ? explain(r, c, program, name, e) : take_code(r, c, program, name, exact, out);
    if (program) r->destroy(&program);
    return s;
}

void rtc_code_free(tsr_ctx *c, struct rtc_code *k) {
    if (k->p) mem_free(c, k->p, k->n);
    *k = (struct rtc_code){NULL, 0, false};
}
