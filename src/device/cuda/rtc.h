/* rtc.h: a GPU's compiler as a library: NVRTC, hiprtc. Found at run time; needs no device and no driver.
 *
 * Their calls too are twins under two names. Any number of threads may compile at once. */
#ifndef DEVICE_CUDA_RTC_H
#define DEVICE_CUDA_RTC_H

#include "base/mem.h"

/* X(field, result, parameters, name behind "nvrtc" or "hiprtc", needed) */
#define RTC_CALLS(X)                                                                                                  \
    X(get_version, int, (int *major, int *minor), "Version", true)                                                    \
    X(arch_count, int, (int *n), "GetNumSupportedArchs", false)                                                       \
    X(archs, int, (int *arch), "GetSupportedArchs", false)                                                            \
    X(create, int, (void **program, const char *text, const char *name, int n, const char *const *header,             \
        const char *const *header_name), "CreateProgram", true)                                                       \
    X(destroy, int, (void **program), "DestroyProgram", true)                                                         \
    X(compile, int, (void *program, int n, const char *const *option), "CompileProgram", true)                        \
    X(log_size, int, (void *program, size_t *bytes), "GetProgramLogSize", true)                                       \
    X(log, int, (void *program, char *out), "GetProgramLog", true)                                                    \
    X(cubin_size, int, (void *program, size_t *bytes), "GetCUBINSize", false)                                         \
    X(cubin, int, (void *program, char *out), "GetCUBIN", false)                                                      \
    X(ptx_size, int, (void *program, size_t *bytes), "GetPTXSize", false)                                             \
    X(ptx, int, (void *program, char *out), "GetPTX", false)                                                          \
    X(code_size, int, (void *program, size_t *bytes), "GetCodeSize", false)                                           \
    X(code, int, (void *program, char *out), "GetCode", false)                                                        \
    X(error_text, const char *, (int error), "GetErrorString", true)

struct rtc_flavor {
    const char *title, *prefix;    /* "NVRTC", "nvrtc" */
    const char *variable;          /* of the environment: names another library */
    const char *const *library;    /* names to try, in turn; ends with NULL */
    const char *const *folder;     /* where else: patterns of glob(3), %s: VIRTUAL_ENV or HOME; ends with NULL */
    const char *get;               /* how to get it */
    const char *const *option;     /* of every compilation; ends with NULL */
    bool archs;                    /* code is made for an architecture that has a number; else for the present device */
};
extern const struct rtc_flavor rtc_nvrtc, rtc_hiprtc;

enum { RTC_ARCHS = 64, RTC_WHY = 400 };
struct rtc {
    const struct rtc_flavor *flavor;
    void *so;
    int major, minor;
    int narchs, arch_known[RTC_ARCHS];
#define X(field, result, parameters, name, needed) result (*field) parameters;
    RTC_CALLS(X)
#undef X
};

/* most: a compiler of a greater major version than this is taken only where there is no other (its code may be too new
 * for the driver); 0: the newest. False: why says what is missing and how to get it. */
bool rtc_open(struct rtc *r, const struct rtc_flavor *f, int most, char why[RTC_WHY]);
void rtc_close(struct rtc *r); /* accepts zeros */

/* What code is made for when a device has this architecture (90: sm_90): itself, or the newest older one that the
 * compiler knows, whose PTX the driver translates (*exact false). 0: it knows none. */
int rtc_arch(const struct rtc *r, int arch, bool *exact);

/* arch: of the device. Code for it (exact), or PTX for the newest that the compiler knows. */
struct rtc_code { char *p; size_t n; bool ptx; };
/* EUNSUPPORTED: the text does not compile (err_set has the compiler's words), or ENOMEM. Frees with rtc_code_free. */
tsr_status rtc_build(const struct rtc *r, tsr_ctx *c, const char *text, const char *name, int arch,
    struct rtc_code *out);
void rtc_code_free(tsr_ctx *c, struct rtc_code *k);

#endif
