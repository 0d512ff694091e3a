/* The messages of an enrolment. */
#include <string.h>

#include "hq/proto/members.h"
#include "resolver/base/error.h"

int np_enrol_request_encode(const struct np_enrol_request *m, char **out_json)
{
    json_t *object = json_pack("{s:o,s:o,s:o,s:o,s:s,s:s,s:s}", "epoch", np_json_base64url(m->epoch, sizeof m->epoch),
                               "token", np_json_base64url(m->token, sizeof m->token), "credential",
                               np_message_pack_credential(&m->credential), "addresses",
                               np_message_pack_addresses(&m->addresses), "model", m->model, "version", m->version,
                               "publish", m->publish == NP_PUBLISH_LOCAL_ONLY ? "local-only" : "public");
    if (object && m->grant[0] && json_object_set_new(object, "grant", json_string(m->grant))) {
        json_decref(object);
        object = NULL;
    }
    return np_json_dump_take(object, out_json);
}

static void enrol_request_members(struct np_json_in *in, void *out)
{
    struct np_enrol_request *m = out;
    char publish[16] = "";
    np_json_bytes(in, "epoch", m->epoch, sizeof m->epoch);
    np_json_bytes(in, "token", m->token, sizeof m->token);
    np_message_credential(in, &m->credential);
    np_json_text_optional(in, "grant", m->grant, sizeof m->grant);
    np_message_nested_addresses(in, "addresses", &m->addresses);
    np_json_text(in, "model", m->model, sizeof m->model);
    np_json_text(in, "version", m->version, sizeof m->version);
    np_json_text(in, "publish", publish, sizeof publish);
    if (in->rc)
        return;
    if (strcmp(publish, "local-only") == 0)
        m->publish = NP_PUBLISH_LOCAL_ONLY;
    else if (strcmp(publish, "public") == 0)
        m->publish = NP_PUBLISH_PUBLIC;
    else
        np_json_fail(in, "publish", NP_E_UNKNOWN);
}

int np_enrol_request_parse(const char *json, size_t len, struct np_enrol_request *out, struct np_message_error *error)
{
    struct np_enrol_request m = {0};
    int rc = np_message_parse(json, len, error, enrol_request_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_enrol_answer_encode(const struct np_enrol_answer *m, char **out_json)
{
    struct np_enrol_answer copy = *m; /* the packers take writable rows */
    json_t *object =
        json_pack("{s:s,s:I,s:I,s:o,s:o,s:s,s:{s:I,s:I,s:I},s:I}", "device", m->device, "ttl", (json_int_t)m->ttl_s,
                  "seq", (json_int_t)m->seq, "seed", np_json_base64url(m->seed, sizeof m->seed), "nameservers",
                  np_message_pack_names(copy.nameservers, m->nameserver_count), "grant", m->grant, "intervals", "poll",
                  (json_int_t)m->poll_s, "checkin", (json_int_t)m->checkin_s, "boot_jitter",
                  (json_int_t)m->boot_jitter_s, "time", (json_int_t)m->time_s);
    if (object && np_message_pack_name_members(object, &m->names)) {
        json_decref(object);
        object = NULL;
    }
    return np_json_dump_take(object, out_json);
}

static void enrol_answer_members(struct np_json_in *in, void *out)
{
    struct np_enrol_answer *m = out;
    np_message_id(in, "device", m->device);
    np_message_name_members(in, &m->names);
    np_json_int(in, "ttl", 1, 86400, &m->ttl_s);
    np_json_int(in, "seq", 0, NP_MESSAGE_SEQ_MAX, &m->seq);
    np_json_bytes(in, "seed", m->seed, sizeof m->seed);
    np_message_names(in, "nameservers", m->nameservers, NP_NAMESERVERS_MAX, &m->nameserver_count);
    np_json_text(in, "grant", m->grant, sizeof m->grant);
    np_json_int(in, "time", 0, NP_MESSAGE_SECONDS_MAX, &m->time_s);
    np_message_intervals(in, &m->poll_s, &m->checkin_s, &m->boot_jitter_s);
}

int np_enrol_answer_parse(const char *json, size_t len, struct np_enrol_answer *out, struct np_message_error *error)
{
    struct np_enrol_answer m = {0};
    int rc = np_message_parse(json, len, error, enrol_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}
