/* The messages of check-in and leave. */
#include <string.h>

#include "hq/proto/members.h"
#include "resolver/base/error.h"

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
    json_t *object = json_pack("{s:I,s:o,s:o,s:o,s:s,s:s}", "seq", (json_int_t)m->seq, "v4",
                               np_message_pack_list(m->addresses.v4, m->addresses.v4_count), "v6",
                               np_message_pack_list(m->addresses.v6, m->addresses.v6_count), "certificate", certificate,
                               "version", m->version, "health", m->health);
    if (object && np_message_pack_life(object, &m->life)) {
        json_decref(object);
        object = NULL;
    }
    return np_json_dump_take(object, out_json);
}

static void checkin_request_members(struct np_json_in *in, void *out)
{
    struct np_checkin_request *m = out;
    np_json_int(in, "seq", 0, NP_MESSAGE_SEQ_MAX, &m->seq);
    np_message_addresses(in, &m->addresses);
    np_json_text(in, "version", m->version, sizeof m->version);
    np_json_text(in, "health", m->health, sizeof m->health);
    np_message_life(in, &m->life);
    json_t *certificate = np_json_member(in, "certificate", -1);
    if (!certificate || json_is_null(certificate))
        return;
    if (!json_is_object(certificate)) {
        np_json_fail(in, "certificate", NP_E_TYPE);
        return;
    }
    struct np_json_in inner = {certificate, 0, in->error};
    np_json_int(&inner, "n", 0, NP_MESSAGE_SEQ_MAX, &m->certificate.n);
    np_json_int(&inner, "not_after", 0, NP_MESSAGE_SECONDS_MAX, &m->certificate.not_after_s);
    m->certificate.installed = true;
    if (inner.rc)
        in->rc = inner.rc;
}

int np_checkin_request_parse(const char *json, size_t len, struct np_checkin_request *out,
                             struct np_message_error *error)
{
    struct np_checkin_request m = {0};
    int rc = np_message_parse(json, len, error, checkin_request_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}

int np_checkin_answer_encode(const struct np_checkin_answer *m, char **out_json)
{
    struct np_checkin_answer copy = *m; /* the packers take writable rows */
    json_t *object = json_pack("{s:s,s:I,s:I,s:{s:I,s:I,s:I},s:I}", "certificate", verdicts[m->certificate], "seq",
                               (json_int_t)m->seq, "next", (json_int_t)m->next_s, "intervals", "poll",
                               (json_int_t)m->poll_s, "checkin", (json_int_t)m->checkin_s, "boot_jitter",
                               (json_int_t)m->boot_jitter_s, "time", (json_int_t)m->time_s);
    if (object && m->san_count > 0 &&
        json_object_set_new(object, "san", np_message_pack_names(copy.san, m->san_count))) {
        json_decref(object);
        object = NULL;
    }
    return np_json_dump_take(object, out_json);
}

static void checkin_answer_members(struct np_json_in *in, void *out)
{
    struct np_checkin_answer *m = out;
    char verdict[32] = "";
    np_json_text(in, "certificate", verdict, sizeof verdict);
    np_json_int(in, "seq", 0, NP_MESSAGE_SEQ_MAX, &m->seq);
    np_json_int(in, "next", 1, 30 * 86400, &m->next_s);
    np_json_int(in, "time", 0, NP_MESSAGE_SECONDS_MAX, &m->time_s);
    np_message_intervals(in, &m->poll_s, &m->checkin_s, &m->boot_jitter_s);
    if (in->rc == 0 && json_object_get(in->object, "san"))
        np_message_names(in, "san", m->san, NP_SAN_MAX, &m->san_count);
    int index = word_index(verdict, verdicts, sizeof verdicts / sizeof *verdicts);
    m->certificate = index < 0 ? NP_CHECKIN_KEEP : (enum np_checkin_verdict)index;
}

int np_checkin_answer_parse(const char *json, size_t len, struct np_checkin_answer *out, struct np_message_error *error)
{
    struct np_checkin_answer m = {0};
    int rc = np_message_parse(json, len, error, checkin_answer_members, &m);
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
    int rc = np_message_parse(json, len, error, leave_request_members, &m);
    if (rc == 0)
        *out = m;
    return rc;
}
