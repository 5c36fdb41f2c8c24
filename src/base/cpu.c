/* cpu.c: what this machine is: instruction set level, number of processors, size of its caches, clock.
 *
 * A level is one of the x86-64 psABI's micro-architecture levels (v2, v3, v4) and is there only when every feature of
 * it is, in the processor (CPUID leaves 1, 7 and 0x80000001) and in the operating system (XCR0: it saves the wide
 * registers). Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, CPUID and XGETBV. */
#define _GNU_SOURCE /* sched_getaffinity */
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/sys.h"

static const char *const isa_name[CPU_ISA_COUNT] = {
    [CPU_GENERIC] = "generic", [CPU_AVX2] = "avx2", [CPU_AVX512] = "avx512"};

const char *cpu_isa_name(enum cpu_isa isa) { return isa_name[isa]; }

#if defined(__x86_64__)
#include <cpuid.h>

static bool has(unsigned reg, unsigned bits) { return (reg & bits) == bits; }

static unsigned read_xcr0(void) {
    unsigned lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return lo;
}

static enum cpu_isa detect(void) {
    const unsigned leaf1 = bit_FMA | bit_MOVBE | bit_OSXSAVE | bit_AVX | bit_F16C;
    const unsigned leaf7 = bit_AVX2 | bit_BMI | bit_BMI2;
    const unsigned leaf7_512 = bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL, lzcnt = 1u << 5;
    const unsigned ymm_saved = 0x6, zmm_saved = 0xe6;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has(c, leaf1)) return CPU_GENERIC;
    unsigned xcr0 = read_xcr0();
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !has(c, lzcnt) || !has(xcr0, ymm_saved)) return CPU_GENERIC;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has(b, leaf7)) return CPU_GENERIC;
    return has(b, leaf7_512) && has(xcr0, zmm_saved) ? CPU_AVX512 : CPU_AVX2;
}

void cpu_name(char out[64]) {
    unsigned word[12], spaces = 0;
    memset(out, 0, 64);
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &word[4 * i], &word[4 * i + 1], &word[4 * i + 2], &word[4 * i + 3])) return;
    memcpy(out, word, sizeof word);
    while (out[spaces] == ' ') spaces++;
    memmove(out, out + spaces, 64 - spaces);
}
#else
static enum cpu_isa detect(void) { return CPU_GENERIC; }
void cpu_name(char out[64]) { memset(out, 0, 64); }
#endif

/* CPUID traps to the hypervisor on a virtual machine (tens of microseconds), so the answer, a fact of the machine, is
 * kept. */
enum cpu_isa cpu_isa(void) {
    static atomic_int known = -1;
    int best = atomic_load_explicit(&known, memory_order_relaxed);
    if (best < 0) atomic_store_explicit(&known, best = (int)detect(), memory_order_relaxed);
    const char *limit = env_str("TSR_ISA");
    for (int i = 0; i < best; i++) {
        if (!strcmp(limit, isa_name[i])) return (enum cpu_isa)i;
    }
    return (enum cpu_isa)best;
}

/* Processors this process may run on, which a container or taskset may have made fewer than the machine has. */
int cpu_count(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set)) return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

/* What the kernel says of the last cache of the first processor; 0: nothing. The C library is asked after it, because
 * on virtual machines some versions count the caches of a whole socket as one. */
static size_t last_cache_of_kernel(void) {
    size_t bytes = 0;
    for (int i = 0; i < 8; i++) {
        char path[64];
        unsigned long kib = 0;
        char unit = 0;
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        FILE *f = fopen(path, "r");
        if (!f) break;
        if (fscanf(f, "%lu%c", &kib, &unit) == 2 && unit == 'K' && kib << 10 > bytes) bytes = (size_t)kib << 10;
        fclose(f);
    }
    return bytes;
}

/* Kept, since asking takes time. */
size_t cpu_cache_bytes(void) {
    enum { GUESS = 32 << 20 };
    static _Atomic size_t known;
    size_t n = atomic_load_explicit(&known, memory_order_relaxed);
    if (n) return n;
    long l2 = 0, l3 = (long)last_cache_of_kernel();
#ifdef _SC_LEVEL3_CACHE_SIZE
    if (l3 == 0) l2 = sysconf(_SC_LEVEL2_CACHE_SIZE), l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    n = l3 > 0 ? (size_t)l3 : l2 > 0 ? (size_t)l2 : GUESS;
    atomic_store_explicit(&known, n, memory_order_relaxed);
    return n;
}

double clock_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}
