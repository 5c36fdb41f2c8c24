/* gzip.c: a file's bytes with gzip (RFC 1952) taken off when they begin like it.
 *
 * zlib does the work and is optional: without it a compressed file is a clear error. Members that follow each other are
 * one stream, as gzip(1) reads them. zlib's memory comes from the context too; since it frees blocks without their
 * size, each carries its size in front. What comes out is limited to UNPACKED_MAX, and deflate cannot grow data more
 * than 1032 times, so a small hostile file stays a small problem. */
#include "data/data.h"

#include <string.h>

enum { GZIP_1 = 0x1f, GZIP_2 = 0x8b };

#ifdef TSR_HAVE_ZLIB
#include <limits.h>
#include <zlib.h>

#define UNPACKED_MAX ((size_t)1 << 33)
enum { BLOCK_HEAD = 16, FIRST_GUESS = 8 };

static voidpf block_alloc(voidpf user, uInt count, uInt size) {
    size_t n;
    if (!size_mul(count, size, &n) || !size_add(n, BLOCK_HEAD, &n)) return Z_NULL;
    uint8_t *p = mem_alloc(user, n);
    if (!p) return Z_NULL;
    memcpy(p, &n, sizeof n);
    return p + BLOCK_HEAD;
}

static void block_free(voidpf user, voidpf block) {
    uint8_t *p = (uint8_t *)block - BLOCK_HEAD;
    size_t n;
    memcpy(&n, p, sizeof n);
    mem_free(user, p, n);
}

struct unpack {
    tsr_ctx *c;
    const char *name;
    VEC(uint8_t) out;
    z_stream z;
    const uint8_t *in;
    size_t left; /* not yet given to zlib */
};

static tsr_status malformed(struct unpack *u, const char *why) {
    return err_set(u->c, TSR_EFORMAT,
        "%s: the gzip data are damaged (%s) after %zu unpacked bytes; fetch the file again",
        u->name, why, u->out.n);
}

static bool make_room(struct unpack *u) {
    if (u->out.n < u->out.cap) return true;
    if (u->out.n < UNPACKED_MAX) return vec_reserve(u->c, &u->out, u->out.n + 1);
    err_set(u->c, TSR_EUNSUPPORTED, "%s: unpacks to more than %zu bytes", u->name, UNPACKED_MAX);
    return false;
}

/* One call of inflate over what fits its 32-bit counters. */
static int inflate_some(struct unpack *u) {
    size_t room = u->out.cap - u->out.n;
    uInt give = u->left > UINT_MAX ? UINT_MAX : (uInt)u->left, take = room > UINT_MAX ? UINT_MAX : (uInt)room;
    u->z.next_in = (Bytef *)(uintptr_t)u->in, u->z.avail_in = give;
    u->z.next_out = u->out.v + u->out.n, u->z.avail_out = take;
    int r = inflate(&u->z, Z_NO_FLUSH);
    u->in += give - u->z.avail_in, u->left -= give - u->z.avail_in;
    u->out.n += take - u->z.avail_out;
    return r;
}

static tsr_status inflate_all(struct unpack *u) {
    for (;;) {
        if (!make_room(u)) return tsr_error_status(u->c);
        size_t before = u->left, had = u->out.n;
        int r = inflate_some(u);
        if (r == Z_STREAM_END) {
            if (!u->left) return TSR_OK;
            if (inflateReset(&u->z) != Z_OK) return malformed(u, "a second member");
        } else if (r == Z_MEM_ERROR) {
            return err_set(u->c, TSR_ENOMEM, "%s: out of memory while unpacking", u->name);
        } else if (r != Z_OK && r != Z_BUF_ERROR) {
            return malformed(u, u->z.msg ? u->z.msg : "bad stream");
        } else if (before == u->left && had == u->out.n) {
            return malformed(u, "they end too early");
        }
    }
}

static tsr_status unpack(tsr_ctx *c, const char *name, struct data_bytes *b) {
    struct unpack u = {.c = c, .name = name, .in = b->p, .left = b->n};
    u.z = (z_stream){.zalloc = block_alloc, .zfree = block_free, .opaque = c};
    tsr_status s = TSR_OK;
    if (!vec_reserve(c, &u.out, b->n < SIZE_MAX / FIRST_GUESS ? b->n * FIRST_GUESS : b->n)) return TSR_ENOMEM;
    if (inflateInit2(&u.z, 16 + MAX_WBITS) != Z_OK) s = err_set(c, TSR_ENOMEM, "%s: out of memory while unpacking",
        name);
    else s = inflate_all(&u), inflateEnd(&u.z);
    if (!s && u.out.n) { /* give back what was not needed, so that the block's size is its length */
        uint8_t *p = mem_resize(c, u.out.v, u.out.cap, u.out.n);
        if (p) u.out.v = p, u.out.cap = u.out.n;
        else s = TSR_ENOMEM;
    }
    if (s || !u.out.n) vec_release(c, &u.out);
    if (!s) b->unpacked = u.out.v, b->p = u.out.v, b->n = u.out.n;
    return s;
}
#else
static tsr_status unpack(tsr_ctx *c, const char *name, struct data_bytes *b) {
    (void)b;
    return err_set(c, TSR_EUNSUPPORTED, "%s is gzip-compressed and this build has no zlib: unpack it with gunzip, or "
        "install zlib1g-dev and build again", name);
}
#endif

static tsr_status look(tsr_ctx *c, const char *name, struct data_bytes *b) {
    return b->n >= 2 && b->p[0] == GZIP_1 && b->p[1] == GZIP_2 ? unpack(c, name, b) : TSR_OK;
}

tsr_status data_bytes_over(tsr_ctx *c, const void *p, size_t n, const char *name, struct data_bytes *b) {
    *b = (struct data_bytes){.p = p, .n = n};
    return look(c, name, b);
}

tsr_status data_bytes_open(tsr_ctx *c, const char *path, struct data_bytes *b) {
    *b = (struct data_bytes){0};
    tsr_status s = file_map(c, path, &b->map);
    if (s) return s;
    b->p = b->map.p, b->n = b->map.n;
    if ((s = look(c, path, b))) data_bytes_close(c, b);
    return s;
}

void data_bytes_close(tsr_ctx *c, struct data_bytes *b) {
    if (b->unpacked) mem_free(c, b->unpacked, b->n);
    file_unmap(&b->map);
    *b = (struct data_bytes){0};
}
