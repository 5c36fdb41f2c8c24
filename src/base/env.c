/* env.c: the environment variables of env.def, and nothing else that reads the environment.
 *
 * A variable that is not set, or set to nothing, has the default of its line. Asking for one that has no line is a bug
 * of ours. */
#include <stdlib.h>
#include <string.h>

#include "base/sys.h"

static const tsr_env_info table[] = {
#define ENV(name, fallback, help) {name, fallback, help},
#include "base/env.def"
#undef ENV
};
enum { COUNT = sizeof table / sizeof *table };

const tsr_env_info *tsr_env_at(int index) { return index >= 0 && index < COUNT ? &table[index] : NULL; }

const char *env_str(const char *name) {
    for (int i = 0; i < COUNT; i++) {
        if (strcmp(table[i].name, name)) continue;
        const char *value = getenv(name);
        return value && *value ? value : table[i].fallback;
    }
    TSR_BUG("environment variable %s has no line in env.def", name);
}

int64_t env_int(const char *name) { return strtoll(env_str(name), NULL, 10); }
