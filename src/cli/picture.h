/* picture.h: small grey pictures and bars in a terminal. */
#ifndef CLI_PICTURE_H
#define CLI_PICTURE_H

#include <stdint.h>
#include <stdio.h>

/* How: half blocks in 24 greys on a colour terminal (two pixels to a character), shades in a Unicode one, else ASCII
 * (both two characters to a pixel). */
enum picture_style { PICTURE_COLOR, PICTURE_SHADES, PICTURE_ASCII };
enum picture_style picture_style(FILE *f);
struct picture { const uint8_t *pixel; int height, width, most; /* the value of white */ };
int picture_lines(enum picture_style s, const struct picture *p);
int picture_columns(enum picture_style s, const struct picture *p);
void picture_line(FILE *f, enum picture_style s, const struct picture *p, int line); /* without a newline */
void picture_bar(FILE *f, enum picture_style s, double part, int columns);           /* always that many columns */

#endif
