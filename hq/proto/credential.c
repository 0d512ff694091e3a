/* The credential of an enrolment. */
#include <string.h>

#include "hq/proto/members.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static const char *const names[] = {
#define NP_CREDENTIAL_NAME(name, text) text,
    NP_CREDENTIAL_MAP(NP_CREDENTIAL_NAME)
#undef NP_CREDENTIAL_NAME
};

const char *np_credential_name(enum np_credential_type type)
{
    return (size_t)type < sizeof names / sizeof *names ? names[type] : "?";
}

int np_credential_parse(const char *word, enum np_credential_type *out_type)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(word, names[i]) != 0)
            continue;
        *out_type = (enum np_credential_type)i;
        return 0;
    }
    return NP_E_UNKNOWN;
}

/* An array of base64url texts. */
static json_t *pack_chain(const struct np_credential *credential)
{
    char text[NP_BASE64URL_LEN(NP_CREDENTIAL_CERT_MAX)];
    json_t *array = json_array();
    size_t at = 0;
    for (size_t i = 0; array && i < credential->certificate_count; i++) {
        size_t n = np_base64url_encode(credential->chain + at, credential->certificate_len[i], text);
        at += credential->certificate_len[i];
        if (json_array_append_new(array, json_stringn(text, n))) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

json_t *np_message_pack_credential(const struct np_credential *credential)
{
    const char *type = np_credential_name(credential->type);
    switch (credential->type) {
    case NP_CREDENTIAL_OPEN:
        break;
    case NP_CREDENTIAL_FACTORY_SECRET:
        return json_pack("{s:s,s:s,s:o}", "type", type, "serial", credential->serial, "mac",
                         np_json_base64url(credential->mac, sizeof credential->mac));
    case NP_CREDENTIAL_CLAIM_CODE:
        return json_pack("{s:s,s:s}", "type", type, "code", credential->code);
    case NP_CREDENTIAL_FACTORY_CERTIFICATE:
        return json_pack("{s:s,s:o,s:o}", "type", type, "chain", pack_chain(credential), "signature",
                         np_json_base64url(credential->signature, sizeof credential->signature));
    }
    if (credential->serial[0])
        return json_pack("{s:s,s:s}", "type", type, "serial", credential->serial);
    return json_pack("{s:s}", "type", type);
}

static void read_chain(struct np_json_in *in, struct np_credential *out)
{
    json_t *array = np_json_member(in, "chain", JSON_ARRAY);
    size_t count = json_array_size(array), at = 0;
    if (!array)
        return;
    if (count == 0 || count > NP_CREDENTIAL_CERTS_MAX) {
        np_json_fail(in, "chain", NP_E_LIMIT);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        json_t *item = json_array_get(array, i);
        size_t room = sizeof out->chain - at < NP_CREDENTIAL_CERT_MAX ? sizeof out->chain - at : NP_CREDENTIAL_CERT_MAX;
        if (!json_is_string(item)) {
            np_json_fail(in, "chain", NP_E_TYPE);
            return;
        }
        long n = np_base64url_decode(json_string_value(item), json_string_length(item), out->chain + at, room);
        if (n <= 0) {
            np_json_fail(in, "chain", n ? (int)n : NP_E_MALFORMED);
            return;
        }
        out->certificate_len[i] = (size_t)n;
        at += (size_t)n;
    }
    out->certificate_count = count;
}

static void read_members(struct np_json_in *in, struct np_credential *out)
{
    switch (out->type) {
    case NP_CREDENTIAL_OPEN:
        np_json_text_optional(in, "serial", out->serial, sizeof out->serial);
        return;
    case NP_CREDENTIAL_FACTORY_SECRET:
        np_json_text(in, "serial", out->serial, sizeof out->serial);
        np_json_bytes(in, "mac", out->mac, sizeof out->mac);
        if (in->rc == 0 && out->serial[0] == 0)
            np_json_fail(in, "serial", NP_E_MALFORMED);
        return;
    case NP_CREDENTIAL_CLAIM_CODE:
        np_json_text(in, "code", out->code, sizeof out->code);
        return;
    case NP_CREDENTIAL_FACTORY_CERTIFICATE:
        read_chain(in, out);
        np_json_bytes(in, "signature", out->signature, sizeof out->signature);
        return;
    }
}

void np_message_credential(struct np_json_in *in, struct np_credential *out)
{
    char type[32] = "";
    json_t *object = np_json_member(in, "credential", JSON_OBJECT);
    if (!object)
        return;
    struct np_json_in inner = {object, 0, in->error};
    np_json_text(&inner, "type", type, sizeof type);
    if (inner.rc == 0 && np_credential_parse(type, &out->type))
        np_json_fail(&inner, "credential", NP_E_UNKNOWN);
    if (inner.rc == 0)
        read_members(&inner, out);
    if (inner.rc)
        in->rc = inner.rc; /* the member's name is already there */
}
