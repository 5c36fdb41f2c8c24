/* vm_dot_turn.h: matrices of 32-bit words turned in registers, at the level of instruction set of the file that
 * includes it.
 *
 * A vector is filled with 16 bytes (four columns) of every fourth row; four such vectors hold squares of 4 x 4 words,
 * one in each 16 bytes, and two rounds of interleaving turn them all at once: the rows end up in order. */
#ifndef TILE_VM_DOT_TURN_H
#define TILE_VM_DOT_TURN_H

#include "tile/vm_dot_lanes.h"

enum { TURN = 16, TURN_DEPTH = 4 };

/* pieces: 16 bytes from each of as many rows as a vector has places for, every fourth. LOW_32 .. HIGH_64: in each 16
 * bytes, the lower or upper words of a and b in turn, one or two at a time. */
#if defined(__AVX512F__)
static inline __m512i pieces(const char *p, int64_t pitch) {
    __m512i v = _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p));
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * pitch)), 1);
    v = _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 8 * pitch)), 2);
    return _mm512_inserti32x4(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 12 * pitch)), 3);
}
typedef __m512i words;
#define LOW_32(a, b) _mm512_unpacklo_epi32(a, b)
#define HIGH_32(a, b) _mm512_unpackhi_epi32(a, b)
#define LOW_64(a, b) _mm512_unpacklo_epi64(a, b)
#define HIGH_64(a, b) _mm512_unpackhi_epi64(a, b)
#define STORE(p, v) _mm512_storeu_si512(p, v)
#elif defined(__AVX2__)
static inline __m256i pieces(const char *p, int64_t pitch) {
    __m256i v = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_inserti128_si256(v, _mm_loadu_si128((const __m128i *)(const void *)(p + 4 * pitch)), 1);
}
typedef __m256i words;
#define LOW_32(a, b) _mm256_unpacklo_epi32(a, b)
#define HIGH_32(a, b) _mm256_unpackhi_epi32(a, b)
#define LOW_64(a, b) _mm256_unpacklo_epi64(a, b)
#define HIGH_64(a, b) _mm256_unpackhi_epi64(a, b)
#define STORE(p, v) _mm256_storeu_si256((__m256i *)(void *)(p), v)
#else
typedef vu32 words;
static inline words pieces(const char *p, int64_t pitch) { return (void)pitch, *(const words *)(const void *)p; }
#define LOW_32(a, b) (words){a[0], b[0], a[1], b[1]}
#define HIGH_32(a, b) (words){a[2], b[2], a[3], b[3]}
#define LOW_64(a, b) (words){a[0], a[1], b[0], b[1]}
#define HIGH_64(a, b) (words){a[2], a[3], b[2], b[3]}
#define STORE(p, v) (*(words *)(void *)(p) = (v))
#endif

/* dst(j, i) = src(i, j) for TURN rows and TURN_DEPTH columns of src; pitches in bytes. */
static inline void turn_words(char *dst, int64_t dst_pitch, const char *src, int64_t src_pitch) {
    for (int64_t i = 0; i < TURN; i += VECTOR / 4) {
        const char *p = src + i * src_pitch;
        char *q = dst + i * 4;
        words a = pieces(p, src_pitch), b = pieces(p + src_pitch, src_pitch);
        words c = pieces(p + 2 * src_pitch, src_pitch), d = pieces(p + 3 * src_pitch, src_pitch);
        words ab = LOW_32(a, b), cd = LOW_32(c, d), AB = HIGH_32(a, b), CD = HIGH_32(c, d);
        STORE(q, LOW_64(ab, cd));
        STORE(q + dst_pitch, HIGH_64(ab, cd));
        STORE(q + 2 * dst_pitch, LOW_64(AB, CD));
        STORE(q + 3 * dst_pitch, HIGH_64(AB, CD));
    }
}

#endif
