/* trial.c: launches of one size take turns on the tiers; the best time of each counts, since everything that disturbs a
 * launch makes it longer. Launches of other sizes meanwhile go to compiled code and prove nothing. Compiled code keeps
 * the kernel unless the VM was clearly faster. */
#include "device/cpu/trial.h"

#define CLEARLY 1.1
enum { RUNS_EACH = 3 };

bool trial_is_over(const struct trial *t) { return t->runs == 2 * RUNS_EACH; }

enum trial_tier trial_next(const struct trial *t, uint64_t key, bool *timed) {
    *timed = !trial_is_over(t) && (t->runs == 0 || t->key == key);
    if (*timed) return t->runs % 2 ? TRIAL_VM : TRIAL_C;
    if (!trial_is_over(t)) return TRIAL_C;
    return t->best[TRIAL_C] > t->best[TRIAL_VM] * CLEARLY ? TRIAL_VM : TRIAL_C;
}

void trial_note(struct trial *t, uint64_t key, enum trial_tier tier, double seconds) {
    bool first = t->runs < 2;
    t->key = key;
    t->runs++;
    if (first || seconds < t->best[tier]) t->best[tier] = seconds;
}
