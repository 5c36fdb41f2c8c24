/* module.c: the file around the functions: what it is, constants, entries, and the library's text in front. */
#include "emit/module.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "emit/library.h"
#include "emit/module_text.h"
#include "emit/text.h"
#include "tile/vmath_text.h"

extern const char tsr_text_prelude_c[], tsr_text_prelude_c99[], tsr_text_blocks[], tsr_text_helpers_c[],
    tsr_text_parts_c[], tsr_text_lib_fft[], tsr_text_lib_linalg[], tsr_text_lib_eigen[];

void module_text_init(struct module_text *t, tsr_ctx *c) {
    *t = (struct module_text){.kernels = 0};
    str_init(&t->c, c), str_init(&t->h, c), str_init(&t->blob, c);
}

void module_text_release(struct module_text *t) { str_release(&t->c), str_release(&t->h), str_release(&t->blob); }

/* ---- constants ---- */

/* Floats as hexadecimal literals, which every compiler reads exactly; the bits where one of them is no number. */
static void put_elements(struct str *s, tsr_dtype t, const void *p, size_t bytes) {
    bool f32 = t == TSR_F32 || t == TSR_C64, f64 = t == TSR_F64 || t == TSR_C128;
    size_t size = f64 ? 8 : f32 ? 4 : tsr_dtype_of(t)->block > 1 ? 1 : (size_t)tsr_dtype_of(t)->bytes;
    for (size_t i = 0; i < bytes / size; i++) {
        const char *at = (const char *)p + i * size;
        char room[40];
        double d = 0;
        int64_t v = 0;
        if (f32) { float f; memcpy(&f, at, 4), d = (double)f; }
        else if (f64) memcpy(&d, at, 8);
        else memcpy(&v, at, size);
        if (f32 || f64) snprintf(room, sizeof room, f32 ? "%af" : "%a", d);
        else if (tsr_dtype_of(t)->kind == TSR_KIND_INT && tsr_dtype_of(t)->block == 1) {
            v = size == 1 ? (int8_t)v : size == 2 ? (int16_t)v : size == 4 ? (int32_t)v : v;
            snprintf(room, sizeof room, v == INT64_MIN ? "-9223372036854775807 - 1" : "%" PRId64, v);
        } else snprintf(room, sizeof room, "%" PRIu64 "u", (uint64_t)v);
        str_put(s, i % 8 ? " " : "\n    ");
        str_put(s, room), str_putc(s, ',');
    }
}

static bool all_numbers(tsr_dtype t, const void *p, size_t bytes) {
    if (t == TSR_F32 || t == TSR_C64) {
        for (size_t i = 0; i < bytes / 4; i++)
            if (!isfinite(((const float *)p)[i])) return false;
    } else if (t == TSR_F64 || t == TSR_C128) {
        for (size_t i = 0; i < bytes / 8; i++)
            if (!isfinite(((const double *)p)[i])) return false;
    }
    return true;
}

static void put_array(struct str *s, const char *name, tsr_dtype t, const void *p, size_t bytes) {
    if (!all_numbers(t, p, bytes)) t = t == TSR_F32 || t == TSR_C64 ? TSR_U32 : TSR_U64;
    const char *type = t == TSR_C64 ? "vm_f32" : t == TSR_C128 ? "vm_f64" : tsr_dtype_of(t)->block > 1 ? "vm_u8"
        : emit_type(t);
    size_t size = t == TSR_C64 ? 4 : t == TSR_C128 ? 8 : tsr_dtype_of(t)->block > 1 ? 1
        : (size_t)tsr_dtype_of(t)->bytes;
    str_printf(s, "static const %s %s[%zu] TSR_ALIGNED = {", type, name, bytes ? bytes / size : 1);
    if (bytes) put_elements(s, t, p, bytes);
    else str_put(s, "0");
    str_put(s, "\n};\n");
}

static void put_constants(struct module *m, struct str *s) {
    struct module_text *t = m->text;
    for (size_t i = 0; i < m->constant.n; i++) {
        struct module_constant *k = &m->constant.v[i];
        t->constant_bytes += k->bytes;
        if (m->o->constants == MODULE_INLINE) {
            char name[160];
            snprintf(name, sizeof name, "%s_c%zu", m->o->name, i);
            put_array(s, name, k->dtype, k->p, k->bytes);
        }
    }
    if (m->o->constants != MODULE_LINKED) return;
    str_put(s, "extern const char tsr_constants[] __attribute__((visibility(\"hidden\")));\n");
    str_printf(s, "__asm__(\".section .rodata\\n.balign 64\\n.global tsr_constants\\n.hidden tsr_constants\\n\"\n"
        "    \"tsr_constants:\\n.incbin \\\"%s\\\"\\n.byte 0\\n.previous\\n\");\n", m->o->blob_path);
}

static void put_initial(struct module *m, struct str *s) {
    for (int i = 0; i < m->o->ninitial; i++) {
        char name[160];
        size_t bytes = 0;
        type_bytes(m->o->initial[i].type, &bytes);
        snprintf(name, sizeof name, "%s_i%d", m->o->name, i);
        put_array(s, name, m->o->initial[i].type->dtype, m->o->initial[i].data, bytes);
        m->text->constant_bytes += bytes;
    }
    if (!m->o->ninitial) return;
    str_printf(s, "const void *const %s_initial[%d] = {", m->o->name, m->o->ninitial);
    for (int i = 0; i < m->o->ninitial; i++) str_printf(s, "%s%s_i%d", i ? ", " : "", m->o->name, i);
    str_put(s, "};\n\n");
}

/* ---- entries ---- */

static void put_prototype(const struct module *m, struct str *s, const struct module_entry *e) {
    str_printf(s, "int %s_%s(%sconst void *const *in, void *const *out%s)", m->o->name, e->name,
        m->o->constants == MODULE_BLOB ? "const void *constants, " : "",
        m->o->symbolic ? ", void *workspace, const long long *sizes" : "");
}

/* Bounds of the symbols, then every check of every plan; a failed one gives its number from 1. */
static void put_checks(struct module *m, struct str *s) {
    int number = 1;
    str_printf(s, "static int %s_check(const vm_i64 *s) {\n    (void)s;\n", m->o->name);
    for (size_t i = 0; i < m->symbol.n; i++)
        str_printf(s, "    if (s[%zu] < %lld || s[%zu] > %lld) return %d; /* %s */\n", i,
            (long long)m->symbol.v[i]->lo, i,
            (long long)m->symbol.v[i]->hi, number++, m->symbol.v[i]->name);
    for (size_t i = 0; i < m->plan.n; i++)
        for (size_t j = 0; j < m->plan.v[i].p->check.n; j++) {
            const struct fn_check *k = &m->plan.v[i].p->check.v[j];
            str_put(s, "    if ("), module_extent(m, s, k->a), str_put(s, " != "), module_extent(m, s, k->b);
            str_printf(s, ") return %d;\n", number++);
        }
    str_put(s, "    return 0;\n}\n\n");
}

static void put_entry(struct module *m, struct str *s, const struct module_entry *e) {
    const struct module_plan *q = module_find(m, e->plan);
    put_prototype(m, s, e);
    str_put(s, " {\n");
    for (int i = 0; i < e->nsize && !m->o->symbolic; i++) {
        const tsr_type *t = e->plan->param.v[e->size[i].param];
        str_printf(s, "    if (tsr_int_at(in[%d], %lld, %d, %d) != ", e->size[i].param, (long long)e->size[i].element,
            tsr_dtype_of(t->dtype)->bytes, tsr_dtype_of(t->dtype)->kind == TSR_KIND_INT);
        module_extent(m, s, e->size[i].symbol), str_printf(s, ") return 1; /* %s */\n", e->size[i].symbol->name);
    }
    if (m->o->symbolic) {
        str_printf(s, "    const int wrong = %s_check(sizes);\n    if (wrong) return wrong;\n", m->o->name);
        str_printf(s, "    %s(in, out, (char *)workspace + (64 - (unsigned long)workspace %% 64) %% 64%s, sizes);\n",
            q->name, m->o->constants == MODULE_BLOB ? ", constants" : "");
    } else {
        str_printf(s, "    %s(in, out, (char *)%s_arena.bytes%s);\n", q->name, m->o->name,
            m->o->constants == MODULE_BLOB ? ", constants" : "");
    }
    str_put(s, "    return 0;\n}\n\n");
}

/* ---- words about it ---- */

static void put_port(struct str *s, const char *what, int i, const tsr_type *t, const char *name) {
    str_printf(s, " *     %s[%d]  ", what, i), type_print(s, t);
    str_printf(s, "%s%s\n", name && *name ? "  " : "", name && *name ? name : "");
}

static void put_entries_about(struct module *m, struct str *s, int n, const struct module_entry *entry) {
    for (int e = 0; e < n; e++) {
        str_printf(s, " *\n * %s_%s: %s\n", m->o->name, entry[e].name, entry[e].about);
        for (int i = 0; i < entry[e].nparam; i++)
            put_port(s, "in", i, entry[e].plan->param.v[i], entry[e].param_name ? entry[e].param_name[i] : NULL);
        for (int i = 0; i < entry[e].nresult; i++)
            put_port(s, "out", i, entry[e].result[i], entry[e].result_name ? entry[e].result_name[i] : NULL);
    }
}

static void put_sizes_about(struct module *m, struct str *s) {
    if (m->o->symbolic)
        for (size_t i = 0; i < m->symbol.n; i++)
            str_printf(s, "%s sizes[%zu] %s from %lld to %lld", i ? "," : " *\n * Sizes:", i, m->symbol.v[i]->name,
                (long long)m->symbol.v[i]->lo, (long long)m->symbol.v[i]->hi);
    else
        for (int i = 0; i < m->o->n; i++)
            str_printf(s, "%s %s = %lld", i ? "," : " *\n * Sizes:", m->o->b[i].symbol->name,
                (long long)m->o->b[i].value);
    if (m->o->symbolic ? m->symbol.n : (size_t)m->o->n) str_put(s, ".\n");
}

static void put_head(struct module *m, struct str *s, int n, const struct module_entry *entry) {
    struct module_text *t = m->text;
    str_printf(s, "/* %s.c: %s, written by tessera %s. Do not edit: compile the model again.\n", m->o->name,
        m->o->source,
        tsr_version());
    put_entries_about(m, s, n, entry);
    put_sizes_about(m, s);
    str_put(s, " *\n * Tensors are dense and row-major. in[] and out[] do not overlap, and neither do results. A "
        "call gives 0");
    if (m->o->symbolic)
        str_put(s, ", or\n * the number of what is wrong with the sizes. Calls may run in any number of threads, "
            "each with a "
            "workspace of its own.\n");
    else
        str_printf(s, ".\n * Memory: a static arena of %zu bytes, so one call at a time; constants: %zu bytes.\n",
            t->arena_bytes, t->constant_bytes);
    if (!m->o->symbolic) str_printf(s, " * One %s_%s: %.0f operations, %.0f bytes moved.\n", m->o->name, entry[0].name,
        t->flops, t->bytes_moved);
    if (!m->o->gnu)
        str_printf(s, " *\n * Build:  cc -std=c99 -O2 -ffp-contract=off -fno-math-errno -fno-strict-aliasing -c %s.c\n"
            " * No header and no function from outside is used (a compiler may call memcpy and memset on its own). "
                "Two\n"
            " * flags are for speed, two are needed: no contraction of a * b + c, no aliasing by type. Where the "
                "machine\n"
            " * multiplies and adds in one rounding, let the compiler know (x86-64: -mfma); else exact code does, and\n"
            " * -DTSR_FAST_FMA=1 gives some bits up for speed. */\n\n", m->o->name);
    else str_put(s, " */\n\n");
}

static void put_info(struct module *m, struct str *s, int n, const struct module_entry *entry) {
    struct str j, name;
    str_init(&j, m->c), str_init(&name, m->c);
    str_put(&j, "{\"name\":"), str_json(&j, m->o->name), str_put(&j, ",\"sizes\":[");
    for (size_t i = 0; i < m->symbol.n; i++) {
        str_printf(&j, "%s{\"name\":", i ? "," : ""), str_json(&j, m->symbol.v[i]->name);
        str_printf(&j, ",\"least\":%lld,\"most\":%lld}", (long long)m->symbol.v[i]->lo, (long long)m->symbol.v[i]->hi);
    }
    str_put(&j, "]");
    for (int pass = 0; pass < 2; pass++) {
        int count = pass ? entry[0].nresult : entry[0].nparam;
        str_printf(&j, ",\"%s\":[", pass ? "outputs" : "inputs");
        for (int i = 0; i < count; i++) {
            const tsr_type *t = pass ? entry[0].result[i] : entry[0].plan->param.v[i];
            const char *const *names = pass ? entry[0].result_name : entry[0].param_name;
            str_clear(&name), type_print(&name, t);
            str_printf(&j, "%s{\"name\":", i ? "," : ""), str_json(&j, names && names[i] ? names[i] : "");
            str_put(&j, ",\"type\":"), str_json(&j, name.s), str_putc(&j, '}');
        }
        str_putc(&j, ']');
    }
    str_putc(&j, '}');
    (void)n;
    str_printf(s, "const char *%s_info(void) {\n    return ", m->o->name), str_json(s, j.s), str_put(s, ";\n}\n");
    m->failed |= j.failed || name.failed;
    str_release(&j), str_release(&name);
}

static void put_header(struct module *m, int n, const struct module_entry *entry) {
    struct str *s = &m->text->h;
    str_printf(s, "/* %s.h: %s, compiled by tessera %s.\n", m->o->name, m->o->source, tsr_version());
    put_entries_about(m, s, n, entry);
    put_sizes_about(m, s);
    str_put(s, " *\n * Tensors are dense and row-major; in[] and out[] do not overlap. ");
    str_put(s, m->o->symbolic ? "A call gives 0, or the number of what is wrong\n * with the sizes. Thread-safe: "
        "each call has a "
        "workspace of its own, of the bytes that _workspace says\n * (0: the sizes are refused). _info describes "
            "all this as "
        "JSON. */\n" : "A call gives 0. Not reentrant: memory is a static\n * arena. */\n");
    str_printf(s, "#ifndef TSR_%s_H\n#define TSR_%s_H\n\n", m->o->name, m->o->name);
    if (m->o->symbolic) str_put(s, "#include <stddef.h>\n\n");
    str_put(s, "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n");
    for (size_t i = 0; m->o->symbolic && i < m->symbol.n; i++)
        str_printf(s, "/* sizes[%zu]: %s */\n", i, m->symbol.v[i]->name);
    if (m->o->symbolic) str_printf(s, "const char *%s_info(void);\nsize_t %s_workspace(const long long *sizes);\n",
        m->o->name, m->o->name);
    for (int i = 0; i < n; i++) put_prototype(m, s, &entry[i]), str_put(s, ";\n");
    if (m->o->ninitial)
        str_printf(s, "/* where the parameters begin: in order of the inputs of %s_run behind the first */\n"
            "extern const void *const %s_initial[%d];\n", m->o->name, m->o->name, m->o->ninitial);
    str_put(s, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
}

/* ---- the whole ---- */

static bool put_library(struct module *m, struct str *out, const char *used) {
    const char *const part[] = {m->o->gnu ? tsr_text_prelude_c : tsr_text_prelude_c99,
#define X(part) tsr_text_vmath_##part,
        VMATH_PARTS(X)
#undef X
        tsr_text_blocks, tsr_text_helpers_c, tsr_text_parts_c, tsr_text_lib_fft,
        tsr_text_lib_linalg, tsr_text_lib_eigen};
    return emit_library_put(out, m->c, sizeof part / sizeof *part, part, used);
}

static void estimate(struct module *m, const tsr_plan *p) {
    const struct module_plan *q = module_find(m, p);
    for (size_t i = 0; !m->o->symbolic && i < p->step.n; i++)
        m->text->flops += q->b.step[i].flops, m->text->bytes_moved += q->b.step[i].bytes_moved;
}

static void put_memory(struct module *m, struct str *s, int n, const struct module_entry *entry) {
    if (m->o->symbolic) {
        str_printf(s, "unsigned long %s_workspace(const long long *sizes) {\n", m->o->name);
        str_printf(s, "    return %s_check(sizes) ? 0 : (unsigned long)%s_need(sizes) + 64;\n}\n", m->o->name,
            module_find(m, entry[0].plan)->name);
        return;
    }
    for (int i = 0; i < n; i++) {
        int64_t need = module_find(m, entry[i].plan)->need;
        if ((size_t)need > m->text->arena_bytes) m->text->arena_bytes = (size_t)need;
    }
    str_printf(s, "static union {\n    unsigned char bytes[%zu];\n    vm_u64 u;\n    vm_f64 f;\n} %s_arena "
        "TSR_ALIGNED;\n\n",
        m->text->arena_bytes ? m->text->arena_bytes : 64, m->o->name);
}

static bool assemble(struct module *m, int n, const struct module_entry *entry) {
    struct str rest, used;
    struct str *out = &m->text->c;
    str_init(&rest, m->c), str_init(&used, m->c);
    if (m->o->symbolic) put_checks(m, &rest);
    put_memory(m, &rest, n, entry);
    for (int i = 0; i < n; i++) put_entry(m, &rest, &entry[i]);
    if (m->o->symbolic) put_info(m, &rest, n, entry);
    estimate(m, entry[0].plan);
    str_put(&used, "TSR_ALIGNED "), str_put(&used, m->kernels.s), str_put(&used, m->bodies.s), str_put(&used, rest.s);
    struct str constants;
    str_init(&constants, m->c);
    put_constants(m, &constants), put_initial(m, &constants);
    put_head(m, out, n, entry);
    if (!m->o->gnu) str_put(out, "#if defined(__clang__)\n#pragma STDC FP_CONTRACT OFF\n#endif\n");
    bool ok = !used.failed && put_library(m, out, used.s);
    str_put(out, "\n/* ---- constants ---- */\n\n"), str_put(out, constants.s);
    str_put(out, "\n/* ---- kernels ---- */\n\n"), str_put(out, m->kernels.s);
    str_put(out, "/* ---- plans ---- */\n\n"), str_put(out, m->bodies.s);
    str_put(out, "/* ---- entries ---- */\n\n"), str_put(out, rest.s);
    put_header(m, n, entry);
    ok = ok && !rest.failed && !constants.failed && !out->failed && !m->text->h.failed && !m->failed;
    str_release(&rest), str_release(&used), str_release(&constants);
    return ok;
}

static bool list_symbols(struct module *m, const tsr_plan *p) {
    for (size_t i = 0; i < p->symbol.n; i++) {
        bool known = false;
        for (size_t j = 0; j < m->symbol.n && !known; j++) known = m->symbol.v[j] == p->symbol.v[i];
        if (!known && !vec_push(m->c, &m->symbol, p->symbol.v[i])) return false;
    }
    return true;
}

/* Every symbol has a value where sizes are constants. */
static bool check_values(struct module *m) {
    for (size_t i = 0; i < m->symbol.n && !m->o->symbolic; i++) {
        bool has = false;
        for (int j = 0; j < m->o->n && !has; j++) has = m->o->b[j].symbol == m->symbol.v[i];
        if (!has) return err_set(m->c, TSR_EINVAL, "%s: a C file has a static arena, so size %s must be a number: "
            "--size %s=N (engine files and shared objects keep it open)", m->o->name, m->symbol.v[i]->name,
            m->symbol.v[i]->name), false;
    }
    return true;
}

static bool fill_blob(struct module *m) {
    static const char zero[64];
    for (size_t i = 0; i < m->constant.n && m->o->constants != MODULE_INLINE; i++) {
        str_putn(&m->text->blob, m->constant.v[i].p, m->constant.v[i].bytes);
        str_putn(&m->text->blob, zero, (64 - m->constant.v[i].bytes % 64) % 64);
    }
    return !m->text->blob.failed;
}

static void module_release(struct module *m) {
    for (size_t i = 0; i < m->plan.n; i++) {
        plan_binding_release(&m->plan.v[i].b);
        vec_release(m->c, &m->plan.v[i].pool_size), vec_release(m->c, &m->plan.v[i].pool_of);
    }
    vec_release(m->c, &m->kernel), vec_release(m->c, &m->plan), vec_release(m->c, &m->constant);
    vec_release(m->c, &m->constant_of), vec_release(m->c, &m->symbol);
    str_release(&m->kernels), str_release(&m->bodies);
    arena_release(&m->mem);
}

tsr_status module_write(tsr_ctx *c, int n, const struct module_entry *entry, const struct module_opts *o,
    struct module_text *out) {
    struct module m = {.c = c, .o = o, .text = out};
    arena_init(&m.mem, c);
    str_init(&m.kernels, c), str_init(&m.bodies, c);
    bool ok = true;
    for (int i = 0; ok && i < n; i++) ok = list_symbols(&m, entry[i].plan);
    ok = ok && check_values(&m);
    for (int i = 0; ok && i < n; i++) ok = module_plan_write(&m, entry[i].plan);
    out->kernels = (int)m.kernel.n;
    ok = ok && assemble(&m, n, entry) && fill_blob(&m) && !m.failed && !m.kernels.failed && !m.bodies.failed;
    module_release(&m);
    if (ok) return TSR_OK;
    return err_any(c) ? tsr_error_status(c) : err_set(c, TSR_ENOMEM, "%s: no memory for the text", o->name);
}
