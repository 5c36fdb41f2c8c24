/* npy.c: NumPy's .npy: the header's grammar, byte and axis order, writing (npy.h).
 *
 * The header is the text of a Python dictionary with exactly the keys descr, fortran_order and shape. Nothing of it is
 * trusted: lengths are checked against the file before anything is read. */
#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "base/vec.h"
#include "formats/npz/npy.h"
#include "graph/node.h"
#include "tessera/prim.h"
#include "tessera/run.h"

static const struct { tsr_dtype dtype; char kind; int bytes; bool bits; } types[] = {
    {TSR_F64, 'f', 8, 0}, {TSR_F32, 'f', 4, 0}, {TSR_F16, 'f', 2, 0}, {TSR_I64, 'i', 8, 0}, {TSR_I32, 'i', 4, 0},
    {TSR_I16, 'i', 2, 0}, {TSR_I8, 'i', 1, 0}, {TSR_U64, 'u', 8, 0}, {TSR_U32, 'u', 4, 0}, {TSR_U16, 'u', 2, 0},
    {TSR_U8, 'u', 1, 0}, {TSR_BOOL, 'b', 1, 0}, {TSR_C64, 'c', 8, 0}, {TSR_C128, 'c', 16, 0}, {TSR_U16, 'V', 2, 1},
    {TSR_U8, 'V', 1, 1},
};
enum { TYPES = sizeof types / sizeof *types };

/* ---- the header ------------------------------------------------------------------------------------------------- */

struct scan { tsr_ctx *c; const char *name; const char *p, *end; };

static bool bad(struct scan *s, const char *what) {
    err_set(s->c, TSR_EFORMAT, "%s: no NumPy file that can be read: %s", s->name, what);
    return false;
}

static void space(struct scan *s) {
    while (s->p < s->end && (*s->p == ' ' || *s->p == '\n' || *s->p == '\t')) s->p++;
}

static bool take(struct scan *s, char ch) {
    space(s);
    if (s->p >= s->end || *s->p != ch) return false;
    s->p++;
    return true;
}

/* 'text', without escapes. */
static bool quoted(struct scan *s, char *out, size_t room) {
    size_t n = 0;
    space(s);
    if (s->p >= s->end || (*s->p != '\'' && *s->p != '"')) return bad(s, "a quoted word is missing in its header");
    char quote = *s->p++;
    while (s->p < s->end && *s->p != quote && n + 1 < room) out[n++] = *s->p++;
    out[n] = 0;
    return take(s, quote) || bad(s, "a quoted word in its header does not end");
}

static bool read_type(struct scan *s, struct npy *out) {
    char text[16];
    if (!quoted(s, text, sizeof text)) return false;
    const char *t = text;
    char order = strchr("<>|=", *t) && *t ? *t++ : '<';
    for (int i = 0; i < TYPES; i++) {
        char plain[16];
        snprintf(plain, sizeof plain, "%c%d", types[i].kind, types[i].bytes);
        if (strcmp(t, plain) && !(types[i].kind == 'b' && !strcmp(t, "?"))) continue;
        out->dtype = types[i].dtype, out->bits = types[i].bits;
        out->swap = order == '>' && types[i].bytes > 1;
        return true;
    }
    err_set(s->c, TSR_EUNSUPPORTED, "%s: elements of the type %s have no dtype here; convert them in NumPy", s->name,
        text);
    return false;
}

static bool read_shape(struct scan *s, struct npy *out) {
    if (!take(s, '(')) return bad(s, "its shape is no tuple");
    for (out->rank = 0; !take(s, ')');) {
        int64_t v = 0;
        bool digits = false;
        space(s);
        for (; s->p < s->end && *s->p >= '0' && *s->p <= '9'; s->p++, digits = true)
            if (!i64_mul(v, 10, &v) || !i64_add(v, *s->p - '0', &v)) return bad(s, "an extent is too large");
        if (!digits) return bad(s, "an extent in its shape is no number");
        if (out->rank == TSR_MAX_RANK) return bad(s, "it has more axes than a tensor can have");
        out->dim[out->rank++] = v;
        if (!take(s, ',') && (space(s), s->p >= s->end || *s->p != ')')) return bad(s, "its shape does not end");
    }
    return true;
}

static bool read_truth(struct scan *s, bool *out) {
    static const struct { const char *word; bool is; } words[] = {{"True", true}, {"False", false}};
    space(s);
    for (int i = 0; i < 2; i++) {
        size_t n = strlen(words[i].word);
        if ((size_t)(s->end - s->p) < n || strncmp(s->p, words[i].word, n)) continue;
        s->p += n, *out = words[i].is;
        return true;
    }
    return bad(s, "fortran_order is neither True nor False");
}

static bool read_dict(struct scan *s, struct npy *out) {
    int seen = 0;
    char key[16];
    if (!take(s, '{')) return bad(s, "its header is no dictionary");
    while (!take(s, '}')) {
        if (!quoted(s, key, sizeof key)) return false;
        int which = !strcmp(key, "descr") ? 1 : !strcmp(key, "fortran_order") ? 2 : !strcmp(key, "shape") ? 4 : 0;
        if (!which || (seen & which) || !take(s, ':')) return bad(s, "its header has other keys than it may");
        seen |= which;
        if (!(which == 1 ? read_type(s, out) : which == 2 ? read_truth(s, &out->fortran) : read_shape(s, out)))
            return false;
        if (!take(s, ',') && (space(s), s->p >= s->end || *s->p != '}')) return bad(s, "its header does not end");
    }
    return seen == 7 || bad(s, "its header lacks descr, fortran_order or shape");
}

bool npy_parse(tsr_ctx *c, const char *name, const uint8_t *p, size_t n, struct npy *out) {
    struct scan s = {.c = c, .name = name};
    *out = (struct npy){0};
    if (n < 10 || memcmp(p, "\x93NUMPY", 6)) return bad(&s, "it does not begin with \\x93NUMPY");
    if (p[6] < 1 || p[6] > 3) return bad(&s, "its version is not 1, 2 or 3");
    size_t at = p[6] == 1 ? 10 : 12, length = p[8] | (size_t)p[9] << 8, bytes;
    if (n < at) return bad(&s, "its header is cut off");
    if (p[6] > 1) length |= (size_t)p[10] << 16 | (size_t)p[11] << 24;
    if (length > n - at) return bad(&s, "its header is cut off");
    s.p = (const char *)p + at, s.end = s.p + length;
    if (!read_dict(&s, out)) return false;
    out->count = 1;
    for (int i = 0; i < out->rank; i++)
        if (!i64_mul(out->count, out->dim[i], &out->count)) return bad(&s, "its shape has too many elements");
    if (!tsr_dtype_bytes(out->dtype, out->count, &bytes) || bytes > n - at - length)
        return bad(&s, "it is shorter than its shape says");
    out->data = p + at + length;
    return true;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

/* Element i in C order stands at which place in Fortran order? */
static int64_t fortran_place(const struct npy *f, int64_t i) {
    int64_t place = 0, index[TSR_MAX_RANK];
    for (int a = f->rank - 1; a >= 0; a--) index[a] = i % f->dim[a], i /= f->dim[a];
    for (int a = f->rank - 1; a >= 0; a--) place = place * f->dim[a] + index[a];
    return place;
}

/* The elements in C order and this machine's byte order (parts of complex numbers swap one by one). */
static void gather_elements(const struct npy *f, uint8_t *out) {
    const tsr_dtype_info *t = tsr_dtype_of(f->dtype);
    int size = t->bytes, part = t->kind == TSR_KIND_COMPLEX ? size / 2 : size;
    for (int64_t i = 0; i < f->count; i++) {
        const uint8_t *from = f->data + (f->fortran ? fortran_place(f, i) : i) * size;
        uint8_t *to = out + i * size;
        for (int b = 0; b < size; b++) to[b] = from[f->swap ? b / part * part + part - 1 - b % part : b];
    }
}

static tsr_node *value_of(tsr_ctx *c, const struct npy *f) {
    const tsr_type *t = tsr_type_dims(c, f->dtype, f->rank, f->dim);
    size_t bytes;
    if (!t || !tsr_dtype_bytes(f->dtype, f->count, &bytes)) return tsr_poison(c);
    if (!f->fortran && !f->swap) return tsr_from(c, t, f->data);
    void *data = mem_alloc(c, bytes);
    if (!data) return tsr_poison(c);
    gather_elements(f, data);
    tsr_node *n = tsr_from(c, t, data);
    mem_free(c, data, bytes);
    return n;
}

/* Bits taken as the wanted type, or 8-bit integers made 4-bit ones. */
static tsr_node *as_wanted(tsr_ctx *c, const struct npy *f, tsr_node *n, tsr_dtype want, bool raw) {
    const tsr_dtype_info *w = tsr_dtype_of(want), *have = tsr_dtype_of(f->dtype);
    if (f->dtype == want && !f->bits) return n;
    if ((f->bits || (raw && have->kind == TSR_KIND_UINT)) && w->bits == have->bits) return tsr_prim_bitcast(c, n, want);
    if (w->bits == 4 && have->bits == 8 && have->kind == w->kind) return tsr_prim_convert(c, n, want);
    return n;
}

tsr_node *npy_load(tsr_ctx *c, const char *path, const tsr_dtype *want, bool raw) {
    struct file_map map;
    struct npy f;
    if (file_map(c, path, &map)) return tsr_poison(c);
    tsr_node *n = npy_parse(c, path, map.p, map.n, &f) ? value_of(c, &f) : tsr_poison(c);
    file_unmap(&map);
    if (tsr_is_poison(n)) return n;
    tsr_dtype bf16 = TSR_BF16;
    if (!want && f.bits && f.dtype == TSR_U16) want = &bf16;
    return want ? as_wanted(c, &f, n, *want, raw) : n;
}

/* ---- writing ---------------------------------------------------------------------------------------------------- */

static bool put_header(struct str *s, tsr_dtype t, bool raw, int rank, const int64_t *dim) {
    char kind = 0;
    const tsr_dtype_info *info = tsr_dtype_of(t);
    for (int i = 0; i < TYPES && !kind; i++)
        if (types[i].dtype == t && !types[i].bits) kind = types[i].kind;
    if (!kind && info->kind != TSR_KIND_FLOAT) return false;
    if (!kind) kind = raw ? 'u' : 'V';
    str_printf(s, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (", info->bytes == 1 ? '|' : '<', kind,
        info->bytes);
    for (int i = 0; i < rank; i++) str_printf(s, "%lld,%s", (long long)dim[i], i + 1 < rank ? " " : "");
    str_put(s, "), }");
    while ((10 + s->n + 1) % 64) str_putc(s, ' ');
    str_putc(s, '\n');
    return !s->failed && s->n < 65536;
}

static tsr_status write_file(tsr_ctx *c, const char *path, const struct str *header, const void *data, size_t bytes) {
    struct file_out o;
    uint8_t head[10] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)(header->n & 255), (uint8_t)(header->n >> 8)};
    tsr_status s = file_out_open(c, path, &o);
    if (s) return s;
    s = file_out_write(&o, head, sizeof head);
    if (!s) s = file_out_write(&o, header->s, header->n);
    if (!s) s = file_out_write(&o, data, bytes);
    if (!s) return file_out_commit(&o);
    file_out_abort(&o);
    return s;
}

tsr_status npy_save(tsr_ctx *c, const char *path, tsr_node *value, bool raw) {
    tsr_dtype t = tsr_node_dtype(value);
    if (t == TSR_I4 || t == TSR_U4) value = tsr_prim_convert(c, value, t = t == TSR_I4 ? TSR_I8 : TSR_U8);
    if (tsr_is_poison(value)) return tsr_error_status(c);
    int64_t dim[TSR_MAX_RANK];
    size_t bytes;
    if (!tsr_type_ints(tsr_node_type(value), dim) || !type_bytes(tsr_node_type(value), &bytes))
        return err_set(c, TSR_EINVAL, "%s: a tensor of unknown extents cannot be written", path);
    struct str header;
    str_init(&header, c);
    tsr_status s = put_header(&header, t, raw, tsr_node_rank(value), dim) ? TSR_OK
        : err_set(c, TSR_EUNSUPPORTED, "%s: %s has no form in NumPy", path, tsr_dtype_name(t));
    void *data = !s ? mem_alloc(c, bytes) : NULL;
    if (!s && !data) s = TSR_ENOMEM;
    if (!s) s = tsr_read(c, value, data, bytes);
    if (!s) s = write_file(c, path, &header, data, bytes);
    mem_free(c, data, bytes);
    str_release(&header);
    return s;
}
