/* pretty.c: the table of forms, and the cutting of a format into its items. What the items mean is in pretty.h. */
#include "formats/stablehlo/pretty.h"

#include <string.h>

static const char *const format_of[] = {
#define HLO_FORM(name, format) format,
#include "formats/stablehlo/pretty.def"
#undef HLO_FORM
};

const char *hlo_form_format(enum hlo_form form) { return format_of[form]; }

static const struct {
    const char *word;
    size_t n;
} directive[] = {
#define X(NAME, word) {word, sizeof word - 1},
    HLO_DIRECTIVE_LIST(X)
#undef X
};

static bool is_word(char ch) { return (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '_'; }

static size_t word_length(const char *p) {
    size_t n = 0;
    while (is_word(p[n])) n++;
    return n;
}

/* The directive whose name begins at p, after its '$'. */
static struct hlo_item named(const char **at, const char *p) {
    size_t n = word_length(p);
    struct hlo_item it = {.kind = HLO_F_END};
    for (size_t i = 0; i < sizeof directive / sizeof *directive; i++)
        if (directive[i].n == n && memcmp(directive[i].word, p, n) == 0)
            it.kind = (enum hlo_directive)(HLO_F_CLOSE + 1 + i);
    if (it.kind == HLO_F_END) TSR_BUG("format: unknown directive '%s'", p);
    p += n;
    if (*p == '.') it.text = ++p, it.n = word_length(p), p += it.n;
    *at = p;
    return it;
}

struct hlo_item hlo_format_next(const char **at) {
    const char *p = *at;
    if (*p == '\0') return (struct hlo_item){.kind = HLO_F_END};
    if (*p != '$') {
        size_t n = strcspn(p, "$");
        *at = p + n;
        return (struct hlo_item){.kind = HLO_F_TEXT, .text = p, .n = n};
    }
    p++;
    if (*p >= '0' && *p <= '9') return *at = p + 1, (struct hlo_item){.kind = HLO_F_OPERAND, .operand = *p - '0'};
    if (*p == '(') return *at = p + 1, (struct hlo_item){.kind = HLO_F_OPEN};
    if (*p == ')') return *at = p + 1, (struct hlo_item){.kind = HLO_F_CLOSE};
    if (*p == '*' && p[1] == ',') return *at = p + 2, (struct hlo_item){.kind = HLO_F_REST_COMMA};
    if (*p == '*') return *at = p + 1, (struct hlo_item){.kind = HLO_F_REST};
    return named(at, p);
}

/* The attributes that directives without an attribute's name stand for. */
static const struct {
    enum hlo_directive kind;
    const char *name[5];
} meant[] = {
    {HLO_F_SLICE, {"start_indices", "limit_indices", "strides"}},
    {HLO_F_DOT, {"dot_dimension_numbers"}},
    {HLO_F_PRECISION, {"precision_config", "algorithm"}},
    {HLO_F_CONV, {"dimension_numbers"}},
    {HLO_F_WINDOW, {"window_strides", "padding", "lhs_dilation", "rhs_dilation", "window_reversal"}},
    {HLO_F_FORMAT, {"exponent_bits", "mantissa_bits"}},
};

static bool item_writes(struct hlo_item it, const char *name) {
    if (it.kind == HLO_F_TEXT) return false;
    if (it.text) return strlen(name) == it.n && memcmp(it.text, name, it.n) == 0;
    for (size_t i = 0; i < sizeof meant / sizeof *meant; i++)
        for (size_t k = 0; meant[i].kind == it.kind && k < 5 && meant[i].name[k]; k++)
            if (strcmp(meant[i].name[k], name) == 0) return true;
    return false;
}

bool hlo_form_writes(enum hlo_form form, const char *name) {
    const char *at = format_of[form];
    for (struct hlo_item it = hlo_format_next(&at); it.kind != HLO_F_END; it = hlo_format_next(&at))
        if (item_writes(it, name)) return true;
    return false;
}
