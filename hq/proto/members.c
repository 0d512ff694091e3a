#include "hq/proto/members.h"

#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

int np_message_parse(const char *json, size_t len, struct np_message_error *error, np_message_members_fn *members,
                     void *out)
{
    if (error)
        error->member[0] = 0;
    json_t *object = np_json_load(json, len);
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, error};
    members(&in, out);
    json_decref(object);
    return in.rc;
}

bool np_addresses_equal(const struct np_addresses *a, const struct np_addresses *b)
{
    if (a->v4_count != b->v4_count || a->v6_count != b->v6_count)
        return false;
    for (size_t i = 0; i < a->v4_count; i++) {
        if (!np_addr_equal(&a->v4[i], &b->v4[i]))
            return false;
    }
    for (size_t i = 0; i < a->v6_count; i++) {
        if (!np_addr_equal(&a->v6[i], &b->v6[i]))
            return false;
    }
    return true;
}

json_t *np_message_pack_list(const struct np_addr *list, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++) {
        char text[NP_ADDR_TEXT_MAX];
        if (json_array_append_new(array, json_string(np_addr_format(&list[i], text)))) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

static void parse_list(struct np_json_in *in, const char *member, int family, struct np_addr *list, size_t max,
                       size_t *out_count)
{
    json_t *array = np_json_member(in, member, JSON_ARRAY);
    if (!array)
        return;
    size_t count = json_array_size(array);
    if (count > max) {
        np_json_fail(in, member, NP_E_LIMIT);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (!text || strchr(text, '%') || np_addr_parse(text, &list[i]) || list[i].family != family) {
            np_json_fail(in, member, text ? NP_E_MALFORMED : NP_E_TYPE);
            return;
        }
    }
    *out_count = count;
}

void np_message_addresses(struct np_json_in *in, struct np_addresses *out)
{
    parse_list(in, "v4", AF_INET, out->v4, NP_WIRE_V4_MAX, &out->v4_count);
    parse_list(in, "v6", AF_INET6, out->v6, NP_WIRE_V6_MAX, &out->v6_count);
}

json_t *np_message_pack_addresses(const struct np_addresses *addresses)
{
    return json_pack("{s:o,s:o}", "v4", np_message_pack_list(addresses->v4, addresses->v4_count), "v6",
                     np_message_pack_list(addresses->v6, addresses->v6_count));
}

void np_message_nested_addresses(struct np_json_in *in, const char *member, struct np_addresses *out)
{
    json_t *object = np_json_member(in, member, JSON_OBJECT);
    if (!object)
        return;
    struct np_json_in inner = {object, 0, in->error};
    np_message_addresses(&inner, out);
    if (inner.rc)
        np_json_fail(in, member, inner.rc);
}

json_t *np_message_pack_names(char names[][NP_NAME_MAX + 1], size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++) {
        if (json_array_append_new(array, json_string(names[i]))) {
            json_decref(array);
            array = NULL;
        }
    }
    return array;
}

void np_message_names(struct np_json_in *in, const char *member, char names[][NP_NAME_MAX + 1], size_t max,
                      size_t *out_count)
{
    json_t *array = np_json_member(in, member, JSON_ARRAY);
    if (!array)
        return;
    size_t count = json_array_size(array);
    if (count > max) {
        np_json_fail(in, member, NP_E_LIMIT);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        /* A wildcard is a name in a certificate; elsewhere the caller's own check refuses it. */
        if (!text || !np_is_hostname(strncmp(text, "*.", 2) == 0 ? text + 2 : text) || strlen(text) > NP_NAME_MAX) {
            np_json_fail(in, member, text ? NP_E_MALFORMED : NP_E_TYPE);
            return;
        }
        memcpy(names[i], text, strlen(text) + 1);
    }
    *out_count = count;
}

void np_message_hostname(struct np_json_in *in, const char *member, char out[NP_NAME_MAX + 1])
{
    np_json_text(in, member, out, NP_NAME_MAX + 1);
    if (in->rc == 0 && !np_is_hostname(out))
        np_json_fail(in, member, NP_E_MALFORMED);
}

void np_message_id(struct np_json_in *in, const char *member, char out[NP_DEVICE_ID_MAX + 1])
{
    np_json_text(in, member, out, NP_DEVICE_ID_MAX + 1);
    if (in->rc == 0) {
        for (const char *p = out; *p; p++) {
            /* An id goes into a URL's path: nothing that a URL gives a meaning to. */
            if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", *p)) {
                np_json_fail(in, member, NP_E_MALFORMED);
                return;
            }
        }
        if (out[0] == 0)
            np_json_fail(in, member, NP_E_MALFORMED);
    }
}

void np_message_intervals(struct np_json_in *in, int64_t *out_poll_s, int64_t *out_checkin_s, int64_t *out_jitter_s)
{
    json_t *intervals = np_json_member(in, "intervals", JSON_OBJECT);
    if (!intervals)
        return;
    struct np_json_in inner = {intervals, 0, in->error};
    np_json_int(&inner, "poll", 1, 86400, out_poll_s);
    np_json_int(&inner, "checkin", 60, 30 * 86400, out_checkin_s);
    np_json_int(&inner, "boot_jitter", 0, 86400, out_jitter_s);
    if (inner.rc)
        in->rc = inner.rc;
}

void np_message_life(struct np_json_in *in, struct np_life *out)
{
    out->told = !in->rc && json_object_get(in->object, "life") != NULL;
    if (out->told)
        np_json_bytes(in, "life", out->bytes, sizeof out->bytes);
}

int np_message_pack_life(json_t *object, const struct np_life *life)
{
    if (!life->told)
        return 0;
    return json_object_set_new(object, "life", np_json_base64url(life->bytes, sizeof life->bytes));
}
