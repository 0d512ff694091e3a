/* The recorded requests of version 1's devices at today's HQ: taken as they were then, byte for byte and with their
 * signatures, and answered with every member that those devices read. */
#include "tests/unit/hq/box.h"
#include "tests/unit/proto/wire.h"

#include "hq/store/claims.h"
#include "hq/store/sql.h"

static void key_of(const json_t *keys, const char *member, uint8_t out[32])
{
    assert_int_equal(np_hex_decode_exact(wire_text(keys, member), out, 32), 0);
}

/* An HQ with the keys of that time, and nothing in its database but the claim code of the label. */
static void wire_setup(struct fixture *f, struct np_factorycert **out_factory)
{
    json_t *keys = wire_load("keys.json");
    const char *grant = wire_text(keys, "grant-key"), *anchors = wire_text(keys, "factory-ca");
    char code[NP_CLAIM_LEN + 1];
    struct np_claim claim = {.added_s = 1};
    key_of(keys, "pepper", f->api.pepper);
    key_of(keys, "nonce-key", f->api.nonce_key);
    key_of(keys, "factory-master", f->api.policy.master);
    np_hq_key_free(f->grant_key);
    assert_int_equal(np_hq_key_parse(grant, strlen(grant), &f->grant_key), 0);
    f->api.grant_key = f->grant_key;
    assert_int_equal(np_factorycert_new(anchors, strlen(anchors), true, out_factory), 0);
    f->api.policy.factory_certificate = *out_factory;
    f->api.policy.claim_code = f->api.policy.open = f->api.vanity.allowed = true;
    f->api.vanity.least = 4;
    f->api.vanity.greatest = 30;
    f->api.vanity.days = 90;
    f->api.vanity.per_device = f->api.vanity.per_network = 5;
    snprintf(f->api.url, sizeof f->api.url, "%s", wire_text(keys, "url"));
    snprintf(f->api.zone, sizeof f->api.zone, "%s", wire_text(keys, "zone"));
    assert_int_equal(np_claim_parse(wire_text(keys, "claim-code"), code), 0);
    np_hq_claim_hash(f->api.policy.master, code, claim.hash);
    snprintf(claim.model, sizeof claim.model, "%s", wire_text(keys, "claim-model"));
    assert_int_equal(np_store_claim_add(f->store, &claim), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    json_decref(keys);
}

/* HQ draws id and name of a new device at random: they are put back to what was drawn then. */
static void same_draw(struct fixture *f, const json_t *recorded, const json_t *today)
{
    static const char text[] = "UPDATE device SET id = ?, name = ? WHERE id = ?",
                      claims[] = "UPDATE claim SET device = ? WHERE device = ?";
    struct np_sql q = np_sql_start(f->store, text);
    np_sql_text(&q, wire_text(recorded, "device"));
    np_sql_name(&q, wire_text(recorded, "name"));
    np_sql_text(&q, wire_text(today, "device"));
    assert_int_equal(np_sql_run(&q), 0);
    q = np_sql_start(f->store, claims);
    np_sql_text(&q, wire_text(recorded, "device"));
    np_sql_text(&q, wire_text(today, "device"));
    assert_int_equal(np_sql_run(&q), 0);
    assert_int_equal(np_store_commit(f->store), 0);
}

/* What the CA had given: before a package is asked for that was there then. */
static void issue_recorded(struct fixture *f, const struct wire *w, const json_t *recorded)
{
    struct box *box = calloc(1, sizeof *box);
    struct np_device device;
    const char *id = w->path + strlen("/v1/devices/");
    snprintf(box->told.device, sizeof box->told.device, "%.*s", (int)strcspn(id, "/"), id);
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    f->now_us = w->at_us;
    if (json_integer_value(json_object_get(recorded, "n")) > device.auth_n) {
        struct np_order order;
        issue(f, box, wire_text(recorded, "chain"));
        assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
        order.state = NP_ORDER_DONE;
        assert_int_equal(np_store_order_update(f->store, &order), 0);
    }
    assert_int_equal(np_store_commit(f->store), 0);
    free(box);
}

static struct np_api_response replay(struct fixture *f, const struct wire *w)
{
    f->now_us = w->at_us - 1000; /* ask adds a millisecond */
    return ask(f, (struct np_api_request){.method = w->method,
                                          .path = w->path,
                                          .content_type = w->content_type,
                                          .authorization = w->authorization,
                                          .if_none_match = w->if_none_match,
                                          .body = w->body[0] ? w->body : NULL,
                                          .body_len = strlen(w->body)});
}

/* What a device of that time does with its answer, it can do with today's. */
static void compare(const struct wire *w, const struct np_api_response *response, const json_t *recorded,
                    const json_t *today)
{
    char lost[256] = "";
    if (response->status != w->status)
        fail_msg("%s: " WIRE_PROMISE " taking version 1's requests: this one was %d then and is %d now: %.*s", w->file,
                 w->status, response->status, (int)response->body_len, response->body ? response->body : "");
    assert_int_equal(recorded != NULL, today != NULL);
    if (recorded && wire_lost(recorded, today, lost, sizeof lost))
        fail_msg("%s: " WIRE_PROMISE " its members: HQ's answer has no %s any more, or of another type", w->file, lost);
    if (w->etag && strcmp(w->etag, response->etag) != 0)
        fail_msg("%s: ETag %s was %s", w->file, response->etag, w->etag);
    if (w->retry_after_s > 0 && response->retry_after_s <= 0)
        fail_msg("%s: " WIRE_PROMISE " Retry-After: this answer has none any more", w->file);
    const char *token = recorded ? wire_text(recorded, "auth_token") : NULL;
    if (token && strcmp(token, wire_text(today, "auth_token")) != 0)
        fail_msg("%s: HQ derives another auth token: every device would have to open a session", w->file);
    if (w->status >= 400 && strcmp(wire_text(recorded, "type"), wire_text(today, "type")) != 0)
        fail_msg("%s: " WIRE_PROMISE " its problem types: this one was %s then and is %s now", w->file,
                 wire_text(recorded, "type"), wire_text(today, "type"));
}

static void test_replay(void **state)
{
    struct fixture *f = *state;
    struct np_factorycert *factory;
    struct wire list[WIRE_MAX];
    size_t count = wire_all(list), signed_ones = 0;
    wire_setup(f, &factory);
    for (size_t i = 0; i < count; i++) {
        const struct wire *w = &list[i];
        json_t *recorded = w->answer[0] ? json_loads(w->answer, 0, NULL) : NULL;
        if (strcmp(w->step, "package") == 0 && w->status == 200)
            issue_recorded(f, w, recorded);
        struct np_api_response response = replay(f, w);
        json_t *today = response.body ? json_loadb(response.body, response.body_len, 0, NULL) : NULL;
        if (strcmp(w->method, "HEAD") != 0)
            compare(w, &response, recorded, today);
        if (strcmp(w->step, "enrol") == 0 && response.status == 201)
            same_draw(f, recorded, today);
        signed_ones += response.status < 300 && w->content_type && strstr(w->content_type, "jose");
        np_api_response_free(&response);
        json_decref(today);
        json_decref(recorded);
    }
    assert_true(signed_ones > 10);
    np_factorycert_free(factory);
    wire_free(list, count);
}

/* The unsigned requests with members that today's HQ does not know: a later device's. */
static void test_unknown_members(void **state)
{
    struct fixture *f = *state;
    struct np_factorycert *factory;
    struct wire list[WIRE_MAX];
    size_t count = wire_all(list), seen = 0;
    wire_setup(f, &factory);
    for (size_t i = 0; i < count; i++) {
        struct wire w = list[i];
        char *later = NULL;
        json_t *recorded = w.answer[0] ? json_loads(w.answer, 0, NULL) : NULL, *body;
        if (w.status < 300 && w.content_type && strcmp(w.content_type, "application/json") == 0) {
            body = json_loads(w.body, 0, NULL);
            wire_add_unknown(body);
            w.body = later = json_dumps(body, 0);
            json_decref(body);
            seen++;
        }
        if (strcmp(w.step, "package") == 0 && w.status == 200)
            issue_recorded(f, &w, recorded);
        struct np_api_response response = replay(f, &w);
        if (response.status != w.status)
            fail_msg("%s: docs/compatibility.md promises that unknown members are ignored: with one HQ answers %d "
                     "instead of %d",
                     w.file, response.status, w.status);
        if (strcmp(w.step, "enrol") == 0 && response.status == 201) {
            json_t *today = json_loadb(response.body, response.body_len, 0, NULL);
            same_draw(f, recorded, today);
            json_decref(today);
        }
        np_api_response_free(&response);
        json_decref(recorded);
        free(later);
    }
    assert_true(seen > 5);
    np_factorycert_free(factory);
    wire_free(list, count);
}

/* Grants of that time are still HQ's promise. */
static void test_grants(void **state)
{
    struct fixture *f = *state;
    struct np_factorycert *factory;
    struct np_public_key public_key;
    struct np_crypto crypto;
    struct wire list[WIRE_MAX];
    size_t count = wire_all(list), seen = 0;
    wire_setup(f, &factory);
    np_hq_key_public(f->grant_key, &public_key);
    np_hq_crypto(&crypto);
    for (size_t i = 0; i < count; i++) {
        struct np_grant grant;
        json_t *answer = list[i].answer[0] ? json_loads(list[i].answer, 0, NULL) : NULL;
        const char *text = answer ? wire_text(answer, "grant") : NULL;
        if (text) {
            assert_int_equal(np_grant_verify(&crypto, text, &public_key, &grant), 0);
            assert_string_equal(grant.name, wire_text(answer, "name"));
            seen++;
        }
        json_decref(answer);
    }
    assert_true(seen > 4);
    np_factorycert_free(factory);
    wire_free(list, count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_replay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_members, setup, teardown),
        cmocka_unit_test_setup_teardown(test_grants, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
