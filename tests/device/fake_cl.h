/* fake_cl.h: knobs and counters of the look-alike of an OpenCL loader (fake_cl.c). Zeros: it works. */
#ifndef TESTS_DEVICE_FAKE_CL_H
#define TESTS_DEVICE_FAKE_CL_H

#include <stdbool.h>
#include <stddef.h>

struct fake_cl {
    /* knobs */
    int platforms;      /* 0: two; -1: none */
    bool turned;        /* the platforms come in the other order */
    bool unavailable;   /* no device is available */
    bool no_f64;
    size_t memory;      /* 0: 64 MiB; a block has at most a quarter */
    int group_size;     /* most threads of a group for any kernel; 0: 256 */
    bool build_error, binary_error, no_binaries;
    int fail_launch;    /* the nth launch from now on is refused */
    int break_launch;   /* the nth launch fails when it runs: its event says so, and everything after it fails */
    int fail_alloc;     /* the nth block from now on is refused, as by a driver that is short of memory */
    /* what exists now */
    int contexts, queues, blocks, programs, kernels, events;
    size_t bytes;
    /* what was done */
    int from_source, from_binary, launches, finishes;
    size_t groups, threads; /* of the latest launch */
    char options[128];
    char text[1 << 16];     /* of the latest build from source */
};

#endif
