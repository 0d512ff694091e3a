/* Check-in and leave over the API with a real store: what is taken, what is answered, what is written. */
#include "hq/acme/renewer.h"
#include "hq/api/judge.h"
#include "tests/unit/hq/box.h"

#define DAY_US (24 * HOUR_US)

static struct np_api_response post_checkin(struct fixture *f, const struct box *box, const uint8_t token[32],
                                           const char *json)
{
    char authorization[80], path[96];
    bearer(token, authorization);
    snprintf(path, sizeof path, "/v1/devices/%s/checkin", box->told.device);
    return ask(f, (struct np_api_request){.method = "POST",
                                          .path = path,
                                          .authorization = authorization,
                                          .content_type = "application/json",
                                          .body = json,
                                          .body_len = strlen(json)});
}

static struct np_checkin_request bare(void)
{
    return (struct np_checkin_request){.version = "0.1.0", .health = "ok"};
}

/* A good check-in, with the poll token. */
static struct np_checkin_answer checkin(struct fixture *f, const struct box *box,
                                        const struct np_checkin_request *message)
{
    struct np_checkin_answer answer;
    struct np_message_error error;
    char *json = NULL;
    assert_int_equal(np_checkin_request_encode(message, &json), 0);
    struct np_api_response response = post_checkin(f, box, box->request.token, json);
    free(json);
    if (response.status != 200)
        fail_msg("%d: %s", response.status, response.body);
    assert_string_equal(response.content_type, "application/json");
    assert_int_equal(np_checkin_answer_parse(response.body, response.body_len, &answer, &error), 0);
    np_api_response_free(&response);
    return answer;
}

static struct box *certified(struct fixture *f, const char *serial)
{
    struct box *box = box_new(serial);
    enrol(f, box, 201);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    issue(f, box, "chain one\n");
    struct np_order order;
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    order.state = NP_ORDER_DONE;
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    return box;
}

static struct np_checkin_request installed(struct fixture *f, int64_t n)
{
    struct np_checkin_request message = bare();
    message.certificate =
        (struct np_checkin_certificate){.installed = true, .n = n, .not_after_s = f->now_us / 1000000 + 90 * 86400};
    return message;
}

static struct np_device stored(struct fixture *f, const struct box *box)
{
    struct np_device device;
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    return device;
}

static bool publishes(struct fixture *f, const struct box *box, const struct np_addresses *addresses)
{
    struct np_device device = stored(f, box);
    return np_addresses_equal(&device.published, addresses);
}

static void test_from_csr_to_package(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_checkin_request message = bare();
    enrol(f, box, 201);
    struct np_checkin_answer answer = checkin(f, box, &message);
    assert_int_equal(answer.certificate, NP_CHECKIN_SEND_CSR);
    assert_int_equal(answer.checkin_s, 86400);
    assert_int_equal(answer.poll_s, 1);
    assert_int_equal(answer.boot_jitter_s, 600);
    assert_int_equal(answer.time_s, f->now_us / 1000000);
    assert_int_equal(answer.next_s, np_judge_next_checkin(box->told.device, answer.time_s, 86400));
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(checkin(f, box, &message).certificate, NP_CHECKIN_WAIT);
    issue(f, box, "chain one\n");
    assert_int_equal(checkin(f, box, &message).certificate, NP_CHECKIN_FETCH);
    message = installed(f, 1);
    assert_int_equal(checkin(f, box, &message).certificate, NP_CHECKIN_KEEP);
    box_free(box);
}

static void test_addresses_and_version(void **state)
{
    struct fixture *f = *state;
    struct box *box = certified(f, "NP-0001");
    struct np_checkin_request message = installed(f, 1);
    np_store_take_events(f->store);
    message.seq = 4;
    message.addresses.v4_count = 1;
    assert_int_equal(np_addr_parse("192.168.7.7", &message.addresses.v4[0]), 0);
    assert_int_equal(checkin(f, box, &message).seq, 4);
    assert_int_equal(np_store_take_events(f->store), NP_STORE_NAMES_CHANGED);
    assert_true(publishes(f, box, &message.addresses));
    /* Lower, equal with other content, and nothing at all: answered, and nothing changes. */
    static const int64_t seqs[] = {3, 4, 0};
    for (size_t i = 0; i < 3; i++) {
        struct np_checkin_request other = message;
        other.seq = seqs[i];
        other.addresses.v4[0].bytes[3] = 99;
        assert_int_equal(checkin(f, box, &other).seq, 4);
    }
    struct np_checkin_request empty = installed(f, 1);
    empty.seq = 5;
    assert_int_equal(checkin(f, box, &empty).seq, 4);
    assert_true(publishes(f, box, &message.addresses));
    assert_int_equal(np_store_take_events(f->store), 0);
    snprintf(message.version, sizeof message.version, "9.9");
    checkin(f, box, &message);
    assert_string_equal(stored(f, box).version, "9.9");
    box_free(box);
}

/* At most one write an hour says that the device was there. */
static void test_seen(void **state)
{
    struct fixture *f = *state;
    struct box *box = certified(f, "NP-0001");
    struct np_checkin_request message = installed(f, 1);
    int64_t first_s = stored(f, box).last_seen_s;
    f->now_us += HOUR_US - 10000000;
    checkin(f, box, &message);
    assert_int_equal(stored(f, box).last_seen_s, first_s);
    f->now_us += 10000000;
    checkin(f, box, &message);
    assert_int_equal(stored(f, box).last_seen_s, f->now_us / 1000000);
    /* Any request with a token counts. */
    f->now_us += HOUR_US;
    expect_status(get_package(f, box, box->request.token, NULL), 200);
    assert_int_equal(stored(f, box).last_seen_s, f->now_us / 1000000);
    box_free(box);
}

static void test_renewal_of_one_who_comes_back(void **state)
{
    struct fixture *f = *state;
    struct box *box = certified(f, "NP-0001");
    struct np_checkin_request message = installed(f, 1);
    struct np_order first, order;
    struct np_renewal renewal;
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &first), 0);
    f->now_us += 59 * DAY_US;
    assert_int_equal(checkin(f, box, &message).certificate, NP_CHECKIN_KEEP);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_string_equal(order.id, first.id);
    np_store_take_events(f->store);
    /* Past its point, and nobody has looked: the check-in begins it, once. Time is left, so the device need not wait.
     */
    f->now_us += 2 * DAY_US;
    assert_int_equal(checkin(f, box, &message).certificate, NP_CHECKIN_KEEP);
    assert_true(np_store_take_events(f->store) & NP_STORE_ORDERS_CHANGED);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_string_not_equal(order.id, first.id);
    assert_int_equal(order.state, NP_ORDER_QUEUED);
    assert_int_equal(order.priority, NP_PRIORITY_ROUTINE);
    assert_memory_equal(order.csr, first.csr, first.csr_len);
    assert_memory_equal(order.key, first.key, 32);
    assert_string_equal(order.authorizations[0].name, box->told.names.name);
    assert_int_equal(np_store_renewal_get(f->store, box->told.device, &renewal), 0);
    assert_int_equal(renewal.attempts, 1);
    assert_true(renewal.due_ms > f->now_us / 1000);
    char id[NP_DEVICE_ID_MAX + 1];
    memcpy(id, order.id, sizeof id);
    f->now_us += 20 * DAY_US;
    assert_int_equal(checkin(f, box, &message).certificate, NP_CHECKIN_WAIT);
    f->now_us += 40 * DAY_US;
    assert_int_equal(checkin(f, box, &message).certificate, NP_CHECKIN_WAIT);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_string_equal(order.id, id);
    issue(f, box, "chain two\n");
    assert_int_equal(checkin(f, box, &message).certificate, NP_CHECKIN_FETCH);
    assert_int_equal(np_store_renewal_get(f->store, box->told.device, &renewal), 0);
    assert_int_equal(renewal.n, 2);
    assert_int_equal(renewal.attempts, 0);
    box_free(box);
}

/* GET package: the old one as long as it is good, with a hint when a newer is on its way; never one that has ended. */
static void test_package_around_a_renewal(void **state)
{
    struct fixture *f = *state;
    struct box *box = certified(f, "NP-0001");
    struct np_order order;
    char etag[NP_API_ETAG_MAX + 1];
    struct np_api_response response = get_package(f, box, box->request.token, NULL);
    assert_int_equal(response.status, 200);
    memcpy(etag, response.etag, sizeof etag);
    np_api_response_free(&response);
    response = get_package(f, box, box->request.token, etag);
    assert_int_equal(response.status, 304);
    assert_int_equal(response.retry_after_s, 0);
    np_api_response_free(&response);
    f->now_us += 80 * DAY_US; /* in the last quarter: the device asks by itself, and that begins the renewal */
    response = get_package(f, box, box->request.token, etag);
    assert_int_equal(response.status, 304);
    assert_true(response.retry_after_s > 0);
    np_api_response_free(&response);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_int_equal(order.state, NP_ORDER_QUEUED);
    assert_int_equal(order.priority, NP_PRIORITY_URGENT);
    f->now_us += 20 * DAY_US;
    expect_status(get_package(f, box, box->request.token, etag), 202);
    issue(f, box, "chain two\n");
    response = get_package(f, box, box->request.token, etag);
    assert_int_equal(response.status, 200);
    assert_non_null(strstr(response.body, "chain two"));
    np_api_response_free(&response);
    box_free(box);
}

/* The CSR again, long after its certificate: renewed rather than answered with the order that is done. */
static void test_csr_again_after_the_end(void **state)
{
    struct fixture *f = *state;
    struct box *box = certified(f, "NP-0001");
    struct np_order first, order;
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &first), 0);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_string_equal(order.id, first.id);
    f->now_us += 100 * DAY_US;
    f->nonce[0] = 0;
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_string_not_equal(order.id, first.id);
    box_free(box);
}

static void test_refused_checkins(void **state)
{
    struct fixture *f = *state;
    struct box *box = certified(f, "NP-0001");
    uint8_t wrong[32] = {1};
    static const char good[] =
        "{\"seq\":0,\"v4\":[],\"v6\":[],\"certificate\":null,\"version\":\"1\",\"health\":\"ok\"}";
    static const char below[] =
        "{\"seq\":-1,\"v4\":[],\"v6\":[],\"certificate\":null,\"version\":\"1\",\"health\":\"ok\"}";
    static const char *const malformed[] = {
        "", "{}", "[]", "{\"seq\":0,\"v4\":[],\"v6\":[],\"version\":\"1\",\"health\":\"ok\"}", below};
    expect_status(post_checkin(f, box, box->request.token, good), 200);
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        expect_problem(post_checkin(f, box, box->request.token, malformed[i]), "malformed");
    expect_problem(post_checkin(f, box, wrong, good), "unknown-token");
    char path[96];
    snprintf(path, sizeof path, "/v1/devices/%s/checkin", box->told.device);
    expect_problem(post(f, box, path, "{}", (struct twist){0}), "unsupported-media");
    expect_problem(ask(f, (struct np_api_request){.method = "GET", .path = path}), "method-not-allowed");
    box_free(box);
}

/* ---- Leave ---- */

static struct np_api_response leave(struct fixture *f, const struct box *box, const char *json, struct twist twist)
{
    char path[96];
    snprintf(path, sizeof path, "/v1/devices/%s/leave", box->told.device);
    return post(f, box, path, json, twist);
}

static void test_leave(void **state)
{
    struct fixture *f = *state;
    struct box *box = certified(f, "NP-0001"), *stranger = box_new("NP-0002");
    struct np_revocation revocation;
    struct np_renewal renewal;
    static const char reset[] = "{\"reason\":\"reset\"}";
    expect_problem(leave(f, box, "{}", (struct twist){0}), "malformed");
    expect_problem(leave(f, box, "{\"reason\":\"boredom\"}", (struct twist){0}), "malformed");
    expect_problem(leave(f, box, reset, (struct twist){.signer = stranger}), "bad-signature");
    expect_problem(leave(f, box, reset, (struct twist){.content_type = "application/json"}), "unsupported-media");
    assert_int_equal(stored(f, box).state, NP_DEVICE_ACTIVE);
    np_store_take_events(f->store);

    struct np_api_response response = leave(f, box, reset, (struct twist){0});
    assert_int_equal(response.status, 204);
    assert_null(response.body);
    assert_int_equal(np_store_take_events(f->store), NP_STORE_NAMES_CHANGED | NP_STORE_REVOCATIONS_CHANGED);
    assert_int_equal(stored(f, box).state, NP_DEVICE_RETIRED);
    assert_int_equal(stored(f, box).published.v4_count, 0);
    assert_int_equal(np_store_renewal_get(f->store, box->told.device, &renewal), NP_E_NOT_FOUND);
    assert_int_equal(np_store_revocation_next(f->store, &revocation), 0);
    assert_string_equal(revocation.device, box->told.device);
    assert_int_equal(revocation.n, 1);
    assert_int_equal(revocation.reason, NP_REVOKE_CESSATION);

    /* Again: 204, and nothing more is done; everything else: 410. */
    expect_status(leave(f, box, reset, (struct twist){0}), 204);
    assert_int_equal(np_store_take_events(f->store), 0);
    expect_problem(leave(f, box, reset, (struct twist){.signer = stranger}), "bad-signature");
    expect_problem(get_package(f, box, box->request.token, NULL), "retired");
    expect_problem(put_addresses(f, box, box->request.token, "{\"seq\":9,\"v4\":[\"10.0.0.1\"],\"v6\":[]}"), "retired");
    expect_problem(send_csr(f, box, NULL, NULL), "retired");
    expect_problem(post(f, box, "/v1/session", "{}", (struct twist){0}), "retired");
    expect_problem(enrol_twisted(f, box, (struct twist){0}), "retired");

    /* After its reset the box is a new device; its grant does not bring the old name back. */
    char name[NP_NAME_MAX + 1];
    memcpy(name, box->told.names.name, sizeof name);
    memcpy(box->request.grant, box->told.grant, sizeof box->request.grant);
    box->request.epoch[0] ^= 1;
    enrol(f, box, 201);
    assert_string_not_equal(box->told.names.name, name);
    box_free(box);
    box_free(stranger);
}

static void test_compromise(void **state)
{
    struct fixture *f = *state;
    struct box *box = certified(f, "NP-0001");
    struct np_revocation revocation;
    expect_status(leave(f, box, "{\"reason\":\"compromise\"}", (struct twist){0}), 204);
    assert_int_equal(np_store_revocation_next(f->store, &revocation), 0);
    assert_int_equal(revocation.reason, NP_REVOKE_KEY_COMPROMISE);
    box_free(box);
}

static void test_blocked_may_not_leave(void **state)
{
    struct fixture *f = *state;
    struct box *box = certified(f, "NP-0001");
    struct np_device device = stored(f, box);
    device.state = NP_DEVICE_BLOCKED;
    assert_int_equal(np_store_device_update(f->store, &device), 0);
    expect_problem(leave(f, box, "{\"reason\":\"reset\"}", (struct twist){0}), "blocked");
    box_free(box);
}

int main(void)
{
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        API_TEST(test_from_csr_to_package),
        API_TEST(test_addresses_and_version),
        API_TEST(test_seen),
        API_TEST(test_renewal_of_one_who_comes_back),
        API_TEST(test_package_around_a_renewal),
        API_TEST(test_csr_again_after_the_end),
        API_TEST(test_refused_checkins),
        API_TEST(test_leave),
        API_TEST(test_compromise),
        API_TEST(test_blocked_may_not_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
