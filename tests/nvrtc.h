/* nvrtc.h: NVIDIA's compiler for tests: text becomes code of a real device where there is none.
 *
 * It is found as the cuda device finds it, and where tools/nvrtc.sh says. */
#ifndef TESTS_NVRTC_H
#define TESTS_NVRTC_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/cuda/rtc.h"
#include "harness.h"

/* Programs run in the source folder. */
static inline void nvrtc_ask_script(void) {
    char path[600] = "";
    FILE *p = getenv("TSR_NVRTC") ? NULL : popen("sh tools/nvrtc.sh", "r");
    if (p && fgets(path, sizeof path, p)) path[strcspn(path, "\n")] = 0;
    if (p) pclose(p);
    if (*path) setenv("TSR_NVRTC", path, 1);
}

#ifdef __SANITIZE_ADDRESS__
enum { NVRTC_RUNS = false };
#else
enum { NVRTC_RUNS = true };
#endif

/* False: why says how to get it. Its assembler refuses everything, without a word, in a process that AddressSanitizer
 * watches, so the tests of the release build stand for both. */
static inline bool nvrtc_open(struct rtc *r, char why[RTC_WHY]) {
    snprintf(why, RTC_WHY, "NVRTC does not run beside AddressSanitizer; the release build has this test");
    if (!NVRTC_RUNS) return false;
    nvrtc_ask_script();
    return rtc_open(r, &rtc_nvrtc, 0, why);
}

static inline bool nvrtc_knows(const struct rtc *r, int arch) {
    bool exact;
    return rtc_arch(r, arch, &exact) == arch;
}

/* Compiles the text for that device, to its machine code. */
static inline void nvrtc_check(const struct rtc *r, tsr_ctx *c, const char *text, int arch) {
    struct rtc_code code = {0};
    if (CHECK_MSG(rtc_build(r, c, text, "of the test", arch, &code) == TSR_OK, "%s", tsr_error_message(c)))
        CHECK(code.n > 64 && memcmp(code.p, "\177ELF", 4) == 0);
    rtc_code_free(c, &code);
    tsr_error_clear(c);
}

#endif
