/* trial.h: which of the CPU's two tiers a kernel runs on, once it has both: a few launches of each are timed.
 *
 * Both give the same bits, so the choice cannot be seen in results. Compiled code is usually faster, but what a
 * compiler made of a product need not be faster than the VM's own. */
#ifndef DEVICE_CPU_TRIAL_H
#define DEVICE_CPU_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

enum trial_tier { TRIAL_VM, TRIAL_C };
struct trial {
    uint64_t key;   /* of the launches that are compared: sizes and grid */
    double best[2]; /* seconds, by tier */
    int runs;
};
bool trial_is_over(const struct trial *t); /* launches of any size go to one tier */
/* Where a launch goes; *timed: trial_note is to hear how long it took. */
enum trial_tier trial_next(const struct trial *t, uint64_t key, bool *timed);
void trial_note(struct trial *t, uint64_t key, enum trial_tier tier, double seconds);

#endif
