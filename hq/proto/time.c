/* The messages of asking HQ the time. */
#include "hq/proto/members.h"

int np_time_request_encode(const struct np_time_request *m, char **out_json)
{
    return np_json_dump_take(json_pack("{s:s}", "nonce", m->nonce), out_json);
}

static void request_members(struct np_json_in *in, void *out)
{
    struct np_time_request *m = out;
    np_json_text(in, "nonce", m->nonce, sizeof m->nonce);
}

int np_time_request_parse(const char *json, size_t len, struct np_time_request *out, struct np_message_error *error)
{
    *out = (struct np_time_request){0};
    return np_message_parse(json, len, error, request_members, out);
}

int np_time_answer_encode(const struct np_time_answer *m, char **out_json)
{
    return np_json_dump_take(json_pack("{s:s,s:I}", "signed", m->signed_time, "time", (json_int_t)m->time_s), out_json);
}

static void answer_members(struct np_json_in *in, void *out)
{
    struct np_time_answer *m = out;
    np_json_text(in, "signed", m->signed_time, sizeof m->signed_time);
    np_json_int(in, "time", 0, NP_MESSAGE_SECONDS_MAX, &m->time_s);
}

int np_time_answer_parse(const char *json, size_t len, struct np_time_answer *out, struct np_message_error *error)
{
    *out = (struct np_time_answer){0};
    return np_message_parse(json, len, error, answer_members, out);
}
