#include "hq/proto/message.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hq/proto/json.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define PROBLEM_URN "urn:nameplate:problem:"
#define SECONDS_MAX (INT64_C(1) << 40) /* beyond any date or interval that means something */
#define SEQ_MAX     (INT64_C(1) << 53) /* JSON numbers stay exact in every JSON library (RFC 8259 section 6) */

/* Runs one parser over an object: the frame that all np_*_parse share. */
typedef void parse_members_fn(struct np_json_in *in, void *out);

static int parse_object(const char *json, size_t len, struct np_message_error *error, parse_members_fn *members,
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

static json_t *pack_list(const struct np_addr *list, size_t count)
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

static void parse_addresses(struct np_json_in *in, struct np_addresses *out)
{
    parse_list(in, "v4", AF_INET, out->v4, NP_WIRE_V4_MAX, &out->v4_count);
    parse_list(in, "v6", AF_INET6, out->v6, NP_WIRE_V6_MAX, &out->v6_count);
}

static json_t *pack_addresses(const struct np_addresses *addresses)
{
    return json_pack("{s:o,s:o}", "v4", pack_list(addresses->v4, addresses->v4_count), "v6",
                     pack_list(addresses->v6, addresses->v6_count));
}

static void parse_nested_addresses(struct np_json_in *in, const char *member, struct np_addresses *out)
{
    json_t *object = np_json_member(in, member, JSON_OBJECT);
    if (!object)
        return;
    struct np_json_in inner = {object, 0, in->error};
    parse_addresses(&inner, out);
    if (inner.rc)
        np_json_fail(in, member, inner.rc);
}

static json_t *pack_names(char names[][NP_NAME_MAX + 1], size_t count)
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

static void parse_names(struct np_json_in *in, const char *member, char names[][NP_NAME_MAX + 1], size_t max,
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

static void parse_hostname(struct np_json_in *in, const char *member, char out[NP_NAME_MAX + 1])
{
    np_json_text(in, member, out, NP_NAME_MAX + 1);
    if (in->rc == 0 && !np_is_hostname(out))
        np_json_fail(in, member, NP_E_MALFORMED);
}

static void parse_id(struct np_json_in *in, const char *member, char out[NP_DEVICE_ID_MAX + 1])
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

/* Enrolment */

static json_t *pack_credential(const struct np_credential *credential)
{
    if (credential->type == NP_CREDENTIAL_OPEN) {
        if (credential->serial[0])
            return json_pack("{s:s,s:s}", "type", "open", "serial", credential->serial);
        return json_pack("{s:s}", "type", "open");
    }
    return json_pack("{s:s,s:s,s:o}", "type", "factory-secret", "serial", credential->serial, "mac",
                     np_json_base64url(credential->mac, sizeof credential->mac));
}

static void parse_credential(struct np_json_in *in, struct np_credential *out)
{
    char type[32] = "";
    json_t *object = np_json_member(in, "credential", JSON_OBJECT);
    if (!object)
        return;
    struct np_json_in inner = {object, 0, in->error};
    np_json_text(&inner, "type", type, sizeof type);
    if (inner.rc == 0 && strcmp(type, "factory-secret") == 0) {
        out->type = NP_CREDENTIAL_FACTORY_SECRET;
        np_json_text(&inner, "serial", out->serial, sizeof out->serial);
        np_json_bytes(&inner, "mac", out->mac, sizeof out->mac);
        if (inner.rc == 0 && out->serial[0] == 0)
            np_json_fail(&inner, "serial", NP_E_MALFORMED);
    } else if (inner.rc == 0 && strcmp(type, "open") == 0) {
        out->type = NP_CREDENTIAL_OPEN;
        np_json_text_optional(&inner, "serial", out->serial, sizeof out->serial);
    } else if (inner.rc == 0) {
        np_json_fail(&inner, "credential", NP_E_UNKNOWN);
    }
    if (inner.rc)
        in->rc = inner.rc; /* the member's name is already there */
}

int np_enrol_request_encode(const struct np_enrol_request *m, char **out_json)
{
    json_t *object =
        json_pack("{s:o,s:o,s:o,s:o,s:s,s:s,s:s}", "epoch", np_json_base64url(m->epoch, sizeof m->epoch), "token",
                  np_json_base64url(m->token, sizeof m->token), "credential", pack_credential(&m->credential),
                  "addresses", pack_addresses(&m->addresses), "model", m->model, "version", m->version, "publish",
                  m->publish == NP_PUBLISH_LOCAL_ONLY ? "local-only" : "public");
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
    parse_credential(in, &m->credential);
    np_json_text_optional(in, "grant", m->grant, sizeof m->grant);
    parse_nested_addresses(in, "addresses", &m->addresses);
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
    int rc = parse_object(json, len, error, enrol_request_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_enrol_answer_encode(const struct np_enrol_answer *m, char **out_json)
{
    struct np_enrol_answer copy = *m; /* the packers take writable rows */
    return np_json_dump_take(json_pack("{s:s,s:s,s:o,s:I,s:I,s:o,s:o,s:s,s:{s:I,s:I,s:I},s:I}", "device", m->device,
                                       "name", m->name, "san", pack_names(copy.san, m->san_count), "ttl",
                                       (json_int_t)m->ttl_s, "seq", (json_int_t)m->seq, "seed",
                                       np_json_base64url(m->seed, sizeof m->seed), "nameservers",
                                       pack_names(copy.nameservers, m->nameserver_count), "grant", m->grant,
                                       "intervals", "poll", (json_int_t)m->poll_s, "checkin", (json_int_t)m->checkin_s,
                                       "boot_jitter", (json_int_t)m->boot_jitter_s, "time", (json_int_t)m->time_s),
                             out_json);
}

static void parse_intervals(struct np_json_in *in, int64_t *out_poll_s, int64_t *out_checkin_s, int64_t *out_jitter_s)
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

static void enrol_answer_members(struct np_json_in *in, void *out)
{
    struct np_enrol_answer *m = out;
    parse_id(in, "device", m->device);
    parse_hostname(in, "name", m->name);
    parse_names(in, "san", m->san, NP_SAN_MAX, &m->san_count);
    if (in->rc == 0 && m->san_count == 0)
        np_json_fail(in, "san", NP_E_MALFORMED);
    np_json_int(in, "ttl", 1, 86400, &m->ttl_s);
    np_json_int(in, "seq", 0, SEQ_MAX, &m->seq);
    np_json_bytes(in, "seed", m->seed, sizeof m->seed);
    parse_names(in, "nameservers", m->nameservers, NP_NAMESERVERS_MAX, &m->nameserver_count);
    np_json_text(in, "grant", m->grant, sizeof m->grant);
    np_json_int(in, "time", 0, SECONDS_MAX, &m->time_s);
    parse_intervals(in, &m->poll_s, &m->checkin_s, &m->boot_jitter_s);
}

int np_enrol_answer_parse(const char *json, size_t len, struct np_enrol_answer *out, struct np_message_error *error)
{
    struct np_enrol_answer m = {0};
    int rc = parse_object(json, len, error, enrol_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

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
    int rc = parse_object(json, len, error, csr_request_members, &m);
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
    parse_id(in, "order", m->order);
    np_json_int(in, "eta", 0, SECONDS_MAX, &m->eta_s);
    np_json_int(in, "position", 0, SEQ_MAX, &m->position);
    np_json_int(in, "time", 0, SECONDS_MAX, &m->time_s);
}

int np_csr_answer_parse(const char *json, size_t len, struct np_csr_answer *out, struct np_message_error *error)
{
    struct np_csr_answer m = {0};
    int rc = parse_object(json, len, error, csr_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_pending_answer_encode(const struct np_pending_answer *m, char **out_json)
{
    return np_json_dump_take(
        json_pack("{s:s,s:I,s:I}", "state", m->state, "eta", (json_int_t)m->eta_s, "time", (json_int_t)m->time_s),
        out_json);
}

static void pending_answer_members(struct np_json_in *in, void *out)
{
    struct np_pending_answer *m = out;
    np_json_text(in, "state", m->state, sizeof m->state);
    np_json_int(in, "eta", 0, SECONDS_MAX, &m->eta_s);
    np_json_int(in, "time", 0, SECONDS_MAX, &m->time_s);
}

int np_pending_answer_parse(const char *json, size_t len, struct np_pending_answer *out, struct np_message_error *error)
{
    struct np_pending_answer m = {0};
    int rc = parse_object(json, len, error, pending_answer_members, &m);
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
    np_json_int(in, "n", 1, SEQ_MAX, &m->n);
    np_json_int(in, "time", 0, SECONDS_MAX, &m->time_s);
}

int np_package_answer_parse(const char *json, size_t len, struct np_package_answer *out, struct np_message_error *error)
{
    struct np_package_answer m = {0};
    int rc = parse_object(json, len, error, package_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

/* Addresses */

int np_addresses_request_encode(const struct np_addresses_request *m, char **out_json)
{
    json_t *object =
        json_pack("{s:I,s:o,s:o}", "seq", (json_int_t)m->seq, "v4", pack_list(m->addresses.v4, m->addresses.v4_count),
                  "v6", pack_list(m->addresses.v6, m->addresses.v6_count));
    if (object && m->withdraw && json_object_set_new(object, "withdraw", json_true())) {
        json_decref(object);
        object = NULL;
    }
    return np_json_dump_take(object, out_json);
}

static void addresses_request_members(struct np_json_in *in, void *out)
{
    struct np_addresses_request *m = out;
    np_json_int(in, "seq", 1, SEQ_MAX, &m->seq);
    parse_addresses(in, &m->addresses);
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
    int rc = parse_object(json, len, error, addresses_request_members, &m);
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
                                       (json_int_t)m->serial, "published", pack_addresses(&m->published), "rejected",
                                       rejected, "time", (json_int_t)m->time_s),
                             out_json);
}

static void addresses_answer_members(struct np_json_in *in, void *out)
{
    struct np_addresses_answer *m = out;
    np_json_int(in, "seq", 0, SEQ_MAX, &m->seq);
    np_json_int(in, "serial", 0, UINT32_MAX, &m->serial);
    parse_nested_addresses(in, "published", &m->published);
    np_json_int(in, "time", 0, SECONDS_MAX, &m->time_s);
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
    int rc = parse_object(json, len, error, addresses_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

/* Session */

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
    parse_id(in, "device", m->device);
    parse_hostname(in, "name", m->name);
    np_json_bytes(in, "auth_token", m->auth_token, sizeof m->auth_token);
    np_json_int(in, "n", 0, SEQ_MAX, &m->n);
    np_json_int(in, "seq", 0, SEQ_MAX, &m->seq);
    np_json_int(in, "time", 0, SECONDS_MAX, &m->time_s);
}

int np_session_answer_parse(const char *json, size_t len, struct np_session_answer *out, struct np_message_error *error)
{
    struct np_session_answer m = {0};
    int rc = parse_object(json, len, error, session_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

/* Check-in and leave */

static const char *const verdicts[] = {[NP_CHECKIN_KEEP] = "keep",
                                       [NP_CHECKIN_FETCH] = "fetch",
                                       [NP_CHECKIN_SEND_CSR] = "send-csr",
                                       [NP_CHECKIN_WAIT] = "wait"};
static const char *const reasons[] = {
    [NP_LEAVE_RESET] = "reset", [NP_LEAVE_RESALE] = "resale", [NP_LEAVE_COMPROMISE] = "compromise"};

/* The index of text in words, -1 when it is not there. */
static int word_index(const char *text, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(text, words[i]) == 0)
            return (int)i;
    }
    return -1;
}

int np_checkin_request_encode(const struct np_checkin_request *m, char **out_json)
{
    json_t *certificate = m->certificate.installed ? json_pack("{s:I,s:I}", "n", (json_int_t)m->certificate.n,
                                                               "not_after", (json_int_t)m->certificate.not_after_s)
                                                   : json_null();
    return np_json_dump_take(json_pack("{s:I,s:o,s:o,s:o,s:s,s:s}", "seq", (json_int_t)m->seq, "v4",
                                       pack_list(m->addresses.v4, m->addresses.v4_count), "v6",
                                       pack_list(m->addresses.v6, m->addresses.v6_count), "certificate", certificate,
                                       "version", m->version, "health", m->health),
                             out_json);
}

static void checkin_request_members(struct np_json_in *in, void *out)
{
    struct np_checkin_request *m = out;
    np_json_int(in, "seq", 0, SEQ_MAX, &m->seq);
    parse_addresses(in, &m->addresses);
    np_json_text(in, "version", m->version, sizeof m->version);
    np_json_text(in, "health", m->health, sizeof m->health);
    json_t *certificate = np_json_member(in, "certificate", -1);
    if (!certificate || json_is_null(certificate))
        return;
    if (!json_is_object(certificate)) {
        np_json_fail(in, "certificate", NP_E_TYPE);
        return;
    }
    struct np_json_in inner = {certificate, 0, in->error};
    np_json_int(&inner, "n", 0, SEQ_MAX, &m->certificate.n);
    np_json_int(&inner, "not_after", 0, SECONDS_MAX, &m->certificate.not_after_s);
    m->certificate.installed = true;
    if (inner.rc)
        in->rc = inner.rc;
}

int np_checkin_request_parse(const char *json, size_t len, struct np_checkin_request *out,
                             struct np_message_error *error)
{
    struct np_checkin_request m = {0};
    int rc = parse_object(json, len, error, checkin_request_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_checkin_answer_encode(const struct np_checkin_answer *m, char **out_json)
{
    return np_json_dump_take(json_pack("{s:s,s:I,s:I,s:{s:I,s:I,s:I},s:I}", "certificate", verdicts[m->certificate],
                                       "seq", (json_int_t)m->seq, "next", (json_int_t)m->next_s, "intervals", "poll",
                                       (json_int_t)m->poll_s, "checkin", (json_int_t)m->checkin_s, "boot_jitter",
                                       (json_int_t)m->boot_jitter_s, "time", (json_int_t)m->time_s),
                             out_json);
}

static void checkin_answer_members(struct np_json_in *in, void *out)
{
    struct np_checkin_answer *m = out;
    char verdict[32] = "";
    np_json_text(in, "certificate", verdict, sizeof verdict);
    np_json_int(in, "seq", 0, SEQ_MAX, &m->seq);
    np_json_int(in, "next", 1, 30 * 86400, &m->next_s);
    np_json_int(in, "time", 0, SECONDS_MAX, &m->time_s);
    parse_intervals(in, &m->poll_s, &m->checkin_s, &m->boot_jitter_s);
    int index = word_index(verdict, verdicts, sizeof verdicts / sizeof *verdicts);
    m->certificate = index < 0 ? NP_CHECKIN_KEEP : (enum np_checkin_verdict)index;
}

int np_checkin_answer_parse(const char *json, size_t len, struct np_checkin_answer *out, struct np_message_error *error)
{
    struct np_checkin_answer m = {0};
    int rc = parse_object(json, len, error, checkin_answer_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_leave_request_encode(const struct np_leave_request *m, char **out_json)
{
    return np_json_dump_take(json_pack("{s:s}", "reason", reasons[m->reason]), out_json);
}

static void leave_request_members(struct np_json_in *in, void *out)
{
    struct np_leave_request *m = out;
    char reason[32] = "";
    np_json_text(in, "reason", reason, sizeof reason);
    int index = word_index(reason, reasons, sizeof reasons / sizeof *reasons);
    if (in->rc == 0 && index < 0)
        np_json_fail(in, "reason", NP_E_UNKNOWN);
    else if (index >= 0)
        m->reason = (enum np_leave_reason)index;
}

int np_leave_request_parse(const char *json, size_t len, struct np_leave_request *out, struct np_message_error *error)
{
    struct np_leave_request m = {0};
    int rc = parse_object(json, len, error, leave_request_members, &m);
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
    m->has_seq = json_is_integer(seq) && json_integer_value(seq) >= 0 && json_integer_value(seq) <= SEQ_MAX;
    m->seq = m->has_seq ? json_integer_value(seq) : 0;
    json_t *time = json_object_get(in->object, "time");
    if (json_is_integer(time) && json_integer_value(time) >= 0 && json_integer_value(time) <= SECONDS_MAX)
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
    int rc = parse_object(json, len, error, problem_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}
