/* fake_gpu.h: knobs and counters of the look-alike of a GPU's driver and compiler (fake_gpu.c). Zeros: it works. */
#ifndef TESTS_DEVICE_FAKE_GPU_H
#define TESTS_DEVICE_FAKE_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_gpu {
    /* knobs */
    int devices;          /* 0: one; -1: none */
    int version;          /* of the driver; 0: 12080 */
    int arch;             /* 0: 70 */
    int known[8];         /* architectures that the compiler knows; all 0: 70, 80, 90 */
    int compiler_major;   /* 0: 12 */
    int init_error;       /* what init gives */
    size_t memory;        /* 0: 256 MiB */
    bool no_pools, no_marks, no_recording, no_recorded_marks, no_graphs;
    int fail_alloc;       /* the nth allocation from now on fails, for want of memory; again and again when negative */
    int fail_launch;      /* the nth launch is refused: error 701 */
    int fault_launch;     /* the nth kernel that runs, in replays too, meets a bad address: then nothing works */
    int load_error;       /* what loading a module gives */
    int compile_error;    /* 1: the compiler refuses every text */
    /* counters: what exists now */
    int contexts, streams, events, allocs, hosts, modules, graphs, executables;
    size_t bytes, bytes_most;
    /* and what was done */
    int compiled, loaded, launches, kernels_run, graph_launches, captures, syncs, ptx_taken;
    char options[256];    /* of the latest compilation */
};

#endif
