/* cortex.c: a Cortex-M program without a library: starts, runs the model on the bytes of input.h, prints the bits of
 * its results through semihosting. Built by test_cortex.sh. */
#include "digits.h"
#include "input.h"

extern unsigned char bss_begin[], bss_end[];
int main(void);
void reset(void);
void *memcpy(void *to, const void *from, unsigned n);
void *memset(void *to, int v, unsigned n);

__attribute__((section(".vectors"), used)) static void *const vectors[2] = {(void *)0x20400000, (void *)reset};

static int semihost(int what, const void *arg) {
    register int r0 __asm__("r0") = what;
    register const void *r1 __asm__("r1") = arg;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void reset(void) {
    *(volatile unsigned *)0xe000ed88 |= 0xfu << 20; /* the FPU, where there is one */
    __asm__ volatile("dsb\n isb");
    for (unsigned char *p = bss_begin; p < bss_end; p++) *p = 0;
    const unsigned arg[2] = {0x20026, (unsigned)main()}; /* ADP_Stopped_ApplicationExit */
    semihost(0x20, arg);                                 /* SYS_EXIT_EXTENDED */
    for (;;) {}
}

void *memcpy(void *to, const void *from, unsigned n) {
    for (unsigned i = 0; i < n; i++) ((volatile unsigned char *)to)[i] = ((const unsigned char *)from)[i];
    return to;
}
void *memset(void *to, int v, unsigned n) {
    for (unsigned i = 0; i < n; i++) ((volatile unsigned char *)to)[i] = (unsigned char)v;
    return to;
}

int main(void) {
    static unsigned result[10];
    const void *in[1] = {input};
    void *out[1] = {result};
    if (digits_run(in, out)) return 1;
    for (int i = 0; i < 10; i++) {
        char line[10];
        for (int k = 0; k < 8; k++) line[k] = "0123456789abcdef"[result[i] >> (28 - 4 * k) & 15];
        line[8] = '\n', line[9] = 0;
        semihost(0x04, line); /* SYS_WRITE0 */
    }
    return 0;
}
