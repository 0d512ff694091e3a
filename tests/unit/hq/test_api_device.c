/* Protocol v1 without sockets: CSRs, packages, tokens and addresses. */
#include <openssl/pem.h>

#include "tests/unit/hq/box.h"

/* ---- Certificates ---- */

static void test_csr_and_package(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_message_error error;
    struct np_pending_answer pending;
    struct np_csr_answer first, second;
    struct np_package_answer *package = calloc(1, sizeof *package);
    char etag[NP_API_ETAG_MAX + 1], list[NP_API_ETAG_MAX + 8];
    enrol(f, box, 201);
    struct np_api_response response = get_package(f, box, box->request.token, NULL);
    assert_int_equal(np_pending_answer_parse(response.body, response.body_len, &pending, &error), 0);
    assert_string_equal(pending.state, "none");
    np_api_response_free(&response);

    response = send_csr(f, box, NULL, NULL);
    assert_int_equal(response.status, 202);
    assert_int_equal(np_csr_answer_parse(response.body, response.body_len, &first, &error), 0);
    np_api_response_free(&response);
    response = send_csr(f, box, NULL, NULL);
    assert_int_equal(np_csr_answer_parse(response.body, response.body_len, &second, &error), 0);
    assert_string_equal(first.order, second.order);
    np_api_response_free(&response);

    response = get_package(f, box, box->request.token, NULL);
    assert_int_equal(response.status, 202);
    assert_int_equal(response.retry_after_s, 1);
    assert_int_equal(np_pending_answer_parse(response.body, response.body_len, &pending, &error), 0);
    assert_string_equal(pending.state, "queued");
    np_api_response_free(&response);

    issue(f, box, "PEM");
    response = get_package(f, box, box->request.token, NULL);
    assert_int_equal(response.status, 200);
    assert_int_equal(np_package_answer_parse(response.body, response.body_len, package, &error), 0);
    assert_string_equal(package->chain, "PEM");
    assert_int_equal(package->n, 1);
    memcpy(etag, response.etag, sizeof etag);
    np_api_response_free(&response);
    expect_status(get_package(f, box, box->request.token, etag), 304);
    expect_status(get_package(f, box, box->request.token, etag + 2), 304); /* without W/ */
    snprintf(list, sizeof list, "\"x\", %s", etag);
    expect_status(get_package(f, box, box->request.token, list), 304);
    expect_status(get_package(f, box, box->request.token, "W/\"1-1-AAAAAAAAAAAA\""), 200); /* of the same number */
    expect_status(get_package(f, box, box->request.token, "\"1-12\""), 200);
    expect_status(get_package(f, box, box->request.token, "\"x\""), 200);

    /* A new key: its own order, and no certificate of the old key meanwhile. */
    EVP_PKEY *renewed = EVP_EC_gen("P-256");
    response = send_csr(f, box, renewed, NULL);
    assert_int_equal(np_csr_answer_parse(response.body, response.body_len, &second, &error), 0);
    assert_string_not_equal(first.order, second.order);
    np_api_response_free(&response);
    expect_status(get_package(f, box, box->request.token, NULL), 202);
    issue(f, box, "PEM 2");
    response = get_package(f, box, box->request.token, etag);
    assert_int_equal(response.status, 200);
    np_api_response_free(&response);
    EVP_PKEY_free(renewed);
    free(package);
    box_free(box);
}

/* A box that enrols and sends its CSR at every boot, and boots for ever: one device, one order, one key. */
static void test_boot_loop(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_message_error error;
    struct np_csr_answer told;
    char order[NP_DEVICE_ID_MAX + 1] = "";
    int64_t count, oldest;
    f->group_commit = true;
    enrol(f, box, 201);
    for (int i = 0; i < 1000; i++) {
        enrol(f, box, 200);
        struct np_api_response response = send_csr(f, box, NULL, NULL);
        assert_int_equal(response.status, 202);
        assert_int_equal(np_csr_answer_parse(response.body, response.body_len, &told, &error), 0);
        np_api_response_free(&response);
        assert_true(i == 0 || strcmp(order, told.order) == 0);
        memcpy(order, told.order, sizeof order);
    }
    assert_int_equal(np_store_order_count(f->store, box->told.device, 0, &count, &oldest), 0);
    assert_int_equal(count, 1);
    assert_int_equal(np_store_key_count(f->store, box->told.device, 0, &count, &oldest), 0);
    assert_int_equal(count, 1);
    box_free(box);
}

/* Position and eta, in the answer to the CSR and to a poll: two boxes before this one, and one place for all. */
static void test_position(void **state)
{
    struct fixture *f = *state;
    struct box *boxes[3];
    struct np_message_error error;
    struct np_pending_answer pending;
    struct np_csr_answer told;
    struct np_order order;
    np_outlook_init(&f->outlook, 1);
    f->outlook.typical_ms = 3000;
    for (int i = 0; i < 3; i++) {
        char serial[24];
        snprintf(serial, sizeof serial, "NP-000%d", i);
        boxes[i] = box_new(serial);
        enrol(f, boxes[i], 201);
        struct np_api_response response = send_csr(f, boxes[i], NULL, NULL);
        assert_int_equal(np_csr_answer_parse(response.body, response.body_len, &told, &error), 0);
        np_api_response_free(&response);
        assert_int_equal(told.position, i);
        assert_int_equal(told.eta_s, 3 * (i + 1));
    }
    assert_int_equal(np_store_order_newest(f->store, boxes[0]->told.device, &order), 0);
    order.begun = true;
    f->outlook.free = 0;
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    struct np_api_response response = get_package(f, boxes[2], boxes[2]->request.token, NULL);
    assert_int_equal(np_pending_answer_parse(response.body, response.body_len, &pending, &error), 0);
    assert_int_equal(response.retry_after_s, 4);
    np_api_response_free(&response);
    assert_string_equal(pending.order, told.order);
    assert_string_equal(pending.state, "queued");
    assert_int_equal(pending.position, 1);
    assert_int_equal(pending.eta_s, 9);
    for (int i = 0; i < 3; i++)
        box_free(boxes[i]);
}

/* A CSR for a new key takes the place of the one that waits: nobody needs a certificate for the old key. */
static void test_superseded(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    EVP_PKEY *keys[2] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-256")};
    struct np_order first, begun, newest;
    enrol(f, box, 201);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &first), 0);
    expect_status(send_csr(f, box, keys[0], NULL), 202);
    assert_int_equal(np_store_order_get(f->store, first.id, &first), 0);
    assert_int_equal(first.state, NP_ORDER_DEAD);
    assert_non_null(strstr(first.error, "newer CSR"));
    /* What is under way comes to its end. */
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &begun), 0);
    begun.begun = true;
    assert_int_equal(np_store_order_update(f->store, &begun), 0);
    expect_status(send_csr(f, box, keys[1], NULL), 202);
    assert_int_equal(np_store_order_get(f->store, begun.id, &begun), 0);
    assert_int_equal(begun.state, NP_ORDER_QUEUED);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &newest), 0);
    assert_string_not_equal(newest.id, begun.id);
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
    box_free(box);
}

static void test_bad_csrs(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *other = box_new("NP-0002");
    char path[96];
    enrol(f, box, 201);
    enrol(f, other, 201);
    expect_problem(send_csr(f, box, NULL, other->told.names.name), "bad-csr");
    expect_problem(send_csr(f, box, np_hq_key_handle(box->identity), NULL), "key-reused");
    expect_problem(send_csr(f, box, np_hq_key_handle(other->identity), NULL), "key-reused");
    expect_status(send_csr(f, box, NULL, NULL), 202);
    expect_problem(send_csr(f, other, box->tls, NULL), "key-reused");
    /* Signed by the right device for another one's path. */
    snprintf(path, sizeof path, "/v1/devices/%s/csr", other->told.device);
    expect_problem(post(f, box, path, "{\"csr\":\"AAAA\"}", (struct twist){0}), "bad-signature");
    snprintf(path, sizeof path, "/v1/devices/%s/csr", box->told.device);
    expect_problem(post(f, box, path, "{\"csr\":\"\"}", (struct twist){0}), "malformed");
    expect_problem(post(f, box, path, "{}", (struct twist){0}), "malformed");
    /* A key that was somebody's TLS key cannot become an identity. */
    struct box *third = box_new("NP-0003");
    np_hq_key_free(third->identity);
    char *pem = NULL;
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PrivateKey(bio, box->tls, NULL, NULL, 0, NULL, NULL), 1);
    long len = BIO_get_mem_data(bio, &pem);
    assert_int_equal(np_hq_key_parse(pem, (size_t)len, &third->identity), 0);
    BIO_free(bio);
    np_hq_key_crypto(third->identity, &third->crypto);
    np_hq_key_public(third->identity, &third->public_key);
    np_jwk_thumbprint(&third->crypto, &third->public_key, third->thumbprint);
    expect_problem(enrol_twisted(f, third, (struct twist){0}), "key-reused");
    box_free(third);
    box_free(box);
    box_free(other);
}

static void test_three_keys_a_week(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    EVP_PKEY *keys[5];
    enrol(f, box, 201);
    for (int i = 0; i < 5; i++) {
        keys[i] = EVP_EC_gen("P-256");
        if (i < 3) {
            expect_status(send_csr(f, box, keys[i], NULL), 202);
        } else {
            struct np_api_response response = send_csr(f, box, keys[i], NULL);
            assert_true(response.retry_after_s > 6 * 86400 && response.retry_after_s <= 7 * 86400 + 1);
            expect_problem(response, "rate-limited");
        }
    }
    expect_status(send_csr(f, box, keys[0], NULL), 202); /* an old key is no new one */
    f->now_us += 8 * 24 * HOUR_US;
    f->nonce[0] = 0;
    expect_status(send_csr(f, box, keys[4], NULL), 202);
    for (int i = 0; i < 5; i++)
        EVP_PKEY_free(keys[i]);
    box_free(box);
}

/* Two known keys in turn would otherwise make an order each time, until the CA's limits are used up for everybody. */
static void test_keys_in_turn(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    EVP_PKEY *keys[2] = {EVP_EC_gen("P-256"), EVP_EC_gen("P-256")};
    enrol(f, box, 201);
    for (int i = 0; i < NP_API_ORDERS_WEEK; i++)
        expect_status(send_csr(f, box, keys[i % 2], NULL), 202);
    expect_problem(send_csr(f, box, keys[NP_API_ORDERS_WEEK % 2], NULL), "rate-limited");
    expect_status(send_csr(f, box, keys[(NP_API_ORDERS_WEEK + 1) % 2], NULL), 202); /* the newest again: no new order */
    f->now_us += 8 * 24 * HOUR_US;
    f->nonce[0] = 0;
    expect_status(send_csr(f, box, keys[NP_API_ORDERS_WEEK % 2], NULL), 202);
    EVP_PKEY_free(keys[0]);
    EVP_PKEY_free(keys[1]);
    box_free(box);
}

static void test_dead_order_comes_back(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_order order;
    enrol(f, box, 201);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    order.state = NP_ORDER_DEAD;
    order.updated_ms = f->now_us / 1000;
    snprintf(order.order_url, sizeof order.order_url, "https://ca.example/order/1");
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_int_equal(order.state, NP_ORDER_DEAD);
    f->now_us += HOUR_US + 1000;
    f->nonce[0] = 0;
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_int_equal(order.state, NP_ORDER_QUEUED);
    assert_string_equal(order.order_url, "");
    box_free(box);
}

/* ---- Tokens ---- */

static void test_tokens(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_device device;
    uint8_t auth[4][32], wrong[32] = {1};
    enrol(f, box, 201);
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    for (int n = 0; n < 4; n++)
        np_hq_auth_token(f->api.pepper, device.id, device.epoch, n, auth[n]);
    const uint8_t *poll = box->request.token;
    expect_status(send_csr(f, box, NULL, NULL), 202);
    expect_problem(get_package(f, box, wrong, NULL), "unknown-token");
    expect_problem(get_package(f, box, auth[1], NULL), "unknown-token"); /* not handed out yet */
    issue(f, box, "1");
    expect_status(get_package(f, box, poll, NULL), 200);
    expect_status(get_package(f, box, auth[1], NULL), 200); /* used: the poll token's time is over */
    expect_problem(get_package(f, box, poll, NULL), "stale-token");
    expect_problem(get_package(f, box, auth[0], NULL), "stale-token");
    issue(f, box, "2");
    expect_status(get_package(f, box, auth[1], NULL), 200); /* the box does not know of 2 yet */
    expect_status(get_package(f, box, auth[2], NULL), 200);
    expect_problem(get_package(f, box, auth[1], NULL), "stale-token");
    expect_problem(get_package(f, box, auth[3], NULL), "unknown-token");
    /* Enrolled again, with a new token of its own, it may begin with that. */
    np_random_bytes(box->request.token, sizeof box->request.token);
    enrol(f, box, 200);
    expect_status(get_package(f, box, box->request.token, NULL), 200);
    expect_status(get_package(f, box, auth[2], NULL), 200);
    expect_problem(get_package(f, box, box->request.token, NULL), "stale-token");
    box_free(box);
}

static void test_authorization_header(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    static const char *const bad[] = {NULL, "", "Bearer", "Bearer ", "Basic QUFBQQ==", "Bearer QUFBQQ", "Bearer  x"};
    char path[96], good[80];
    enrol(f, box, 201);
    snprintf(path, sizeof path, "/v1/devices/%s/package", box->told.device);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_problem(ask(f, (struct np_api_request){.method = "GET", .path = path, .authorization = bad[i]}),
                       "unknown-token");
    bearer(box->request.token, good);
    memcpy(good, "bEARER", 6); /* RFC 9110 section 11.1: the scheme's case does not matter */
    expect_status(ask(f, (struct np_api_request){.method = "GET", .path = path, .authorization = good}), 202);
    box_free(box);
}

/* ---- Addresses ---- */

static void test_addresses(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    const uint8_t *token = box->request.token;
    struct np_addresses_answer answer;
    struct np_message_error error;
    struct np_problem problem;
    enrol(f, box, 201);
    np_store_take_events(f->store);
    static const char first[] = "{\"seq\":5,\"v4\":[\"10.0.0.1\",\"8.8.8.8\"],\"v6\":[\"fd00::1\"]}";
    struct np_api_response response = put_addresses(f, box, token, first);
    assert_int_equal(response.status, 200);
    assert_int_equal(np_addresses_answer_parse(response.body, response.body_len, &answer, &error), 0);
    assert_int_equal(answer.seq, 5);
    assert_int_equal(answer.published.v4_count, 1);
    assert_int_equal(answer.rejected_count, 1);
    int64_t serial = answer.serial;
    np_api_response_free(&response);
    assert_int_equal(np_store_take_events(f->store), NP_STORE_NAMES_CHANGED);
    /* Again: 200, and nothing changes. */
    response = put_addresses(f, box, token, first);
    assert_int_equal(np_addresses_answer_parse(response.body, response.body_len, &answer, &error), 0);
    assert_int_equal(answer.serial, serial);
    np_api_response_free(&response);
    assert_int_equal(np_store_take_events(f->store), 0);
    static const char *const stale[] = {
        "{\"seq\":5,\"v4\":[\"10.0.0.2\"],\"v6\":[]}",
        "{\"seq\":4,\"v4\":[\"10.0.0.1\",\"8.8.8.8\"],\"v6\":[\"fd00::1\"]}",
        "{\"seq\":1,\"v4\":[],\"v6\":[],\"withdraw\":true}",
    };
    for (size_t i = 0; i < sizeof stale / sizeof *stale; i++) {
        response = put_addresses(f, box, token, stale[i]);
        assert_int_equal(response.status, 409);
        assert_int_equal(np_problem_parse(response.body, response.body_len, &problem, &error), 0);
        assert_true(problem.has_seq);
        assert_int_equal(problem.seq, 5);
        expect_problem(response, "stale-seq");
    }
    static const char *const malformed[] = {
        "",
        "[]",
        "{}",
        "{\"seq\":6,\"v4\":[],\"v6\":[]}", /* nothing, and not meant */
        "{\"seq\":0,\"v4\":[\"10.0.0.1\"],\"v6\":[]}",
        "{\"seq\":\"6\",\"v4\":[\"10.0.0.1\"],\"v6\":[]}",
        "{\"seq\":6,\"v4\":[\"10.0.0.1\"]}",
        "{\"seq\":6,\"v4\":[\"fd00::1\"],\"v6\":[]}",
        "{\"seq\":6,\"v4\":[\"10.0.0.256\"],\"v6\":[]}",
        "{\"seq\":6,\"v4\":[\"10.0.0.1\"],\"v4\":[],\"v6\":[]}",
        "{\"seq\":6,\"v4\":[1,2],\"v6\":[]}",
        "{\"seq\":9007199254740993,\"v4\":[\"10.0.0.1\"],\"v6\":[]}",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++)
        expect_problem(put_addresses(f, box, token, malformed[i]), "malformed");
    expect_status(put_addresses(f, box, token, "{\"seq\":6,\"v4\":[],\"v6\":[],\"withdraw\":true}"), 200);
    struct np_device device;
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    assert_int_equal(device.seq, 6);
    assert_int_equal(device.published.v4_count + device.published.v6_count, 0);
    box_free(box);
}

static size_t v6_after(struct fixture *f, struct box *box, const char *client, const char *json)
{
    struct np_addresses_answer answer;
    struct np_message_error error;
    f->client = client;
    struct np_api_response response = put_addresses(f, box, box->request.token, json);
    assert_int_equal(response.status, 200);
    assert_int_equal(np_addresses_answer_parse(response.body, response.body_len, &answer, &error), 0);
    assert_int_equal(answer.published.v6_count + answer.rejected_count, 1);
    np_api_response_free(&response);
    return answer.published.v6_count;
}

/* A global address is published when it is stated from its own /64, and stays as long as that statement does. */
static void test_global_addresses(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    static const char first[] = "{\"seq\":1,\"v4\":[],\"v6\":[\"2001:4860:1:2::7\"]}";
    static const char second[] = "{\"seq\":2,\"v4\":[],\"v6\":[\"2001:4860:1:2::7\"]}";
    static const char own[] = "2001:4860:1:2::99", other[] = "2001:4860:1:3::99";
    enrol(f, box, 201);
    assert_int_equal(v6_after(f, box, own, first), 0); /* not by default */
    f->api.policy.publish_global = true;
    assert_int_equal(v6_after(f, box, other, first), 0);
    assert_int_equal(v6_after(f, box, own, first), 1);
    assert_int_equal(v6_after(f, box, "198.51.100.77", first), 1);
    assert_int_equal(v6_after(f, box, "198.51.100.77", second), 0);
    f->client = NULL;
    box_free(box);
}

/* The time, signed over the nonce of whoever asks. */
static void signs_the_time(void **state)
{
    struct fixture *f = *state;
    static const char body[] = "{\"nonce\":\"AAAAAAAAAAAAAAAAAAAAAA\"}", bad[] = "{\"nonce\":\"short\"}";
    struct np_api_request request = {.method = "POST",
                                     .path = "/v1/time",
                                     .content_type = "application/json",
                                     .body = body,
                                     .body_len = sizeof body - 1};
    struct np_time_answer told;
    struct np_crypto crypto;
    struct np_public_key key;
    int64_t time_s = 0;
    struct np_api_response response = ask(f, request);
    assert_int_equal(response.status, 200);
    assert_int_equal(np_time_answer_parse(response.body, response.body_len, &told, NULL), 0);
    np_api_response_free(&response);
    np_hq_crypto(&crypto);
    np_hq_key_public(f->grant_key, &key);
    assert_int_equal(np_time_verify(&crypto, told.signed_time, &key, "AAAAAAAAAAAAAAAAAAAAAA", &time_s), 0);
    assert_int_equal(time_s, f->now_us / 1000000);
    request.body = bad;
    request.body_len = sizeof bad - 1;
    expect_problem(ask(f, request), "malformed");
    request.content_type = "text/plain";
    expect_problem(ask(f, request), "unsupported-media");
    request.method = "GET";
    expect_problem(ask(f, request), "method-not-allowed");
}

int main(void)
{
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        API_TEST(signs_the_time),
        API_TEST(test_csr_and_package),
        API_TEST(test_bad_csrs),
        API_TEST(test_boot_loop),
        API_TEST(test_position),
        API_TEST(test_superseded),
        API_TEST(test_three_keys_a_week),
        API_TEST(test_keys_in_turn),
        API_TEST(test_dead_order_comes_back),
        API_TEST(test_tokens),
        API_TEST(test_authorization_header),
        API_TEST(test_addresses),
        API_TEST(test_global_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
