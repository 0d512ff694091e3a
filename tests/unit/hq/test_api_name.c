/* Names that owners choose, from the wish to the end of the name before: what HQ answers, stores, shows in the zone,
 * keeps for ever, and brings back when its database was lost. */
#include "tests/unit/hq/box.h"

#include <errno.h>
#include <pthread.h>

#include "hq/acme/renewer.h"
#include "hq/store/audit.h"
#include "hq/store/browse.h"
#include "hq/store/ledger.h"
#include "hq/store/naming.h"

#define DAY_S 86400

/* ---- Asking ---- */

static struct np_api_response ask_name(struct fixture *f, const struct box *box, const char *payload)
{
    char path[96];
    snprintf(path, sizeof path, "/v1/devices/%s/name", box->told.device);
    return post(f, box, path, payload, (struct twist){0});
}

/* A good answer, parsed. */
static struct np_name_answer name_answer(struct fixture *f, const struct box *box, const char *payload)
{
    struct np_api_response response = ask_name(f, box, payload);
    struct np_message_error error;
    struct np_name_answer answer;
    if (response.status != 200)
        fail_msg("%s: %d %s", payload, response.status, response.body);
    assert_int_equal(np_name_answer_parse(response.body, response.body_len, &answer, &error), 0);
    np_api_response_free(&response);
    return answer;
}

static struct np_api_response send_names(struct fixture *f, struct box *box, EVP_PKEY *key, const char *sans)
{
    return send_csr(f, box, key, sans); /* "a,DNS:b": the recipe's own words */
}

/* What issuance does with the newest order, for so long a life. */
static void issue_for(struct fixture *f, const struct box *box, int64_t life_s)
{
    struct np_order order;
    struct np_package *package = calloc(1, sizeof *package);
    int64_t n;
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    snprintf(package->chain, sizeof package->chain, "chain of %s", order.id);
    package->not_before_s = f->now_us / 1000000;
    package->not_after_s = package->not_before_s + life_s;
    package->created_ms = f->now_us / 1000;
    package->renew_ms = (package->not_before_s + life_s * 2 / 3) * 1000;
    assert_int_equal(np_store_package_add(f->store, &order, package, &n), 0);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    order.state = NP_ORDER_DONE;
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    free(package);
}

/* A device with a certificate of 90 days, and a policy that lets it choose. */
static struct box *box_ready(struct fixture *f, const char *serial)
{
    struct box *box = box_new(serial);
    f->api.vanity.allowed = true;
    f->api.vanity.least = 3;
    f->api.vanity.greatest = 30;
    f->api.vanity.days = 90;
    f->api.vanity.per_device = 3;
    f->api.vanity.per_network = 10;
    enrol(f, box, 201);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    issue_for(f, box, 90 * DAY_S);
    return box;
}

/* Is the name in the zone, with addresses? By all three ways in which the zone is read. */

struct seen {
    const char *name;
    bool found, present;
    size_t addresses;
};

static int see(void *ctx, const struct np_zone_name *name)
{
    struct seen *seen = ctx;
    if (strcmp(name->name, seen->name) == 0) {
        seen->found = true;
        seen->present = name->present;
        seen->addresses = name->published.v4_count + name->published.v6_count;
    }
    return 0;
}

static bool shown(struct fixture *f, const char *name)
{
    struct np_zone_name one;
    struct seen walk = {.name = name}, gone = {.name = name};
    assert_int_equal(np_store_name_get(f->store, name, &one), 0);
    assert_int_equal(np_store_names_after(f->store, "", 1000, see, &walk), 0);
    assert_int_equal(np_store_names_gone_after(f->store, "", 1000, see, &gone), 0);
    assert_int_equal(one.present, walk.found);
    assert_false(walk.found && gone.found);
    if (one.present) {
        assert_int_equal(walk.addresses, one.published.v4_count + one.published.v6_count);
        assert_true(walk.addresses > 0);
    }
    return one.present;
}

static bool is_dirty(struct fixture *f, const char *name)
{
    struct seen seen = {.name = name};
    assert_int_equal(np_store_dirty_after(f->store, 0, 1000, see, &seen), 0);
    return seen.found;
}

static void publish_all(struct fixture *f, const char *name)
{
    struct np_zone_name one;
    assert_int_equal(np_store_name_get(f->store, name, &one), 0);
    assert_int_equal(np_store_dirty_done(f->store, name, one.version), 0);
    assert_false(is_dirty(f, name));
}

static int count_action(void *ctx, const struct np_audit *entry)
{
    void **pair = ctx;
    if (strcmp(entry->action, pair[0]) == 0)
        ++*(size_t *)pair[1];
    return 0;
}

static size_t audited(struct fixture *f, const char *action)
{
    size_t count = 0;
    char word[32];
    snprintf(word, sizeof word, "%s", action);
    void *pair[] = {word, &count};
    struct np_audit_filter filter = {.limit = 1000};
    assert_int_equal(np_store_audit_each(f->store, &filter, count_action, pair), 0);
    return count;
}

/* Two names for a CSR. */
static const char *both(const char *a, const char *b, char out[600])
{
    snprintf(out, 600, "%s,DNS:%s", a, b);
    return out;
}

static void pass(struct fixture *f, int64_t seconds)
{
    f->now_us += seconds * 1000000;
    f->nonce[0] = 0;
}

/* ---- The whole way ---- */

static void test_whole_way(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_ready(f, "NP-0001");
    char old[NP_NAME_MAX + 1], sans[600];
    struct np_device device;
    EVP_PKEY *key = EVP_EC_gen("P-256"), *third = EVP_EC_gen("P-256");
    memcpy(old, box->told.names.name, sizeof old);
    int64_t old_end_s = f->now_us / 1000000 + 90 * DAY_S;

    /* What it would mean; nothing is changed. */
    struct np_name_answer answer = name_answer(f, box, "{\"name\":\"Kitchen\",\"check\":true}");
    assert_string_equal(answer.offer.name, "kitchen.devices.example");
    assert_true(answer.offer.until_s >= old_end_s - 5 && answer.offer.until_s <= old_end_s);
    assert_true(answer.offer.public_count >= 4);
    assert_non_null(strstr(answer.offer.becomes_public[0], "Certificate Transparency"));
    assert_non_null(strstr(answer.offer.becomes_public[1], "192.168.1.10"));
    assert_string_equal(answer.names.name, old);
    assert_string_equal(answer.names.wanted, "");
    assert_int_equal(answer.names.san_count, 1);
    assert_false(shown(f, "kitchen.devices.example"));
    assert_int_equal(audited(f, NP_AUDIT_NAME_ASK), 0);

    /* Given: shown at once, and the name is still the old one. */
    answer = name_answer(f, box, "{\"name\":\"kitchen\"}");
    assert_string_equal(answer.offer.name, "");
    assert_string_equal(answer.names.name, old);
    assert_string_equal(answer.names.wanted, "kitchen.devices.example");
    assert_int_equal(answer.names.san_count, 2);
    assert_string_equal(answer.names.san[0], "kitchen.devices.example");
    assert_string_equal(answer.names.san[1], old);
    assert_true(shown(f, "kitchen.devices.example") && shown(f, old));
    assert_true(is_dirty(f, "kitchen.devices.example"));
    assert_int_equal(audited(f, NP_AUDIT_NAME_ASK), 1);
    /* Again is the same; another one has to wait. */
    answer = name_answer(f, box, "{\"name\":\"KITCHEN\"}");
    assert_string_equal(answer.names.wanted, "kitchen.devices.example");
    assert_int_equal(audited(f, NP_AUDIT_NAME_ASK), 1);
    expect_problem(ask_name(f, box, "{\"name\":\"pantry\"}"), "name-not-now");
    /* An enrolment that is repeated tells the same, and does not undo it. */
    enrol(f, box, 200);
    assert_string_equal(box->told.names.name, old);
    assert_string_equal(box->told.names.wanted, "kitchen.devices.example");
    /* Both names move together. */
    publish_all(f, old);
    publish_all(f, "kitchen.devices.example");
    expect_status(put_addresses(f, box, box->request.token, "{\"seq\":3,\"v4\":[\"192.168.7.7\"],\"v6\":[]}"), 200);
    assert_true(is_dirty(f, old) && is_dirty(f, "kitchen.devices.example"));

    /* The CSR: both, or (from a device that has not heard) the old one alone; nothing else. */
    expect_problem(send_names(f, box, key, "kitchen.devices.example"), "bad-csr");
    expect_problem(send_names(f, box, key, both("kitchen.devices.example", "pantry.devices.example", sans)), "bad-csr");
    expect_status(send_names(f, box, key, both("kitchen.devices.example", old, sans)), 202);
    struct np_order order;
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_int_equal(order.authorization_count, 2);
    assert_int_equal(np_store_name_ordered(f->store, "kitchen.devices.example"), 1);
    assert_int_equal(np_store_name_ordered(f->store, old), 1);

    /* The certificate is there: the names change places. */
    pass(f, 60);
    issue_for(f, box, 90 * DAY_S);
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    assert_string_equal(device.name, "kitchen.devices.example");
    assert_int_equal(audited(f, NP_AUDIT_NAME_CHANGE), 1);
    answer = name_answer(f, box, "{}");
    assert_string_equal(answer.names.name, "kitchen.devices.example");
    assert_string_equal(answer.names.wanted, "");
    assert_string_equal(answer.names.old, old);
    assert_true(answer.names.old_until_s >= old_end_s - 5 && answer.names.old_until_s <= old_end_s);
    assert_int_equal(answer.names.san_count, 2);
    assert_string_equal(answer.names.san[0], "kitchen.devices.example");
    assert_true(shown(f, "kitchen.devices.example") && shown(f, old));
    expect_problem(ask_name(f, box, "{\"name\":\"pantry\"}"), "name-not-now");
    struct np_grant grant;
    struct np_public_key public_key;
    np_hq_key_public(f->grant_key, &public_key);
    assert_int_equal(np_grant_verify(&box->crypto, answer.grant, &public_key, &grant), 0);
    assert_string_equal(grant.name, "kitchen.devices.example");
    assert_int_equal(strlen(grant.old), strcspn(old, "."));
    assert_int_equal(grant.old_until_s, answer.names.old_until_s);

    /* The old one's time is over: it goes, and nobody gets it. */
    pass(f, answer.names.old_until_s - f->now_us / 1000000 - 100);
    assert_int_equal(np_store_naming_end_due(f->store, NULL, f->now_us / 1000000, 10), 0);
    assert_true(shown(f, old));
    pass(f, 101);
    assert_int_equal(np_store_naming_end_due(f->store, NULL, f->now_us / 1000000, 10), 1);
    assert_false(shown(f, old));
    assert_true(is_dirty(f, old));
    assert_true(shown(f, "kitchen.devices.example"));
    assert_int_equal(audited(f, NP_AUDIT_NAME_END), 1);
    answer = name_answer(f, box, "{}");
    assert_string_equal(answer.names.old, "");
    assert_int_equal(answer.names.san_count, 1);
    /* Neither the CSR with both, nor a renewal from it, is possible any more. */
    expect_problem(send_names(f, box, third, both("kitchen.devices.example", old, sans)), "bad-csr");
    expect_status(send_names(f, box, third, "kitchen.devices.example"), 202);
    EVP_PKEY_free(key);
    EVP_PKEY_free(third);
    box_free(box);
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_ready(f, "NP-0001"), *other = box_ready(f, "NP-0002"), *young = box_new("NP-0003");
    char taken[80], sans[600];
    EVP_PKEY *key = EVP_EC_gen("P-256");
    enrol(f, young, 201);
    expect_problem(ask_name(f, young, "{\"name\":\"kitchen\"}"), "name-not-now");
    expect_problem(ask_name(f, box, "{\"name\":\"a.b\"}"), "bad-name");
    expect_problem(ask_name(f, box, "{\"name\":\"admin\"}"), "name-reserved");
    expect_problem(ask_name(f, box, "{\"name\":\"nifty-babbage\"}"), "name-reserved");
    expect_problem(ask_name(f, box, "{\"name\":17}"), "malformed");
    expect_problem(ask_name(f, box, "{\"name\":\"kitchen\",\"check\":1}"), "malformed");
    expect_problem(ask_name(f, box, "[]"), "malformed");
    /* The holder's, also while it is only wanted. */
    name_answer(f, box, "{\"name\":\"kitchen\"}");
    expect_problem(ask_name(f, other, "{\"name\":\"kitchen\",\"check\":true}"), "name-taken");
    expect_problem(ask_name(f, other, "{\"name\":\"KITCHEN\"}"), "name-taken");
    /* Signed by somebody else. */
    snprintf(taken, sizeof taken, "/v1/devices/%s/name", box->told.device);
    expect_problem(post(f, other, taken, "{\"name\":\"pantry\"}", (struct twist){0}), "bad-signature");
    /* While the policy is off, a wish that was granted is seen through, and no other one is. */
    f->api.vanity.allowed = false;
    expect_problem(ask_name(f, other, "{\"name\":\"pantry\"}"), "vanity-off");
    assert_string_equal(name_answer(f, box, "{}").names.wanted, "kitchen.devices.example");
    expect_status(send_names(f, box, key, both("kitchen.devices.example", box->told.names.name, sans)), 202);
    issue_for(f, box, 90 * DAY_S);
    assert_string_equal(name_answer(f, box, "{}").names.name, "kitchen.devices.example");
    f->api.vanity.allowed = true;
    expect_problem(ask_name(f, other, "{\"name\":\"kitchen\"}"), "name-taken");
    /* Nor does HQ let anybody choose while names may be held that it does not know of. */
    assert_int_equal(np_store_recovery_set(f->store, f->now_us / 1000000 + 1000), 0);
    expect_problem(ask_name(f, other, "{\"name\":\"pantry\"}"), "name-not-now");
    assert_int_equal(np_store_recovery_set(f->store, 0), 0);
    /* Nor while the certificate is just being renewed. */
    pass(f, 61 * DAY_S);
    expect_problem(ask_name(f, other, "{\"name\":\"pantry\"}"), "name-not-now");
    EVP_PKEY_free(key);
    box_free(box);
    box_free(other);
    box_free(young);
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_ready(f, "NP-0001"), *others[3];
    char old[NP_NAME_MAX + 1], sans[600], payload[64], name[80];
    f->api.vanity.per_network = 3;
    f->api.vanity.per_device = 2;
    /* A device: not again within 90 days, and twice in its life. */
    for (int i = 0; i < 2; i++) {
        memcpy(old, i ? name : box->told.names.name, sizeof name);
        snprintf(payload, sizeof payload, "{\"name\":\"kitchen%c\"}", 'a' + i);
        snprintf(name, sizeof name, "kitchen%c.devices.example", 'a' + i);
        name_answer(f, box, payload);
        EVP_PKEY *key = EVP_EC_gen("P-256");
        expect_status(send_names(f, box, key, both(name, old, sans)), 202);
        issue_for(f, box, 90 * DAY_S);
        pass(f, 89 * DAY_S);
        assert_int_equal(np_store_naming_end_due(f->store, NULL, INT64_MAX / 2000, 10), 1);
        EVP_PKEY *next = EVP_EC_gen("P-256");
        expect_status(send_names(f, box, next, name), 202);
        issue_for(f, box, 90 * DAY_S);
        expect_problem(ask_name(f, box, "{\"name\":\"pantry\"}"), i ? "name-not-now" : "rate-limited");
        pass(f, 2 * DAY_S);
        EVP_PKEY_free(key);
        EVP_PKEY_free(next);
    }
    expect_problem(ask_name(f, box, "{\"name\":\"pantry\"}"), "name-not-now");
    /* A network: three in a year, one of them the box's second (the first is older than that by now). */
    for (int i = 0; i < 3; i++) {
        snprintf(payload, sizeof payload, "NP-001%d", i);
        others[i] = box_ready(f, payload);
        f->api.vanity.per_network = 3;
        snprintf(payload, sizeof payload, "{\"name\":\"room%c\"}", 'a' + i);
        if (i < 1)
            name_answer(f, others[i], payload);
        else
            expect_problem(ask_name(f, others[i], payload), "rate-limited");
    }
    f->client = "203.0.113.5";
    name_answer(f, others[1], "{\"name\":\"roomb\"}");
    for (int i = 0; i < 3; i++)
        box_free(others[i]);
    box_free(box);
}

/* ---- A wish that comes to nothing ---- */

static void expect_as_before(struct fixture *f, const struct box *box, const char *old, const char *order)
{
    struct np_order newest;
    struct np_name_answer answer = name_answer(f, box, "{}");
    assert_string_equal(answer.names.name, old);
    assert_string_equal(answer.names.wanted, "");
    assert_int_equal(answer.names.san_count, 1);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &newest), 0);
    assert_string_equal(newest.id, order);
    assert_false(shown(f, "kitchen.devices.example"));
    assert_true(shown(f, old));
    assert_true(is_dirty(f, "kitchen.devices.example"));
    assert_int_equal(audited(f, NP_AUDIT_NAME_REFUSED), 1);
    expect_problem(ask_name(f, box, "{\"name\":\"kitchen\"}"), "name-taken");
    /* It does not count. */
    assert_string_equal(name_answer(f, box, "{\"name\":\"pantry\"}").names.wanted, "pantry.devices.example");
}

static void test_ca_refuses(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_ready(f, "NP-0001");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct np_order first, order;
    char sans[600];
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &first), 0);
    name_answer(f, box, "{\"name\":\"kitchen\"}");
    expect_status(send_names(f, box, key, both("kitchen.devices.example", box->told.names.name, sans)), 202);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    order.state = NP_ORDER_DEAD;
    snprintf(order.error, sizeof order.error, "rejectedIdentifier: no");
    order.updated_ms = f->now_us / 1000;
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    assert_int_equal(np_store_order_get(f->store, order.id, &order), NP_E_NOT_FOUND);
    expect_as_before(f, box, box->told.names.name, first.id);
    EVP_PKEY_free(key);
    box_free(box);
}

/* By the time that the old certificate is renewed, a wish without one is given up, whatever holds it up: no CSR, a CA
 * that is away; an order that is being worked on is waited for. */
static void test_renewal_comes_first(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++) {
        struct box *box = box_ready(f, i ? "NP-0002" : "NP-0001");
        EVP_PKEY *key = EVP_EC_gen("P-256");
        struct np_renewer *renewer;
        struct np_order first, order;
        char sans[600], wish[64];
        uv_loop_t loop;
        uv_loop_init(&loop);
        assert_int_equal(np_renewer_new(&loop, f->store, &renewer), 0);
        assert_int_equal(np_store_order_newest(f->store, box->told.device, &first), 0);
        snprintf(wish, sizeof wish, "{\"name\":\"kitchen%d\"}", i);
        name_answer(f, box, wish);
        snprintf(wish, sizeof wish, "kitchen%d.devices.example", i);
        if (i) {
            expect_status(send_names(f, box, key, both(wish, box->told.names.name, sans)), 202);
            assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
            order.state = NP_ORDER_ORDERED;
            assert_int_equal(np_store_order_update(f->store, &order), 0);
        }
        pass(f, 61 * DAY_S);
        expect_status(put_addresses(f, box, box->request.token, "{\"seq\":9,\"v4\":[\"192.168.1.9\"],\"v6\":[]}"), 200);
        assert_true(np_renewer_turn(renewer, f->now_us / 1000) > 0);
        if (i) { /* its order is being worked on */
            assert_true(shown(f, wish));
            order.state = NP_ORDER_BACKOFF;
            order.next_try_ms = INT64_MAX / 2;
            assert_int_equal(np_store_order_update(f->store, &order), 0);
            pass(f, 2 * 3600);
            assert_true(np_renewer_turn(renewer, f->now_us / 1000) > 0);
        }
        assert_false(shown(f, wish));
        assert_true(shown(f, box->told.names.name));
        assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
        assert_string_not_equal(order.id, first.id);
        assert_int_equal(order.state, NP_ORDER_QUEUED);
        assert_int_equal(order.authorization_count, 1);
        assert_string_equal(order.authorizations[0].name, box->told.names.name);
        assert_memory_equal(order.key, first.key, sizeof order.key);
        issue_for(f, box, 90 * DAY_S);
        np_renewer_close(renewer, NULL, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
        assert_int_equal(uv_loop_close(&loop), 0);
        EVP_PKEY_free(key);
        box_free(box);
    }
}

/* After the end of the old name nothing is ordered for it; the device's own CSR goes on from there. */
static void test_no_renewal_of_an_ended_name(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_ready(f, "NP-0001");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    struct np_renewer *renewer;
    struct np_order before, order;
    char sans[600];
    uv_loop_t loop;
    uv_loop_init(&loop);
    assert_int_equal(np_renewer_new(&loop, f->store, &renewer), 0);
    name_answer(f, box, "{\"name\":\"kitchen\"}");
    expect_status(send_names(f, box, key, both("kitchen.devices.example", box->told.names.name, sans)), 202);
    pass(f, 50 * DAY_S);
    issue_for(f, box, 90 * DAY_S);
    pass(f, 45 * DAY_S);
    assert_int_equal(np_store_naming_end_due(f->store, NULL, f->now_us / 1000000, 10), 1);
    pass(f, 20 * DAY_S);
    expect_status(put_addresses(f, box, box->request.token, "{\"seq\":9,\"v4\":[\"192.168.1.9\"],\"v6\":[]}"), 200);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &before), 0);
    assert_int_equal(np_renewer_turn(renewer, f->now_us / 1000), 1);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_string_equal(order.id, before.id);
    expect_status(get_package(f, box, box->request.token, NULL), 200);
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_string_equal(order.id, before.id);
    assert_int_equal(np_renewer_turn(renewer, f->now_us / 1000), 0); /* not at every look */
    np_renewer_close(renewer, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    EVP_PKEY_free(key);
    box_free(box);
}

/* ---- Leaving, blocks, silence ---- */

static void test_both_names_go(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_ready(f, "NP-0001"), *other = box_ready(f, "NP-0002");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char old[NP_NAME_MAX + 1], sans[600], path[96];
    memcpy(old, box->told.names.name, sizeof old);
    name_answer(f, box, "{\"name\":\"kitchen\"}");
    for (int round = 0; round < 2; round++) { /* wanted, then held */
        assert_int_equal(np_store_device_block(f->store, box->told.device, f->now_us / 1000), 0);
        assert_false(shown(f, old) || shown(f, "kitchen.devices.example"));
        assert_true(is_dirty(f, old) && is_dirty(f, "kitchen.devices.example"));
        expect_problem(ask_name(f, box, "{}"), "blocked");
        assert_int_equal(np_store_device_unblock(f->store, box->told.device), 0);
        assert_true(shown(f, old) && shown(f, "kitchen.devices.example"));
        assert_int_equal(np_store_device_silence(f->store, box->told.device, INT64_MAX / 2, f->now_us / 1000000), 0);
        assert_false(shown(f, old) || shown(f, "kitchen.devices.example"));
        name_answer(f, box, "{}");
        assert_true(shown(f, old) && shown(f, "kitchen.devices.example"));
        if (round == 0) {
            expect_status(send_names(f, box, key, both("kitchen.devices.example", old, sans)), 202);
            issue_for(f, box, 90 * DAY_S);
        }
    }
    snprintf(path, sizeof path, "/v1/devices/%s/leave", box->told.device);
    expect_status(post(f, box, path, "{\"reason\":\"reset\"}", (struct twist){0}), 204);
    assert_false(shown(f, old) || shown(f, "kitchen.devices.example"));
    assert_true(is_dirty(f, old) && is_dirty(f, "kitchen.devices.example"));
    expect_problem(ask_name(f, box, "{}"), "retired");
    expect_problem(ask_name(f, other, "{\"name\":\"kitchen\"}"), "name-taken");
    assert_int_equal(np_store_name_known(f->store, old), 1);
    struct np_device thief;
    assert_int_equal(np_store_device_get(f->store, other->told.device, &thief), 0);
    assert_int_equal(np_store_naming_free(f->store, &thief, old), NP_E_CONFLICT);
    EVP_PKEY_free(key);
    box_free(box);
    box_free(other);
}

/* ---- A lost database ---- */

static int copy_ledger(void *ctx, const struct np_ledger_entry *entry)
{
    assert_int_equal(np_store_ledger_take(ctx, entry), 0);
    return 0;
}

/* Another HQ with the same keys and an empty database, into which the ledger's file was read. */
static struct fixture *lose(struct fixture *f)
{
    struct fixture *lost = NULL;
    setup((void **)&lost);
    np_hq_key_free(lost->grant_key);
    lost->grant_key = NULL;
    lost->api.grant_key = f->grant_key;
    lost->api.vanity = f->api.vanity;
    lost->now_us = f->now_us;
    assert_int_equal(np_store_ledger_after(f->store, 0, 1000, copy_ledger, lost->store), 0);
    assert_int_equal(np_store_commit(lost->store), 0);
    return lost;
}

static void test_lost_database(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_ready(f, "NP-0001"), *thief = box_ready(f, "NP-0002");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char old[NP_NAME_MAX + 1], sans[600];
    memcpy(old, box->told.names.name, sizeof old);
    name_answer(f, box, "{\"name\":\"kitchen\"}");
    expect_status(send_names(f, box, key, both("kitchen.devices.example", old, sans)), 202);
    issue_for(f, box, 90 * DAY_S);
    struct np_name_answer told = name_answer(f, box, "{}");
    struct fixture *lost = lose(f);
    /* Before its box is back, nobody gets the name: the ledger knows whose it is. */
    memset(thief->told.device, 0, sizeof thief->told.device);
    enrol(lost, thief, 201);
    expect_status(send_csr(lost, thief, NULL, NULL), 202);
    issue_for(lost, thief, 90 * DAY_S);
    expect_problem(ask_name(lost, thief, "{\"name\":\"kitchen\"}"), "name-taken");
    /* Its box shows the grant: both names are back, until the same day. */
    memcpy(box->request.grant, told.grant, sizeof told.grant);
    memset(box->told.device, 0, sizeof box->told.device);
    enrol(lost, box, 201);
    assert_string_equal(box->told.names.name, "kitchen.devices.example");
    assert_string_equal(box->told.names.old, old);
    assert_int_equal(box->told.names.old_until_s, told.names.old_until_s);
    assert_int_equal(box->told.names.san_count, 2);
    assert_true(shown(lost, "kitchen.devices.example") && shown(lost, old));
    struct np_naming_row rows[NP_NAMING_PAST_MAX];
    size_t count;
    assert_int_equal(np_store_naming_rows(lost->store, box->told.device, rows, &count), 0);
    assert_int_equal(count, 2);
    /* Where the box was silent meanwhile and the old name's time is over, the chosen one comes back alone. */
    struct fixture *late = lose(f);
    late->now_us += 91 * DAY_S * INT64_C(1000000);
    memset(box->told.device, 0, sizeof box->told.device);
    enrol(late, box, 201);
    assert_string_equal(box->told.names.name, "kitchen.devices.example");
    assert_string_equal(box->told.names.old, "");
    assert_false(shown(late, old));
    late->api.grant_key = lost->api.grant_key = NULL;
    teardown((void **)&late);
    teardown((void **)&lost);
    EVP_PKEY_free(key);
    box_free(box);
    box_free(thief);
}

/* A database from before the change: the device is known by its old name, and shows a grant for the new one, with
 * whatever request comes first. */
static void test_older_backup(void **state)
{
    struct fixture *f = *state;
    for (int by_enrolment = 0; by_enrolment < 2; by_enrolment++) {
        struct box *box = box_ready(f, by_enrolment ? "NP-0001" : "NP-0002");
        char old[NP_NAME_MAX + 1], chosen[80], payload[NP_GRANT_MAX + 32];
        struct np_crypto crypto;
        struct np_grant grant = {.issued_s = 1, .old_until_s = f->now_us / 1000000 + 10 * DAY_S};
        memcpy(old, box->told.names.name, sizeof old);
        snprintf(chosen, sizeof chosen, "kitchen%d.devices.example", by_enrolment);
        snprintf(grant.name, sizeof grant.name, "%s", chosen);
        snprintf(grant.old, sizeof grant.old, "%.*s", (int)strcspn(old, "."), old);
        memcpy(grant.thumbprint, box->thumbprint, sizeof grant.thumbprint);
        np_hq_key_crypto(f->grant_key, &crypto);
        assert_int_equal(np_grant_sign(&crypto, &grant, box->request.grant), 0);
        snprintf(payload, sizeof payload, "{\"grant\":\"%s\"}", box->request.grant);
        if (by_enrolment)
            enrol(f, box, 200);
        else
            name_answer(f, box, payload);
        struct np_name_answer answer = name_answer(f, box, "{}");
        assert_string_equal(answer.names.name, chosen);
        assert_string_equal(answer.names.old, old);
        assert_int_equal(answer.names.old_until_s, grant.old_until_s);
        assert_true(shown(f, chosen) && shown(f, old));
        assert_true(audited(f, NP_AUDIT_GRANT) > 0);
        /* Shown again it changes nothing; nor does an older one, whose name is the old one now. */
        name_answer(f, box, payload);
        snprintf(grant.name, sizeof grant.name, "%s", old);
        grant.old[0] = 0;
        assert_int_equal(np_grant_sign(&crypto, &grant, box->request.grant), 0);
        enrol(f, box, 200);
        assert_string_equal(box->told.names.name, chosen);
        box_free(box);
    }
    /* Another's grant, and one for a name that has left, are worth nothing. */
    struct box *box = box_ready(f, "NP-0003");
    struct np_crypto crypto;
    struct np_grant grant = {.issued_s = 1, .name = "gone.devices.example"};
    char payload[NP_GRANT_MAX + 32], text[NP_GRANT_MAX + 1];
    np_hq_key_crypto(f->grant_key, &crypto);
    assert_int_equal(np_grant_sign(&crypto, &grant, text), 0);
    snprintf(payload, sizeof payload, "{\"grant\":\"%s\"}", text);
    assert_string_equal(name_answer(f, box, payload).names.name, box->told.names.name);
    memcpy(grant.thumbprint, box->thumbprint, sizeof grant.thumbprint);
    assert_int_equal(np_store_tombstone_add(f->store, "gone.devices.example", 1), 0);
    assert_int_equal(np_grant_sign(&crypto, &grant, text), 0);
    snprintf(payload, sizeof payload, "{\"grant\":\"%s\"}", text);
    assert_string_equal(name_answer(f, box, payload).names.name, box->told.names.name);
    box_free(box);
}

/* ---- Two HQs ---- */

#define RACERS 8

struct racer {
    const char *where;
    struct np_device device;
    pthread_barrier_t *start;
    int rc;
};

static void *race(void *ctx)
{
    struct racer *racer = ctx;
    struct np_store *store;
    char error[256];
    racer->rc = np_store_open(racer->where, false, &store, error, sizeof error);
    pthread_barrier_wait(racer->start);
    if (racer->rc)
        return NULL;
    do
        racer->rc = np_store_naming_ask(store, &racer->device, "kitchen.devices.example", "-", 1790000000);
    while (racer->rc == -EAGAIN);
    if (racer->rc == 0)
        racer->rc = np_store_commit(store);
    np_store_close(store);
    return NULL;
}

/* However many HQs hear of it at once: one box gets the name. */
static void test_race(void **state)
{
    struct fixture *f = *state;
    struct racer racers[RACERS];
    struct box *boxes[RACERS];
    pthread_t threads[RACERS];
    pthread_barrier_t start;
    char serial[16];
    int won = 0;
    pthread_barrier_init(&start, NULL, RACERS);
    for (int i = 0; i < RACERS; i++) {
        snprintf(serial, sizeof serial, "NP-%04d", i);
        boxes[i] = box_new(serial);
        enrol(f, boxes[i], 201);
        racers[i] = (struct racer){.where = f->database.where, .start = &start};
        assert_int_equal(np_store_device_get(f->store, boxes[i]->told.device, &racers[i].device), 0);
    }
    assert_int_equal(np_store_commit(f->store), 0);
    for (int i = 0; i < RACERS; i++)
        pthread_create(&threads[i], NULL, race, &racers[i]);
    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        won += racers[i].rc == 0;
        assert_true(racers[i].rc == 0 || racers[i].rc == NP_E_CONFLICT);
        box_free(boxes[i]);
    }
    assert_int_equal(won, 1);
    pthread_barrier_destroy(&start);
}

/* ---- Finding ---- */

static int first_found(void *ctx, const struct np_device *device)
{
    memcpy(ctx, device->name, sizeof device->name);
    return 1;
}

static void test_find(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_ready(f, "NP-0001");
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char old[NP_NAME_MAX + 1], sans[600], found[NP_NAME_MAX + 1] = "";
    memcpy(old, box->told.names.name, sizeof old);
    name_answer(f, box, "{\"name\":\"kitchen\"}");
    assert_int_equal(np_store_devices_find(f->store, "kitch", 10, first_found, found), 1);
    assert_string_equal(found, old);
    expect_status(send_names(f, box, key, both("kitchen.devices.example", old, sans)), 202);
    issue_for(f, box, 90 * DAY_S);
    assert_int_equal(np_store_devices_find(f->store, "Kitchen", 10, first_found, found), 1);
    assert_string_equal(found, "kitchen.devices.example");
    found[0] = 0;
    assert_int_equal(np_store_devices_find(f->store, old, 10, first_found, found), 1);
    assert_string_equal(found, "kitchen.devices.example");
    EVP_PKEY_free(key);
    box_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_way, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ca_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_renewal_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_renewal_of_an_ended_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_both_names_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_database, setup, teardown),
        cmocka_unit_test_setup_teardown(test_older_backup, setup, teardown),
        cmocka_unit_test_setup_teardown(test_race, setup, teardown),
        cmocka_unit_test_setup_teardown(test_find, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
