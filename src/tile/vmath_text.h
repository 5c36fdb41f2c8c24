/* vmath_text.h: vmath's text as strings inside the library (cmake/embedded.cmake), for renderers that paste it.
 *
 * VMATH_PARTS(X) lists the parts in the order in which vmath.h includes them. */
#ifndef TILE_VMATH_TEXT_H
#define TILE_VMATH_TEXT_H

#define VMATH_PARTS(X) X(int) X(f32) X(f64) X(mixed) X(wide) X(complex) X(arc) X(cast)

#define X(part) extern const char tsr_text_vmath_##part[];
VMATH_PARTS(X)
#undef X

#endif
