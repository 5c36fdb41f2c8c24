/* driver.c: loads a GPU's driver and fills the table of its calls. */
#include "device/cuda/driver.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/sys.h"

/* A driver keeps threads and handlers of its own: it is never unloaded again. */
static void *load(const struct cuda_flavor *f, char why[CUDA_WHY]) {
    const char *own = env_str(f->variable);
    void *so = NULL;
    if (*own) so = dlopen(own, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    for (int i = 0; !*own && !so && f->library[i]; i++)
        so = dlopen(f->library[i], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (so) return so;
    if (*own) snprintf(why, CUDA_WHY, "%s: the driver that %s names cannot be loaded: %s", f->title, f->variable,
        dlerror());
    else snprintf(why, CUDA_WHY, "%s: no driver (%s is not found): %s", f->title, f->library[0], f->get);
    return NULL;
}

/* NULL, or the name of a call that is needed and missing. */
static const char *find_calls(struct cuda_driver *v) {
    static const struct { const char *name[2]; bool needed; size_t at; } call[] = {
#define X(field, parameters, cuda, hip, needed) {{cuda, hip}, needed, offsetof(struct cuda_driver, field)},
        CUDA_CALLS(X)
#undef X
    };
    for (size_t i = 0; i < sizeof call / sizeof *call; i++) {
        const char *name = call[i].name[v->flavor->column];
        void *p = name ? dlsym(v->so, name) : NULL;
        if (!p && call[i].needed) return name;
        memcpy((char *)v + call[i].at, &p, sizeof p);
    }
    return NULL;
}

const char *cuda_error_text(const struct cuda_driver *v, int error, char out[CUDA_WHY]) {
    const char *name = NULL, *text = NULL;
    if (v->error_name(error, &name) || !name) name = "unknown error";
    if (v->error_text(error, &text) || !text) text = name;
    snprintf(out, CUDA_WHY, "%.150s (%.60s, %d)", text, name, error);
    return out;
}

static bool start(struct cuda_driver *v, char why[CUDA_WHY]) {
    const struct cuda_flavor *f = v->flavor;
    char text[CUDA_WHY];
    int e = v->init(0);
    if (e == CUDA_NO_DEVICE) return snprintf(why, CUDA_WHY, "%s: the driver finds no device", f->title), true;
    if (e) return snprintf(why, CUDA_WHY, "%s: the driver does not start: %.160s", f->title,
        cuda_error_text(v, e, text)), false;
    if ((e = v->driver_version(&v->version)) || (e = v->device_count(&v->devices)))
        return snprintf(why, CUDA_WHY, "%s: the driver does not say what there is: %.160s", f->title,
            cuda_error_text(v, e, text)), false;
    if (v->version < f->oldest) {
        snprintf(why, CUDA_WHY, "%s: the driver is too old: it has %s %d.%d, %d.%d is needed: %s", f->title, f->title,
            v->version / 1000, v->version % 1000 / 10, f->oldest / 1000, f->oldest % 1000 / 10, f->get);
        return false;
    }
    if (!v->devices) snprintf(why, CUDA_WHY, "%s: the driver finds no device", f->title);
    return true;
}

bool cuda_driver_open(struct cuda_driver *v, const struct cuda_flavor *f, char why[CUDA_WHY]) {
    *v = (struct cuda_driver){.flavor = f};
    *why = 0;
    if (!(v->so = load(f, why))) return false;
    const char *missing = find_calls(v);
    if (missing) {
        snprintf(why, CUDA_WHY, "%s: the driver is too old: it has no %s: %s", f->title, missing, f->get);
        return false;
    }
    return start(v, why);
}
