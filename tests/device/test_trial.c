/* test_trial.c: which tier a kernel is left with, by times that are made up. */
#include "device/cpu/trial.h"
#include "harness.h"

/* Runs the trial with these times for each tier, launches of other sizes among them; gives what it is left with. */
static enum trial_tier outcome(const double *vm, const double *c, int *launches) {
    struct trial t = {0};
    int at[2] = {0};
    bool timed = true;
    for (*launches = 0; timed; ++*launches) {
        if (*launches % 6) CHECK(trial_next(&t, 7, &timed) == TRIAL_C && !timed); /* of another size */
        enum trial_tier tier = trial_next(&t, 5, &timed);
        if (timed) trial_note(&t, 5, tier, (tier == TRIAL_C ? c : vm)[at[tier]++]);
    }
    CHECK_EQ(at[0], 3);
    CHECK_EQ(at[1], 3);
    enum trial_tier tier = trial_next(&t, 5, &timed);
    CHECK_EQ(trial_next(&t, 7, &timed), tier); /* decided: for all sizes */
    return tier;
}

TEST(the_faster_tier_keeps_the_kernel) {
    static const struct { const char *name; double vm[3], c[3]; enum trial_tier wins; } cases[] = {
        {"compiled code is faster", {3, 3, 3}, {1, 1, 1}, TRIAL_C},
        {"equal", {1, 1, 1}, {1, 1, 1}, TRIAL_C},
        {"hardly slower", {1, 1, 1}, {1.05, 1.05, 1.05}, TRIAL_C},
        {"the VM is faster", {1, 1, 1}, {1.5, 1.5, 1.5}, TRIAL_VM},
        {"compiled code was disturbed twice", {2, 2, 2}, {9, 1, 9}, TRIAL_C},
        {"the VM was disturbed at first", {9, 9, 1}, {2, 2, 2}, TRIAL_VM},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int launches;
        test_case("%s", cases[i].name);
        CHECK_EQ(outcome(cases[i].vm, cases[i].c, &launches), cases[i].wins);
        CHECK_EQ(launches, 7); /* six and the one that is timed no more */
    }
}
