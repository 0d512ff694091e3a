/* The messages of CSR, package, addresses and session, and problems. */
#include "hq/proto/message.h"

#include <stdio.h>
#include <string.h>

#include "hq/proto/members.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define PROBLEM_URN "urn:nameplate:problem:"

/* CSR and package */

int np_csr_request_encode(const struct np_csr_request *m, char **out_json)
{
    return np_json_dump_take(json_pack("{s:o}", "csr", np_json_base64url(m->csr, m->csr_len)), out_json);
}

static void csr_request_members(struct np_json_in *in, void *out)
{
    struct np_csr_request *m = out;
    json_t *value = np_json_member(in, "csr", JSON_STRING);
    if (!value)
        return;
    long n = np_base64url_decode(json_string_value(value), json_string_length(value), m->csr, sizeof m->csr);
    if (n <= 0)
        np_json_fail(in, "csr", n == 0 ? NP_E_MALFORMED : (int)n);
    else
        m->csr_len = (size_t)n;
}

int np_csr_request_parse(const char *json, size_t len, struct np_csr_request *out, struct np_message_error *error)
{
    struct np_csr_request m = {0};
    int rc = np_message_parse(json, len, error, csr_request_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_csr_answer_encode(const struct np_csr_answer *m, char **out_json)
{
    return np_json_dump_take(json_pack("{s:s,s:I,s:I,s:I}", "order", m->order, "eta", (json_int_t)m->eta_s, "position",
                                       (json_int_t)m->position, "time", (json_int_t)m->time_s),
                             out_json);
}

static void csr_answer_members(struct np_json_in *in, void *out)
{
    struct np_csr_answer *m = out;
    np_message_id(in, "order", m->order);
    np_json_int(in, "eta", 0, NP_MESSAGE_SECONDS_MAX, &m->eta_s);
    np_json_int(in, "position", 0, NP_MESSAGE_SEQ_MAX, &m->position);
    np_json_int(in, "time", 0, NP_MESSAGE_SECONDS_MAX, &m->time_s);
}

int np_csr_answer_parse(const char *json, size_t len, struct np_csr_answer *out, struct np_message_error *error)
{
    struct np_csr_answer m = {0};
    int rc = np_message_parse(json, len, error, csr_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_pending_answer_encode(const struct np_pending_answer *m, char **out_json)
{
    json_t *object = json_pack("{s:s,s:I,s:I,s:I}", "state", m->state, "eta", (json_int_t)m->eta_s, "position",
                               (json_int_t)m->position, "time", (json_int_t)m->time_s);
    if (object && m->order[0])
        json_object_set_new(object, "order", json_string(m->order));
    return np_json_dump_take(object, out_json);
}

static void pending_answer_members(struct np_json_in *in, void *out)
{
    struct np_pending_answer *m = out;
    np_json_text(in, "state", m->state, sizeof m->state);
    np_json_text_optional(in, "order", m->order, sizeof m->order);
    np_json_int(in, "eta", 0, NP_MESSAGE_SECONDS_MAX, &m->eta_s);
    if (json_object_get(in->object, "position")) /* an older HQ says none */
        np_json_int(in, "position", 0, NP_MESSAGE_SECONDS_MAX, &m->position);
    np_json_int(in, "time", 0, NP_MESSAGE_SECONDS_MAX, &m->time_s);
}

int np_pending_answer_parse(const char *json, size_t len, struct np_pending_answer *out, struct np_message_error *error)
{
    struct np_pending_answer m = {0};
    int rc = np_message_parse(json, len, error, pending_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_package_answer_encode(const struct np_package_answer *m, char **out_json)
{
    return np_json_dump_take(json_pack("{s:s,s:o,s:I,s:I}", "chain", m->chain, "auth_token",
                                       np_json_base64url(m->auth_token, sizeof m->auth_token), "n", (json_int_t)m->n,
                                       "time", (json_int_t)m->time_s),
                             out_json);
}

static void package_answer_members(struct np_json_in *in, void *out)
{
    struct np_package_answer *m = out;
    json_t *chain = np_json_member(in, "chain", JSON_STRING);
    if (!chain)
        return;
    size_t len = json_string_length(chain);
    if (len > NP_CHAIN_MAX || len == 0 || strlen(json_string_value(chain)) != len) {
        np_json_fail(in, "chain", len > NP_CHAIN_MAX ? NP_E_LIMIT : NP_E_MALFORMED);
        return;
    }
    memcpy(m->chain, json_string_value(chain), len + 1);
    np_json_bytes(in, "auth_token", m->auth_token, sizeof m->auth_token);
    np_json_int(in, "n", 1, NP_MESSAGE_SEQ_MAX, &m->n);
    np_json_int(in, "time", 0, NP_MESSAGE_SECONDS_MAX, &m->time_s);
}

int np_package_answer_parse(const char *json, size_t len, struct np_package_answer *out, struct np_message_error *error)
{
    struct np_package_answer m = {0};
    int rc = np_message_parse(json, len, error, package_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

/* Addresses */

int np_addresses_request_encode(const struct np_addresses_request *m, char **out_json)
{
    json_t *object = json_pack("{s:I,s:o,s:o}", "seq", (json_int_t)m->seq, "v4",
                               np_message_pack_list(m->addresses.v4, m->addresses.v4_count), "v6",
                               np_message_pack_list(m->addresses.v6, m->addresses.v6_count));
    if (object && m->withdraw && json_object_set_new(object, "withdraw", json_true())) {
        json_decref(object);
        object = NULL;
    }
    return np_json_dump_take(object, out_json);
}

static void addresses_request_members(struct np_json_in *in, void *out)
{
    struct np_addresses_request *m = out;
    np_json_int(in, "seq", 1, NP_MESSAGE_SEQ_MAX, &m->seq);
    np_message_addresses(in, &m->addresses);
    json_t *withdraw = json_object_get(in->object, "withdraw");
    if (withdraw && !json_is_boolean(withdraw))
        np_json_fail(in, "withdraw", NP_E_TYPE);
    m->withdraw = json_is_true(withdraw);
    /* An empty set by accident would take a working name off the Internet. */
    if (in->rc == 0 && m->addresses.v4_count + m->addresses.v6_count == 0 && !m->withdraw)
        np_json_fail(in, "withdraw", NP_E_MISSING);
}

int np_addresses_request_parse(const char *json, size_t len, struct np_addresses_request *out,
                               struct np_message_error *error)
{
    struct np_addresses_request m = {0};
    int rc = np_message_parse(json, len, error, addresses_request_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_addresses_answer_encode(const struct np_addresses_answer *m, char **out_json)
{
    json_t *rejected = json_array();
    for (size_t i = 0; rejected && i < m->rejected_count; i++) {
        if (json_array_append_new(rejected, json_string(m->rejected[i]))) {
            json_decref(rejected);
            rejected = NULL;
        }
    }
    return np_json_dump_take(json_pack("{s:I,s:I,s:o,s:o,s:I}", "seq", (json_int_t)m->seq, "serial",
                                       (json_int_t)m->serial, "published", np_message_pack_addresses(&m->published),
                                       "rejected", rejected, "time", (json_int_t)m->time_s),
                             out_json);
}

static void addresses_answer_members(struct np_json_in *in, void *out)
{
    struct np_addresses_answer *m = out;
    np_json_int(in, "seq", 0, NP_MESSAGE_SEQ_MAX, &m->seq);
    np_json_int(in, "serial", 0, UINT32_MAX, &m->serial);
    np_message_nested_addresses(in, "published", &m->published);
    np_json_int(in, "time", 0, NP_MESSAGE_SECONDS_MAX, &m->time_s);
    json_t *rejected = np_json_member(in, "rejected", JSON_ARRAY);
    size_t count = json_array_size(rejected);
    if (in->rc)
        return;
    if (count > sizeof m->rejected / sizeof *m->rejected) {
        np_json_fail(in, "rejected", NP_E_LIMIT);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *why = json_string_value(json_array_get(rejected, i));
        if (!why) {
            np_json_fail(in, "rejected", NP_E_TYPE);
            return;
        }
        np_text_sanitize(why, m->rejected[i], sizeof m->rejected[i]);
    }
    m->rejected_count = count;
}

int np_addresses_answer_parse(const char *json, size_t len, struct np_addresses_answer *out,
                              struct np_message_error *error)
{
    struct np_addresses_answer m = {0};
    int rc = np_message_parse(json, len, error, addresses_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

/* Session */

int np_session_request_encode(const struct np_session_request *m, char **out_json)
{
    json_t *object = json_object();
    if (object && np_message_pack_life(object, &m->life)) {
        json_decref(object);
        object = NULL;
    }
    return np_json_dump_take(object, out_json);
}

static void session_request_members(struct np_json_in *in, void *out)
{
    struct np_session_request *m = out;
    np_message_life(in, &m->life);
}

int np_session_request_parse(const char *json, size_t len, struct np_session_request *out,
                             struct np_message_error *error)
{
    struct np_session_request m = {0};
    int rc = np_message_parse(json, len, error, session_request_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_session_answer_encode(const struct np_session_answer *m, char **out_json)
{
    return np_json_dump_take(json_pack("{s:s,s:s,s:o,s:I,s:I,s:I}", "device", m->device, "name", m->name, "auth_token",
                                       np_json_base64url(m->auth_token, sizeof m->auth_token), "n", (json_int_t)m->n,
                                       "seq", (json_int_t)m->seq, "time", (json_int_t)m->time_s),
                             out_json);
}

static void session_answer_members(struct np_json_in *in, void *out)
{
    struct np_session_answer *m = out;
    np_message_id(in, "device", m->device);
    np_message_hostname(in, "name", m->name);
    np_json_bytes(in, "auth_token", m->auth_token, sizeof m->auth_token);
    np_json_int(in, "n", 0, NP_MESSAGE_SEQ_MAX, &m->n);
    np_json_int(in, "seq", 0, NP_MESSAGE_SEQ_MAX, &m->seq);
    np_json_int(in, "time", 0, NP_MESSAGE_SECONDS_MAX, &m->time_s);
}

int np_session_answer_parse(const char *json, size_t len, struct np_session_answer *out, struct np_message_error *error)
{
    struct np_session_answer m = {0};
    int rc = np_message_parse(json, len, error, session_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

/* Problems */

int np_problem_encode(const struct np_problem *m, char **out_json)
{
    char type[sizeof PROBLEM_URN + sizeof m->type];
    snprintf(type, sizeof type, "%s%s", PROBLEM_URN, m->type);
    json_t *object = json_pack("{s:s,s:i,s:s}", "type", type, "status", m->status, "detail", m->detail);
    if (object && m->time_s)
        json_object_set_new(object, "time", json_integer(m->time_s));
    if (object && m->has_seq)
        json_object_set_new(object, "seq", json_integer(m->seq));
    return np_json_dump_take(object, out_json);
}

static void problem_members(struct np_json_in *in, void *out)
{
    struct np_problem *m = out;
    char type[128] = "";
    int64_t status = 0;
    np_json_text(in, "type", type, sizeof type);
    np_json_int(in, "status", 100, 599, &status);
    m->status = (int)status;
    const char *detail = json_string_value(json_object_get(in->object, "detail"));
    np_text_sanitize(detail ? detail : "", m->detail, sizeof m->detail);
    json_t *seq = json_object_get(in->object, "seq");
    m->has_seq = json_is_integer(seq) && json_integer_value(seq) >= 0 && json_integer_value(seq) <= NP_MESSAGE_SEQ_MAX;
    m->seq = m->has_seq ? json_integer_value(seq) : 0;
    json_t *time = json_object_get(in->object, "time");
    if (json_is_integer(time) && json_integer_value(time) >= 0 && json_integer_value(time) <= NP_MESSAGE_SECONDS_MAX)
        m->time_s = json_integer_value(time);
    const char *word =
        strncmp(type, PROBLEM_URN, sizeof PROBLEM_URN - 1) == 0 ? type + sizeof PROBLEM_URN - 1 : "other";
    if (strlen(word) >= sizeof m->type)
        word = "other";
    memcpy(m->type, word, strlen(word) + 1);
}

int np_problem_parse(const char *json, size_t len, struct np_problem *out, struct np_message_error *error)
{
    struct np_problem m = {0};
    int rc = np_message_parse(json, len, error, problem_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}
