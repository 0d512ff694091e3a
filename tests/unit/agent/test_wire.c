/* The recorded answers of version 1's HQ at today's agent: each is read as it was meant, with members of a later HQ
 * too. */
#include "tests/unit/proto/wire.h"

#include "agent/certificate/exchange.h"

static const struct {
    const char *step;
    enum np_request request;
} steps[] = {
    {"nonce", NP_REQUEST_NONCE},         {"enrol", NP_REQUEST_ENROL},     {"csr", NP_REQUEST_CSR},
    {"package", NP_REQUEST_PACKAGE},     {"session", NP_REQUEST_SESSION}, {"leave", NP_REQUEST_LEAVE},
    {"addresses", NP_REQUEST_ADDRESSES}, {"checkin", NP_REQUEST_CHECKIN}, {"time", NP_REQUEST_TIME},
    {"name", NP_REQUEST_NAME},
};

#define STEPS (sizeof steps / sizeof *steps)

/* Has the agent such a request? */
static bool request_of(const struct wire *w, enum np_request *out)
{
    for (size_t i = 0; i < STEPS; i++) {
        if (strcmp(steps[i].step, w->step) == 0) {
            *out = steps[i].request;
            return true;
        }
    }
    return false;
}

static void read_answer(const struct wire *w, enum np_request request, const char *body)
{
    struct np_exchange_headers headers = {.nonce = w->nonce, .etag = w->etag, .retry_after_s = w->retry_after_s};
    struct np_response *response = calloc(1, sizeof *response);
    np_exchange_parse(request, w->status, &headers, body, strlen(body), response);
    if (response->rc)
        fail_msg("%s: " WIRE_PROMISE " its answers readable: the agent refuses this one (%s)%s", w->file,
                 np_strerror(response->rc), body == w->answer ? "" : " with unknown members, which are to be ignored");
    assert_int_equal(response->status, w->status);
    assert_string_equal(response->nonce, w->nonce ? w->nonce : "");
    if (w->status >= 400) {
        json_t *problem = json_loads(w->answer, 0, NULL);
        const char *word = strrchr(wire_text(problem, "type"), ':') + 1;
        assert_string_equal(response->problem.type, word);
        json_decref(problem);
    }
    free(response);
}

static void test_answers(void **state)
{
    (void)state;
    struct wire list[WIRE_MAX];
    size_t count = wire_all(list), seen[STEPS] = {0};
    for (size_t i = 0; i < count; i++) {
        enum np_request request;
        if (!request_of(&list[i], &request))
            continue;
        read_answer(&list[i], request, list[i].answer);
        if (list[i].answer[0]) {
            json_t *later = json_loads(list[i].answer, 0, NULL);
            wire_add_unknown(later);
            char *text = json_dumps(later, JSON_COMPACT);
            read_answer(&list[i], request, text);
            free(text);
            json_decref(later);
        }
        for (size_t k = 0; k < STEPS; k++)
            seen[k] += list[i].status < 300 && strcmp(steps[k].step, list[i].step) == 0;
    }
    for (size_t k = 0; k < STEPS; k++)
        assert_true(seen[k] > 0);
    wire_free(list, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
