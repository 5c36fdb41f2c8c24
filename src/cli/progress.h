/* progress.h: how a training run shows itself: a live bar on a terminal, a line an epoch, or JSON lines. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "tessera/train.h"

struct progress {
    bool json, live, utf8;
    double drawn;   /* when the bar was drawn last */
    int width;      /* columns the bar took, to erase it */
    double accuracy, seconds;
    const char *file;
};
void progress_init(struct progress *p, bool json, const char *file);
tsr_train_callback progress_event; /* user: struct progress */
void progress_erase(struct progress *p);

#endif
