/* cuda.h: the inside of a device behind a driver of driver.h: CUDA, HIP.
 *
 * All work goes to one stream of our own, in the order of the calls; nothing waits but copies out and sync. Parts:
 *
 *     cuda.c     opening, memory, sync, errors          stage.c   copies through pinned memory
 *     kernel.c  text, compiling, launches              record.c  recordings: the driver's graphs
 *     fault.c   what was launched, and which of it failed
 *
 * A fault of a kernel is known to the driver only at some later call, and then all memory of the device is lost. So a
 * mark is written behind each launch, in the stream's order, to memory that the host sees; the first launch without its
 * mark is the one that failed. From then on every call gives that error again. */
#ifndef DEVICE_CUDA_CUDA_H
#define DEVICE_CUDA_CUDA_H

#include <pthread.h>
#include <stdatomic.h>

#include "device/cache.h"
#include "device/cuda/driver.h"
#include "device/cuda/rtc.h"
#include "device/device.h"

/* What was launched, for people: copies, since plans and kernels may be gone when it is told. */
enum { NOTE_BUFFERS = 6 };
struct cuda_note {
    char kernel[64], label[96], plan[48];
    int step;
    uint64_t node;
    int64_t grid[3];
    int nbuf;
    size_t bytes[NOTE_BUFFERS];
    const struct cuda_recording *replay; /* a replay: look there */
};

/* Two marks, in memory of the host that the device writes. */
enum cuda_mark { MARK_LAUNCH, MARK_REPLAY, MARKS };
enum { CUDA_RECENT = 1024 };
struct cuda_fault {
    volatile uint32_t *mark;     /* (MARKS): launches done; launches of the replay under way that are done */
    void *mark_on_device;
    bool marks, marks_recorded;  /* the driver can write them; in recordings too */
    uint32_t launched;           /* so many so far */
    struct cuda_note *recent;     /* (CUDA_RECENT) launch i at i % CUDA_RECENT */
    bool dead;
    tsr_status status;           /* dead: what every call gives, and why */
    char why[1000];
};

/* Half of it is filled, or emptied, while the driver copies the other. */
enum { STAGE_HALF = 4 << 20 };
struct cuda_stage {
    uint8_t *half[2];            /* pinned; NULL: not used yet */
    void *event[2];              /* the driver is done with that half */
    size_t used;                 /* of the half that is being filled */
    int now;
};

/* Global scratch memory of kernels; a recording that uses it holds it. */
struct cuda_scratch {
    void *p;
    size_t bytes;
    int refs;
};

struct cuda {
    struct device d;
    struct cuda_driver drv;
    struct rtc rtc;
    bool rtc_tried;
    char rtc_why[RTC_WHY];
    struct cache cache;
    struct emit_gpu_target target;
    int device, arch;
    char machine[256];           /* what compiled code depends on beside its text */
    void *context, *stream, *pool;
    bool sync_each;              /* no marks, TSR_CHECK: wait for each launch, so that a fault has a name */
    struct cuda_stage in, out;
    struct cuda_scratch *scratch;
    struct cuda_kernel *pending;  /* text is written, code is not made */
    struct cuda_fault fault;
    struct cuda_recording *recording; /* being made, by a thread that holds the lock meanwhile */
    pthread_t recorder;
    pthread_mutex_t lock;        /* of the stream's allocations: frees come from any thread */
    void **parameter;            /* (parameters) of the launch under way */
    size_t parameters;
};

/* cuda.c. What device_cuda and device_hip have in common. */
tsr_status cuda_open(tsr_ctx *c, const struct cuda_flavor *f, const struct device_ops *ops, int index,
    struct device **out);
void cuda_close(struct device *d);
int cuda_count(tsr_ctx *c, const struct cuda_flavor *f, char why[CUDA_WHY]);
void *cuda_alloc(struct device *d, size_t bytes);
void cuda_free(struct device *d, void *mem, size_t bytes);
tsr_status cuda_sync(struct device *d);
/* First in every call: the context is this thread's, and no fault has been seen. */
tsr_status cuda_enter(struct cuda *g);
/* Records what a failed call of the driver says; `doing` is what was asked: "a copy of 4096 bytes to the device". */
tsr_status cuda_error(struct cuda *g, int error, const char *doing, ...) TSR_PRINTF(3, 4);
/* At least so many bytes of scratch, one reference for the caller. NULL: recorded. */
struct cuda_scratch *cuda_scratch_get(struct cuda *g, size_t bytes);
void cuda_scratch_put(struct cuda *g, struct cuda_scratch *s);

/* stage.c */
tsr_status cuda_copy_in(struct device *d, void *mem, const void *host, size_t bytes);
tsr_status cuda_copy_out(struct device *d, void *host, const void *mem, size_t bytes);
tsr_status cuda_copy(struct device *d, void *dst, const void *src, size_t bytes);
void cuda_stage_close(struct cuda *g, struct cuda_stage *s);

/* kernel.c */
tsr_status cuda_compile(struct device *d, const tsr_tile *program, void **kernel);
void cuda_unload(struct device *d, void *kernel);
tsr_status cuda_launch(struct device *d, void *kernel, const int64_t grid[3], int n, const struct launch_arg *arg);

/* fault.c */
tsr_status cuda_fault_open(struct cuda *g);
void cuda_fault_close(struct cuda *g);
void cuda_note_launch(struct cuda *g, const char *kernel, const int64_t grid[3], int n, const struct launch_arg *arg,
    struct cuda_note *out);
/* The launch of *note is in the stream: its mark goes behind it. */
tsr_status cuda_launched(struct cuda *g, const struct cuda_note *note);
void cuda_mark_recording(struct cuda *g); /* first in a recording */
bool cuda_is_fatal(int error); /* the device's memory and stream are lost */
void cuda_die(struct cuda *g, int error, const char *doing);

/* record.c */
struct cuda_recording {
    void *executable;
    struct cuda_scratch *scratch; /* its kernels use it; may be NULL */
    VEC(struct cuda_note) note;   /* its launches, in order */
};
tsr_status cuda_record_begin(struct device *d);
tsr_status cuda_record_end(struct device *d, void **recording);
tsr_status cuda_replay(struct device *d, void *recording);
void cuda_forget(struct device *d, void *recording);

#endif
