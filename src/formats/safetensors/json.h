/* json.h: the few words of JSON (RFC 8259) that a safetensors header is made of: strings, unsigned integers, and the
 * punctuation between them. No values of any other kind, no nesting beyond what the caller asks for, so nothing here
 * recurses. */
#ifndef FORMATS_SAFETENSORS_JSON_H
#define FORMATS_SAFETENSORS_JSON_H

#include "base/vec.h"

struct json {
    tsr_ctx *c;
    const char *name; /* the file, for messages */
    const uint8_t *start, *p, *end;
    struct str text;  /* the last string */
};
void json_init(struct json *j, tsr_ctx *c, const char *name, const uint8_t *p, size_t n);
void json_release(struct json *j);
tsr_status json_error(struct json *j, const char *fmt, ...) TSR_PRINTF(2, 3); /* says at which byte of the header */
bool json_peek(struct json *j, char ch);         /* after white space, is ch next? it is then taken */
tsr_status json_expect(struct json *j, char ch);
tsr_status json_string(struct json *j);          /* into j->text: UTF-8, without NUL */
tsr_status json_uint(struct json *j, uint64_t *out);
tsr_status json_end(struct json *j);             /* nothing but white space is left */

#endif
