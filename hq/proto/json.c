#include "hq/proto/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

json_t *np_json_load(const char *text, size_t len)
{
    json_t *object = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    if (object && !json_is_object(object)) {
        json_decref(object);
        return NULL;
    }
    return object;
}

int np_json_dump_take(json_t *object, char **out_json)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (!text)
        return -ENOMEM;
    *out_json = text;
    return 0;
}

void np_json_fail(struct np_json_in *in, const char *member, int rc)
{
    if (in->rc)
        return;
    in->rc = rc;
    if (in->error)
        snprintf(in->error->member, sizeof in->error->member, "%s", member);
}

json_t *np_json_member(struct np_json_in *in, const char *member, int type)
{
    if (in->rc)
        return NULL;
    json_t *value = json_object_get(in->object, member);
    if (!value) {
        np_json_fail(in, member, NP_E_MISSING);
        return NULL;
    }
    if (type >= 0 && (int)json_typeof(value) != type) {
        np_json_fail(in, member, NP_E_TYPE);
        return NULL;
    }
    return value;
}

void np_json_text(struct np_json_in *in, const char *member, char *out, size_t size)
{
    json_t *value = np_json_member(in, member, JSON_STRING);
    if (!value)
        return;
    size_t len = json_string_length(value);
    const char *text = json_string_value(value);
    if (len >= size) {
        np_json_fail(in, member, NP_E_LIMIT);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e) {
            np_json_fail(in, member, NP_E_MALFORMED);
            return;
        }
    }
    memcpy(out, text, len);
    out[len] = 0;
}

void np_json_text_optional(struct np_json_in *in, const char *member, char *out, size_t size)
{
    if (json_object_get(in->object, member))
        np_json_text(in, member, out, size);
    else
        out[0] = 0;
}

void np_json_int(struct np_json_in *in, const char *member, int64_t min, int64_t max, int64_t *out)
{
    json_t *value = np_json_member(in, member, JSON_INTEGER);
    if (!value)
        return;
    json_int_t number = json_integer_value(value);
    if (number < min || number > max)
        np_json_fail(in, member, NP_E_LIMIT);
    else
        *out = number;
}

void np_json_bytes(struct np_json_in *in, const char *member, uint8_t *out, size_t size)
{
    json_t *value = np_json_member(in, member, JSON_STRING);
    if (!value)
        return;
    long n = np_base64url_decode(json_string_value(value), json_string_length(value), out, size);
    if (n != (long)size)
        np_json_fail(in, member, NP_E_MALFORMED);
}

json_t *np_json_base64url(const uint8_t *data, size_t len)
{
    char text[NP_BASE64URL_LEN(NP_CSR_MAX)];
    if (len > NP_CSR_MAX)
        return NULL;
    size_t n = np_base64url_encode(data, len, text);
    json_t *value = json_stringn(text, n);
    np_wipe(text, sizeof text); /* tokens pass through here */
    return value;
}
