/* The recorded wire of version 1 and today's codec: every message is read, with members of later versions too, and what
 * is written today has every member that was there. */
#include "tests/unit/proto/wire.h"

#include "hq/proto/message.h"

/* Reads len bytes and writes what was read: 0 with *out_json (malloc'd), or what reading says. */
typedef int again_fn(const char *json, size_t len, char **out_json, struct np_message_error *error);

#define AGAIN(name)                                                                                                    \
    static int name##_again(const char *json, size_t len, char **out_json, struct np_message_error *error)             \
    {                                                                                                                  \
        struct np_##name *message = calloc(1, sizeof *message);                                                        \
        int rc = message ? np_##name##_parse(json, len, message, error) : -1;                                          \
        if (rc == 0)                                                                                                   \
            assert_int_equal(np_##name##_encode(message, out_json), 0);                                                \
        free(message);                                                                                                 \
        return rc;                                                                                                     \
    }
AGAIN(enrol_request)
AGAIN(enrol_answer)
AGAIN(csr_request)
AGAIN(csr_answer)
AGAIN(pending_answer)
AGAIN(package_answer)
AGAIN(addresses_request)
AGAIN(addresses_answer)
AGAIN(session_request)
AGAIN(session_answer)
AGAIN(checkin_request)
AGAIN(checkin_answer)
AGAIN(leave_request)
AGAIN(time_request)
AGAIN(time_answer)
AGAIN(name_request)
AGAIN(name_answer)
AGAIN(problem)

static const struct kind {
    const char *step;
    again_fn *request, *answer;
} kinds[] = {
    {"enrol", enrol_request_again, enrol_answer_again},
    {"csr", csr_request_again, csr_answer_again},
    {"package", NULL, package_answer_again},
    {"addresses", addresses_request_again, addresses_answer_again},
    {"session", session_request_again, session_answer_again},
    {"checkin", checkin_request_again, checkin_answer_again},
    {"leave", leave_request_again, NULL},
    {"time", time_request_again, time_answer_again},
    {"name", name_request_again, name_answer_again},
};

#define KINDS (sizeof kinds / sizeof *kinds)

static again_fn *answer_of(const struct wire *w)
{
    if (w->status >= 400)
        return problem_again;
    if (strcmp(w->step, "package") == 0 && w->status == 202)
        return pending_answer_again;
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].step, w->step) == 0)
            return kinds[i].answer;
    }
    return NULL;
}

static again_fn *request_of(const struct wire *w)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].step, w->step) == 0)
            return kinds[i].request;
    }
    return NULL;
}

/* Reads recorded, and writes it again: nothing of it may be missing. */
static void check(const struct wire *w, const char *what, again_fn *again, const json_t *recorded)
{
    struct np_message_error error = {0};
    char *text = json_dumps(recorded, JSON_COMPACT), *now = NULL, lost[256] = "";
    int rc = again(text, strlen(text), &now, &error);
    if (rc)
        fail_msg("%s: " WIRE_PROMISE " its messages readable: the %s is refused (%s: %s)", w->file, what, error.member,
                 np_strerror(rc));
    json_t *today = json_loads(now, 0, NULL);
    if (wire_lost(recorded, today, lost, sizeof lost))
        fail_msg("%s: " WIRE_PROMISE " its members: the %s is written without %s, or with another type", w->file, what,
                 lost);
    json_decref(today);
    free(now);
    free(text);
}

/* The same with members of a later version, which are passed over. */
static void check_unknown(const struct wire *w, const char *what, again_fn *again, const json_t *recorded)
{
    struct np_message_error error = {0};
    json_t *later = json_deep_copy(recorded);
    wire_add_unknown(later);
    char *text = json_dumps(later, JSON_COMPACT), *now = NULL;
    int rc = again(text, strlen(text), &now, &error);
    if (rc)
        fail_msg("%s: docs/compatibility.md promises that unknown members are ignored: with one the %s is refused "
                 "(%s: %s)",
                 w->file, what, error.member, np_strerror(rc));
    free(now);
    free(text);
    json_decref(later);
}

static void test_requests(void **state)
{
    (void)state;
    struct wire list[WIRE_MAX];
    size_t count = wire_all(list), seen[KINDS] = {0};
    for (size_t i = 0; i < count; i++) {
        again_fn *again = list[i].status < 300 ? request_of(&list[i]) : NULL;
        json_t *message = again ? wire_message(&list[i]) : NULL;
        if (!message)
            continue;
        check(&list[i], "request", again, message);
        check_unknown(&list[i], "request", again, message);
        json_decref(message);
        for (size_t k = 0; k < KINDS; k++)
            seen[k] += strcmp(kinds[k].step, list[i].step) == 0;
    }
    for (size_t k = 0; k < KINDS; k++)
        assert_true(seen[k] > 0 || !kinds[k].request);
    wire_free(list, count);
}

static void test_answers(void **state)
{
    (void)state;
    struct wire list[WIRE_MAX];
    size_t count = wire_all(list), problems = 0, seen[KINDS] = {0};
    for (size_t i = 0; i < count; i++) {
        again_fn *again = answer_of(&list[i]);
        if (!again || !list[i].answer[0])
            continue;
        json_t *message = json_loads(list[i].answer, 0, NULL);
        check(&list[i], "answer", again, message);
        check_unknown(&list[i], "answer", again, message);
        json_decref(message);
        problems += again == problem_again;
        for (size_t k = 0; k < KINDS; k++)
            seen[k] += list[i].status < 300 && strcmp(kinds[k].step, list[i].step) == 0;
    }
    for (size_t k = 0; k < KINDS; k++)
        assert_true(seen[k] > 0 || !kinds[k].answer);
    assert_true(problems >= 10);
    wire_free(list, count);
}

/* A signed request's own envelope, and the parameters of its header, may grow too (RFC 7515 sections 4 and 7.2.1). */
static void test_envelopes(void **state)
{
    (void)state;
    struct wire list[WIRE_MAX];
    size_t count = wire_all(list), seen = 0;
    for (size_t i = 0; i < count; i++) {
        struct np_jws *jws;
        if (!list[i].content_type || strcmp(list[i].content_type, "application/jose+json") != 0)
            continue;
        json_t *envelope = json_loads(list[i].body, 0, NULL);
        json_object_set_new(envelope, "of-a-later-version", json_true());
        char *text = json_dumps(envelope, 0);
        assert_int_equal(np_jws_parse(text, strlen(text), &jws), 0);
        np_jws_free(jws);
        free(text);
        json_decref(envelope);
        seen++;
    }
    assert_true(seen > 10);
    wire_free(list, count);
}

/* The tests' own eyes: a member that went missing, or changed its type, is seen wherever it was. */
static void test_a_loss_is_seen(void **state)
{
    (void)state;
    json_t *recorded = json_loads("{\"a\":1,\"b\":{\"c\":[{\"d\":\"e\"}]}}", 0, NULL);
    static const struct {
        const char *today, *lost; /* NULL: nothing */
    } cases[] = {{"{\"a\":2,\"b\":{\"c\":[{\"d\":\"f\",\"new\":0}]},\"new\":{}}", NULL},
                 {"{\"a\":2,\"b\":{\"c\":[]}}", NULL},
                 {"{\"b\":{\"c\":[{\"d\":\"e\"}]}}", "/a"},
                 {"{\"a\":\"1\",\"b\":{\"c\":[{\"d\":\"e\"}]}}", "/a"},
                 {"{\"a\":1,\"b\":{\"c\":[{\"x\":\"e\"}]}}", "/b/c/d"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char lost[64] = "";
        json_t *today = json_loads(cases[i].today, 0, NULL);
        assert_int_equal(wire_lost(recorded, today, lost, sizeof lost), cases[i].lost != NULL);
        if (cases[i].lost)
            assert_string_equal(lost, cases[i].lost);
        json_decref(today);
    }
    json_decref(recorded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_envelopes),
        cmocka_unit_test(test_a_loss_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
