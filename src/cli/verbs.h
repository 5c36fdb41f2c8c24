/* verbs.h: the records of the verbs, one file each. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "cli/cli.h"

extern const struct cli_verb verb_train, verb_predict, verb_run, verb_print, verb_verify, verb_plan,
    verb_compile, verb_conformance, verb_devices, verb_bench, verb_env, verb_version, verb_help;

#endif
