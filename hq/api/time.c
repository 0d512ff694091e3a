#include <strings.h>

#include "hq/api/internal.h"
#include "resolver/base/error.h"

int np_api_time(struct np_api_call *call)
{
    const struct np_api_request *request = call->request;
    struct np_time_request message;
    struct np_time_answer answer = {.time_s = np_api_now_s(call)};
    struct np_message_error error;
    struct np_crypto crypto;
    char *json = NULL;
    if (!request->content_type || strncasecmp(request->content_type, "application/json", 16) != 0)
        return np_refuse(&call->refusal, NP_REFUSE_UNSUPPORTED_MEDIA,
                         "the nonce comes with Content-Type: application/json");
    int rc = np_api_payload(call, np_time_request_parse(request->body, request->body_len, &message, &error), &error);
    if (rc)
        return rc;
    np_hq_key_crypto(call->api->grant_key, &crypto);
    rc = np_time_sign(&crypto, message.nonce, answer.time_s, answer.signed_time);
    if (rc == NP_E_MALFORMED)
        return np_refuse(&call->refusal, NP_REFUSE_MALFORMED, "a nonce is %d to %d characters of base64url",
                         NP_TIME_NONCE_MIN, NP_TIME_NONCE_MAX);
    if (rc == 0)
        rc = np_time_answer_encode(&answer, &json);
    return np_api_answer(call, 200, rc, json);
}
