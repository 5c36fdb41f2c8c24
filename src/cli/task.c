/* task.c: the data sets that are known by name.
 *
 * The held-out fifth of the digits is chosen by a fixed seed, so every run and every model file is judged by the same
 * images. Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017) has a test set of its own and comes as a Debian package. */
#include "cli/task.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/ctx.h"

enum { SPLIT_SEED = 20 };

static tsr_status load_digits(tsr_ctx *c, tsr_data **train, tsr_data **test) {
    tsr_data *all = tsr_data_digits(c);
    tsr_status s = all ? tsr_data_split(c, all, 0.2, SPLIT_SEED, train, test) : tsr_error_status(c);
    tsr_data_free(c, all);
    return s;
}

#define FASHION "/usr/share/datasets/fashion-mnist/"

static tsr_status load_fashion(tsr_ctx *c, tsr_data **train, tsr_data **test) {
    if (access(FASHION "train-images-idx3-ubyte.gz", R_OK))
        return err_set(c, TSR_ENOTFOUND, "Fashion-MNIST is not on this machine (" FASHION "). Install it with: "
            "apt-get install dataset-fashion-mnist");
    *train = tsr_data_idx(c, FASHION "train-images-idx3-ubyte.gz", FASHION "train-labels-idx1-ubyte.gz");
    *test = *train ? tsr_data_idx(c, FASHION "t10k-images-idx3-ubyte.gz", FASHION "t10k-labels-idx1-ubyte.gz") : NULL;
    if (*test) return TSR_OK;
    tsr_data_free(c, *train);
    *train = NULL;
    return tsr_error_status(c);
}

static const char *const fashion_names[] = {"T-shirt", "trousers", "pullover", "dress", "coat", "sandal", "shirt",
    "sneaker", "bag", "boot"};

const struct task tasks[] = {
    {"digits", "1797 hand-written digits, 8x8, built in", 12, 32, 0.01, NULL, load_digits},
    {"fashion-mnist", "70000 pieces of clothing, 28x28, Debian's dataset-fashion-mnist", 5, 128, 0.005, fashion_names,
        load_fashion},
    {0},
};

const struct task *task_find(const char *name) {
    for (const struct task *t = tasks; t->name; t++) {
        if (!strcmp(t->name, name)) return t;
    }
    return NULL;
}

tsr_nn *task_model(tsr_ctx *c, const tsr_data *d) { return tsr_convnet(c, d->dim[0], d->dim[1], d->classes); }
