/* picture.c: small grey pictures and bars in a terminal. */
#include "cli/picture.h"

#include <string.h>

#include "cli/cli.h"

enum { GREYS = 24, FIRST_GREY = 232 }; /* the grey ramp of the 256-colour palette */

enum picture_style picture_style(FILE *f) {
    return !term_is_utf8() ? PICTURE_ASCII : term_has_color(f) ? PICTURE_COLOR : PICTURE_SHADES;
}

int picture_lines(enum picture_style s, const struct picture *p) {
    return s == PICTURE_COLOR ? (p->height + 1) / 2 : p->height;
}

int picture_columns(enum picture_style s, const struct picture *p) {
    return s == PICTURE_COLOR ? p->width : 2 * p->width;
}

/* The pixel in [0, steps). Outside the picture: black. */
static int level(const struct picture *p, int row, int column, int steps) {
    if (row >= p->height || p->most <= 0) return 0;
    int v = p->pixel[row * p->width + column];
    return (v < p->most ? v : p->most) * (steps - 1) / p->most;
}

void picture_line(FILE *f, enum picture_style s, const struct picture *p, int line) {
    static const char *const shade[] = {"  ", "░░", "▒▒", "▓▓", "██"};
    static const char ramp[] = " .:-=+*#%@";
    for (int x = 0; x < p->width; x++) {
        if (s == PICTURE_COLOR) {
            fprintf(f, "\033[38;5;%dm\033[48;5;%dm▀", FIRST_GREY + level(p, 2 * line, x, GREYS),
                FIRST_GREY + level(p, 2 * line + 1, x, GREYS));
        } else if (s == PICTURE_SHADES) {
            fputs(shade[level(p, line, x, 5)], f);
        } else {
            char ch = ramp[level(p, line, x, (int)strlen(ramp))];
            fprintf(f, "%c%c", ch, ch);
        }
    }
    if (s == PICTURE_COLOR) fputs("\033[0m", f);
}

void picture_bar(FILE *f, enum picture_style s, double part, int columns) {
    static const char *const eighth[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    int eighths = (int)(part * columns * 8 + 0.5), full = eighths / 8;
    for (int i = 0; i < columns; i++) {
        if (s == PICTURE_ASCII) fputc(i < full ? '#' : ' ', f);
        else fputs(i < full ? "█" : i == full ? eighth[eighths % 8] : " ", f);
    }
}
