/* backward.c: calls what `tessera compile --with-backward` and `--blob` wrote: see test_backward.sh. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "b.h"
#include "g.h"
#include "s.h"

static int passed, failed;

static void check(int ok, const char *what) {
    if (ok) passed++;
    else failed++, printf("%s: FAILED\n", what);
}

/* What f.mlir says, in double. */
static double f(const double w[12], const double x[4]) {
    static const double c[3] = {0.5, -1.25, 2.0};
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        double dot = 0;
        for (int j = 0; j < 4; j++) dot += w[i * 4 + j] * x[j];
        sum += c[i] * tanh(dot);
    }
    return sum;
}

static void gradient(void) {
    float w[12], x[4], y = NAN, dw[12], dx[4];
    double p[16];
    for (int i = 0; i < 12; i++) p[i] = w[i] = (float)(0.3 * sin(i * 1.7 + 0.4));
    for (int i = 0; i < 4; i++) p[12 + i] = x[i] = (float)(0.8 * cos(i * 2.1));
    memset(dw, 0xff, sizeof dw), memset(dx, 0xff, sizeof dx);
    check(g_grad((const void *[]){w, x}, (void *[]){&y, dw, dx}) == 0, "g_grad");
    check(fabs(y - f(p, p + 12)) < 1e-6, "the value beside its formula");
    for (int i = 0; i < 16; i++) {
        double keep = p[i], up, down;
        p[i] = keep + 1e-6, up = f(p, p + 12);
        p[i] = keep - 1e-6, down = f(p, p + 12);
        p[i] = keep;
        double got = i < 12 ? dw[i] : dx[i - 12];
        check(fabs((up - down) / 2e-6 - got) < 1e-5, "a partial derivative beside a difference");
    }
}

/* Constants from a file of their own: the same bits as constants in the text. */
static void blob(const char *path) {
    static _Alignas(64) char constants[1 << 16];
    float w[12], x[4], with = NAN, without = NAN;
    for (int i = 0; i < 12; i++) w[i] = (float)i / 7 - 1;
    for (int i = 0; i < 4; i++) x[i] = (float)(3 - i) / 5;
    FILE *file = fopen(path, "rb");
    check(file && fread(constants, 1, sizeof constants, file) > 0, "the blob is read");
    if (file) fclose(file);
    check(b_run(constants, (const void *[]){w, x}, (void *[]){&with}) == 0, "b_run");
    check(g_run((const void *[]){w, x}, (void *[]){&without}) == 0, "g_run");
    check(memcmp(&with, &without, sizeof with) == 0, "bits with a blob and without");
}

enum { BATCH = 8, PARAMETERS = 6 };
static const int size[PARAMETERS] = {16 * 9, 16, 32 * 16 * 9, 32, 1280, 10};

static double loss_of(const unsigned char *image, const int *label, float (*p)[4608]) {
    float probability[BATCH][10];
    const void *in[1 + PARAMETERS] = {image};
    double sum = 0;
    for (int i = 0; i < PARAMETERS; i++) in[1 + i] = p[i];
    check(s_run(in, (void *[]){probability}) == 0, "s_run");
    for (int i = 0; i < BATCH; i++) sum -= log(probability[i][label[i]]);
    return sum / BATCH;
}

/* Steps of the file go downhill, say the loss that its forward entry has, and are the gradient's: along the step, the
 * loss falls as lr * |gradient|^2 says. */
static void steps(void) {
    static float now[PARAMETERS][4608], next[PARAMETERS][4608];
    unsigned char image[BATCH * 64];
    int label[BATCH];
    float lr = 1e-4f, loss = NAN, first = NAN;
    for (int i = 0; i < BATCH * 64; i++) image[i] = (unsigned char)((i * 37 + i / 64 * 11) % 17);
    for (int i = 0; i < BATCH; i++) label[i] = (i * 3) % 10;
    for (int i = 0; i < PARAMETERS; i++) memcpy(now[i], s_initial[i], (size_t)size[i] * sizeof(float));
    for (int step = 0; step < 40; step++) {
        const void *in[3 + PARAMETERS] = {image, label, &lr};
        void *out[1 + PARAMETERS] = {&loss};
        double before = step < 2 ? loss_of(image, label, now) : 0, square = 0;
        for (int i = 0; i < PARAMETERS; i++) in[3 + i] = now[i], out[1 + i] = next[i];
        memset(next, 0xff, sizeof next);
        check(s_step(in, out) == 0, "s_step");
        if (step == 0) first = loss;
        if (step < 2) check(fabs(loss - before) < 1e-4 * (1 + before), "the step's loss beside the forward entry's");
        for (int i = 0; i < PARAMETERS; i++)
            for (int j = 0; j < size[i]; j++) {
                double g = ((double)now[i][j] - next[i][j]) / lr;
                square += g * g;
            }
        double after = step < 2 ? loss_of(image, label, next) : 0;
        if (step == 0)
            check(fabs((before - after) / (lr * square) - 1) < 0.1, "the loss falls as the gradient says");
        memcpy(now, next, sizeof now);
        if (step == 1) lr = 0.05f;
    }
    check(loss < 0.5 * first, "forty steps halve the loss");
}

int main(int argc, char **argv) {
    gradient();
    if (argc > 1) blob(argv[1]);
    steps();
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed > 0;
}
