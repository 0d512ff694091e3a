/* The messages about a device's names, and the members that an enrolment shares with them. */
#include <string.h>

#include "hq/proto/members.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

int np_message_pack_name_members(json_t *object, const struct np_names *names)
{
    struct np_names copy = *names; /* the packers take writable rows */
    int rc = json_object_set_new(object, "name", json_string(names->name));
    rc |= json_object_set_new(object, "san", np_message_pack_names(copy.san, names->san_count));
    if (names->wanted[0])
        rc |= json_object_set_new(object, "wanted", json_string(names->wanted));
    if (names->old[0])
        rc |= json_object_set_new(object, "old",
                                  json_pack("{s:s,s:I}", "name", names->old, "until", (json_int_t)names->old_until_s));
    return rc ? -1 : 0;
}

static void read_old(struct np_json_in *in, struct np_names *out)
{
    json_t *old = in->rc ? NULL : json_object_get(in->object, "old");
    if (!old || json_is_null(old))
        return;
    if (!json_is_object(old)) {
        np_json_fail(in, "old", NP_E_TYPE);
        return;
    }
    struct np_json_in inner = {old, 0, in->error};
    np_message_hostname(&inner, "name", out->old);
    np_json_int(&inner, "until", 0, NP_MESSAGE_SECONDS_MAX, &out->old_until_s);
    if (inner.rc)
        in->rc = inner.rc;
}

void np_message_name_members(struct np_json_in *in, struct np_names *out)
{
    np_message_hostname(in, "name", out->name);
    np_message_names(in, "san", out->san, NP_SAN_MAX, &out->san_count);
    if (in->rc == 0 && out->san_count == 0)
        np_json_fail(in, "san", NP_E_MALFORMED);
    if (in->rc == 0 && json_object_get(in->object, "wanted"))
        np_message_hostname(in, "wanted", out->wanted);
    read_old(in, out);
}

int np_name_request_encode(const struct np_name_request *m, char **out_json)
{
    json_t *object = json_object();
    int rc = object ? 0 : -1;
    if (rc == 0 && m->name[0])
        rc = json_object_set_new(object, "name", json_string(m->name));
    if (rc == 0 && m->check)
        rc = json_object_set_new(object, "check", json_true());
    if (rc == 0 && m->grant[0])
        rc = json_object_set_new(object, "grant", json_string(m->grant));
    if (rc) {
        json_decref(object);
        object = NULL;
    }
    return np_json_dump_take(object, out_json);
}

static void name_request_members(struct np_json_in *in, void *out)
{
    struct np_name_request *m = out;
    np_json_text_optional(in, "name", m->name, sizeof m->name);
    np_json_text_optional(in, "grant", m->grant, sizeof m->grant);
    const json_t *check = in->rc ? NULL : json_object_get(in->object, "check");
    if (check && !json_is_boolean(check))
        np_json_fail(in, "check", NP_E_TYPE);
    m->check = json_is_true(check);
}

int np_name_request_parse(const char *json, size_t len, struct np_name_request *out, struct np_message_error *error)
{
    struct np_name_request m = {.check = false};
    int rc = np_message_parse(json, len, error, name_request_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

static json_t *pack_offer(const struct np_name_offer *offer)
{
    json_t *sentences = json_array();
    for (size_t i = 0; sentences && i < offer->public_count; i++) {
        if (json_array_append_new(sentences, json_string(offer->becomes_public[i]))) {
            json_decref(sentences);
            sentences = NULL;
        }
    }
    return json_pack("{s:s,s:I,s:o}", "name", offer->name, "until", (json_int_t)offer->until_s, "public", sentences);
}

int np_name_answer_encode(const struct np_name_answer *m, char **out_json)
{
    json_t *object = json_pack("{s:s,s:I}", "grant", m->grant, "time", (json_int_t)m->time_s);
    int rc = object ? np_message_pack_name_members(object, &m->names) : -1;
    if (rc == 0 && m->offer.name[0])
        rc = json_object_set_new(object, "offer", pack_offer(&m->offer));
    if (rc) {
        json_decref(object);
        object = NULL;
    }
    return np_json_dump_take(object, out_json);
}

/* Sentences for a person: what does not fit or is no printable ASCII is an error of HQ's. */
static void read_sentences(struct np_json_in *in, struct np_name_offer *out)
{
    json_t *array = np_json_member(in, "public", JSON_ARRAY);
    size_t count = array ? json_array_size(array) : 0;
    if (count > NP_PUBLIC_MAX) {
        np_json_fail(in, "public", NP_E_LIMIT);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (!text || strlen(text) > NP_PUBLIC_LEN) {
            np_json_fail(in, "public", text ? NP_E_LIMIT : NP_E_TYPE);
            return;
        }
        np_text_sanitize(text, out->becomes_public[i], sizeof out->becomes_public[i]);
    }
    out->public_count = count;
}

static void read_offer(struct np_json_in *in, struct np_name_offer *out)
{
    json_t *offer = in->rc ? NULL : json_object_get(in->object, "offer");
    if (!offer)
        return;
    if (!json_is_object(offer)) {
        np_json_fail(in, "offer", NP_E_TYPE);
        return;
    }
    struct np_json_in inner = {offer, 0, in->error};
    np_message_hostname(&inner, "name", out->name);
    np_json_int(&inner, "until", 0, NP_MESSAGE_SECONDS_MAX, &out->until_s);
    read_sentences(&inner, out);
    if (inner.rc)
        in->rc = inner.rc;
}

static void name_answer_members(struct np_json_in *in, void *out)
{
    struct np_name_answer *m = out;
    np_message_name_members(in, &m->names);
    np_json_text(in, "grant", m->grant, sizeof m->grant);
    read_offer(in, &m->offer);
    np_json_int(in, "time", 0, NP_MESSAGE_SECONDS_MAX, &m->time_s);
}

int np_name_answer_parse(const char *json, size_t len, struct np_name_answer *out, struct np_message_error *error)
{
    struct np_name_answer m = {.time_s = 0};
    int rc = np_message_parse(json, len, error, name_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}
