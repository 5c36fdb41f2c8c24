/* progress.c: a live bar on a terminal, a line an epoch everywhere, JSON lines for scripts.
 *
 * The bar is drawn on standard error and at most 20 times a second, so it costs nothing and never mixes with results.
 * Losses in JSON have nine digits: enough to compare two runs bit for bit. */
#include "cli/progress.h"

#include <math.h>
#include <stdio.h>

#include "base/sys.h"
#include "cli/cli.h"

enum { BAR = 24 };
#define REDRAW 0.05

void progress_init(struct progress *p, bool json, const char *file) {
    *p = (struct progress){.json = json, .live = !json && term_is_live(stderr), .utf8 = term_is_utf8(), .file = file};
}

void progress_erase(struct progress *p) {
    if (p->width) fprintf(stderr, "\r\033[K");
    p->width = 0;
}

/* Twenty-four columns; with Unicode in eighths of one. */
static void put_bar(const struct progress *p, double part) {
    static const char *const eighth[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int eighths = (int)(part * BAR * 8), full = eighths / 8;
    fprintf(stderr, "%s%s", p->utf8 ? "▕" : "[", term_style(stderr, STYLE_CYAN));
    for (int i = 0; i < BAR; i++) {
        const char *cell = i < full ? (p->utf8 ? "█" : "#") : i == full && p->utf8 ? eighth[eighths % 8] : " ";
        fputs(cell, stderr);
    }
    fprintf(stderr, "%s%s", term_style(stderr, STYLE_NONE), p->utf8 ? "▏" : "]");
}

static void draw(struct progress *p, const tsr_train_event *e) {
    double now = clock_seconds();
    if (now - p->drawn < REDRAW) return;
    p->drawn = now;
    p->width = 1;
    double steps = (double)e->steps, epochs = (double)e->epochs;
    double done = ((double)(e->epoch - 1) * steps + (double)e->step) / (epochs * steps);
    fprintf(stderr, "\r\033[Kepoch %lld/%lld ", (long long)e->epoch, (long long)e->epochs);
    put_bar(p, done);
    int room = term_columns(stderr) - BAR - 20;
    char text[128];
    int n = snprintf(text, sizeof text, " loss %.4f  accuracy %.1f %%  %.0f samples/s  ETA %.0f s", e->loss,
        100 * e->accuracy, e->rate, ceil(e->left));
    if (n > room) n = room > 0 ? room : 0;
    fprintf(stderr, "%.*s", n, text);
    fflush(stderr);
}

static void print_epoch(struct progress *p, const tsr_train_event *e) {
    progress_erase(p);
    printf("epoch %2lld/%lld  loss %.4f  accuracy %5.1f %%", (long long)e->epoch, (long long)e->epochs, e->loss,
        100 * e->accuracy);
    if (e->tested) {
        printf("  test loss %.4f  test accuracy %s%5.1f %%%s", e->test_loss, term_style(stdout, STYLE_BOLD),
            100 * e->test_accuracy, term_style(stdout, STYLE_NONE));
    }
    printf("  %5.1f s  %.0f samples/s\n", e->seconds, e->rate);
    fflush(stdout);
}

static void print_json(struct progress *p, const tsr_train_event *e) {
    static const char *const name[] = {
        [TSR_EVENT_STEP] = "step", [TSR_EVENT_EPOCH] = "epoch", [TSR_EVENT_CHECKPOINT] = "checkpoint"};
    printf("{\"event\":\"%s\"", name[e->kind]);
    if (e->kind == TSR_EVENT_CHECKPOINT) {
        printf("}\n");
    } else {
        printf(",\"epoch\":%lld,\"step\":%lld,\"loss\":%.9g,\"accuracy\":%.6f", (long long)e->epoch,
            (long long)e->step, e->loss, e->accuracy);
        if (e->tested) printf(",\"test_loss\":%.9g,\"test_accuracy\":%.6f", e->test_loss, e->test_accuracy);
        if (e->kind == TSR_EVENT_EPOCH) printf(",\"seconds\":%.3f,\"samples_per_second\":%.0f", e->seconds, e->rate);
        printf("}\n");
    }
    fflush(stdout);
    (void)p;
}

void progress_event(void *user, const tsr_train_event *e) {
    struct progress *p = user;
    if (e->kind == TSR_EVENT_EPOCH) p->accuracy = e->test_accuracy, p->seconds = e->seconds;
    if (p->json) print_json(p, e);
    else if (e->kind == TSR_EVENT_EPOCH) print_epoch(p, e);
    else if (e->kind == TSR_EVENT_STEP && p->live) draw(p, e);
}
