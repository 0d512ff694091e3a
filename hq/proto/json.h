/* json: jansson with the checks that every message needs, for the codecs in hq/proto and hq/acme.
 *
 * A struct np_json_in walks one JSON object: getters for required and optional members set the sticky rc and the
 * member's name on the first error, so that a parser is a straight list of getters and one check at the end. */
#ifndef HQ_PROTO_JSON_H
#define HQ_PROTO_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/proto/message.h"

/* An object being read. object is borrowed. */
struct np_json_in {
    json_t *object;
    int rc;
    struct np_message_error *error;
};

/* Parses text as one JSON object, refusing duplicate members. NULL on any error. The caller releases it with
 * json_decref. */
json_t *np_json_load(const char *text, size_t len);

/* Serialises, compact, and releases the object. 0 or -ENOMEM (also when object is NULL). */
int np_json_dump_take(json_t *object, char **out_json);

/* Sets the sticky error. */
void np_json_fail(struct np_json_in *in, const char *member, int rc);

/* A required string of at most size - 1 printable ASCII characters. */
void np_json_text(struct np_json_in *in, const char *member, char *out, size_t size);

/* Like np_json_text, but an absent member leaves out empty. */
void np_json_text_optional(struct np_json_in *in, const char *member, char *out, size_t size);

/* A required integer from min to max. */
void np_json_int(struct np_json_in *in, const char *member, int64_t min, int64_t max, int64_t *out);

/* A required base64url string that gives exactly size bytes. */
void np_json_bytes(struct np_json_in *in, const char *member, uint8_t *out, size_t size);

/* A required member of any kind, borrowed; NULL after an error. type -1: any. */
json_t *np_json_member(struct np_json_in *in, const char *member, int type);

/* A JSON string of bytes in base64url; NULL when out of memory. */
json_t *np_json_base64url(const uint8_t *data, size_t len);

#endif
