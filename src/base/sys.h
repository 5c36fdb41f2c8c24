/* sys.h: what the operating system gives: files, time, processor features, environment, log, locale.
 *
 * file_map maps a whole file read-only (an empty file maps to n = 0). file_write_* writes beside the target and renames
 * over it after fsync, so a crash or a full disk never leaves a half-written file under the final name. */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <locale.h>
#include <stdio.h>

#include "base/ctx.h"

struct file_map { const uint8_t *p; size_t n; };
tsr_status file_map(tsr_ctx *c, const char *path, struct file_map *out); /* ENOTFOUND or EIO, naming the path */
void file_unmap(struct file_map *f);

struct file_out { tsr_ctx *c; FILE *f; char *path, *tmp; };
tsr_status file_out_open(tsr_ctx *c, const char *path, struct file_out *o);
tsr_status file_out_write(struct file_out *o, const void *p, size_t n);
tsr_status file_out_commit(struct file_out *o); /* flush, fsync, rename; releases o on success and failure */
void file_out_abort(struct file_out *o);        /* removes the temporary file; accepts a released o */

double clock_seconds(void); /* monotonic */

/* Levels of instruction set that kernels are built for; each contains the ones before. */
/* generic = x86-64-v2 or whatever the target has; AVX2 includes FMA and F16C (x86-64-v3); AVX512 = x86-64-v4 */
enum cpu_isa { CPU_GENERIC, CPU_AVX2, CPU_AVX512, CPU_ISA_COUNT };
enum cpu_isa cpu_isa(void);                   /* best this machine runs; TSR_ISA=generic|avx2|avx512 lowers it */
const char *cpu_isa_name(enum cpu_isa isa);
int cpu_count(void);
size_t cpu_cache_bytes(void); /* of the last level; a guess where the system does not say */
void cpu_name(char out[64]); /* as the processor says it; "" when it does not */

/* Environment variables: every one is a line of env.def (name, default, help); reading any other is a bug. */
const char *env_str(const char *name); /* the default of env.def when unset */
int64_t env_int(const char *name);
/* Debug output to stderr when TSR_DEBUG >= level. */
bool log_on(int level);
void log_line(int level, const char *fmt, ...) TSR_PRINTF(2, 3);

/* Numbers in files and programs have a decimal point, whatever locale the host program has chosen. str_printf does so
 * by itself; snprintf of a float stands between enter and leave. */
locale_t locale_enter_c(void);
void locale_leave_c(locale_t before);
double locale_strtod(const char *s, char **end);

#endif
