/* jit_cache.h: the system's C compiler, and what it made, kept on disk. Nothing here touches a context: it runs on the
 * worker thread of jit.c. */
#ifndef DEVICE_CPU_JIT_CACHE_H
#define DEVICE_CPU_JIT_CACHE_H

#include <stdatomic.h>

#include "device/cache.h"

struct jit_tool {
    char compiler[256];  /* path */
    char identity[128];  /* changes when the compiler does: path, size, time of its file */
    struct cache cache;  /* of what it made */
    bool background;     /* the compiler runs at the lowest priority */
    _Atomic int child;   /* pid and process group of the compiler that runs, 0: none */
    atomic_bool stopped;
};

/* TSR_CC, else the first of cc, gcc, clang, tcc on PATH. False: no compiler. */
bool jit_tool_find(struct jit_tool *t);
void jit_tool_start(struct jit_tool *t); /* finds the cache; before the first build */
/* The two texts, one behind the other, as a loaded shared object (dlopen), from the cache or from the compiler; NULL:
 * it could not be had (said at TSR_DEBUG=1). */
void *jit_tool_build(struct jit_tool *t, const char *prelude, const char *text);
/* The compiler run once, with the tier's flags: a C file to a shared object; its words are added to `log`. */
bool jit_tool_make(struct jit_tool *t, const char *from, const char *to, const char *log);
void jit_tool_stop(struct jit_tool *t); /* from another thread: ends a compiler that runs; later builds give NULL */

#endif
