/* The audit log: what is decided is written, in the order of deciding, and nobody changes it afterwards. */
#include "tests/unit/hq/box.h"

#include <errno.h>

#include "hq/store/audit.h"
#include "hq/store/claims.h"
#include "hq/store/ledger.h"

/* What the log tells: "actor action name detail" by lines. */
struct told {
    char text[4096];
    size_t len;
    int64_t seq;
};

static int tell(void *ctx, const struct np_audit *entry)
{
    struct told *told = ctx;
    assert_int_equal(entry->seq, ++told->seq); /* no gaps */
    told->len += (size_t)snprintf(told->text + told->len, sizeof told->text - told->len, "%s %s %s %s\n", entry->actor,
                                  entry->action, entry->serial, entry->detail);
    return 0;
}

static void expect_log(struct fixture *f, const char *wanted)
{
    struct told told = {.len = 0};
    const struct np_audit_filter all = {.limit = 1000};
    assert_int_equal(np_store_audit_each(f->store, &all, tell, &told), 0);
    assert_string_equal(told.text, wanted);
}

static void test_decisions(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *second = box_new("NP-0001"), *claimed = box_new("");
    uint8_t random[NP_CLAIM_RANDOM] = {1};
    struct np_claim claim = {.serial = "NP-0002"};
    char code[NP_CLAIM_LEN + 1], path[96], hex[NP_HEX_LEN(4)], wanted[600];
    f->api.policy.claim_code = true;
    np_claim_make(random, code);
    np_hq_claim_hash(f->api.policy.master, code, claim.hash);
    np_hex_encode(claim.hash, 4, hex);
    assert_int_equal(np_store_claim_add(f->store, &claim), 0);
    enrol(f, box, 201);
    enrol(f, box, 200); /* a repetition decides nothing */
    claimed->request.credential.type = NP_CREDENTIAL_CLAIM_CODE;
    snprintf(claimed->request.credential.code, sizeof claimed->request.credential.code, "%s", code);
    enrol(f, claimed, 201);
    second->request.credential.serial[0] = 'X';
    memcpy(second->request.grant, box->told.grant, sizeof second->request.grant); /* somebody else's: no grant */
    enrol(f, second, 201);
    snprintf(path, sizeof path, "/v1/devices/%s/leave", box->told.device);
    expect_status(post(f, box, path, "{\"reason\":\"resale\"}", (struct twist){0}), 204);
    expect_status(post(f, box, path, "{\"reason\":\"reset\"}", (struct twist){0}), 204); /* again: nothing */
    snprintf(wanted, sizeof wanted,
             "device enrol NP-0001 factory-secret, model model, from 198.51.100.0/24\n"
             "device enrol NP-0002 claim-code, model model, from 198.51.100.0/24\n"
             "device claim NP-0002 %s\n"
             "device enrol XP-0001 factory-secret, model model, from 198.51.100.0/24\n"
             "device leave NP-0001 resale\n",
             hex);
    expect_log(f, wanted);
    assert_null(strstr(wanted, code));
    box_free(box);
    box_free(second);
    box_free(claimed);
}

static void test_grant_is_told(void **state)
{
    struct fixture *f = *state, *lost;
    struct box *box = box_new("NP-0001");
    enrol(f, box, 201);
    setup((void **)&lost);
    np_hq_key_free(lost->grant_key);
    lost->grant_key = NULL;
    lost->api.grant_key = f->grant_key;
    memcpy(box->request.grant, box->told.grant, sizeof box->request.grant);
    enrol(lost, box, 201);
    expect_log(lost, "device enrol NP-0001 factory-secret, model model, from 198.51.100.0/24\n"
                     "device grant NP-0001 its name is back\n");
    teardown((void **)&lost);
    box_free(box);
}

static void add(struct fixture *f, int64_t at_ms, const char *device, const char *detail)
{
    struct np_device of = {.name = "a.devices.example", .serial = "NP-1"};
    struct np_audit entry;
    snprintf(of.id, sizeof of.id, "%s", device);
    np_audit_fill(&entry, at_ms, "operator:root", NP_AUDIT_BLOCK, device[0] ? &of : NULL, "%s", detail);
    assert_int_equal(np_store_audit_add(f->store, &entry), 0);
}

static int count(void *ctx, const struct np_audit *entry)
{
    struct told *told = ctx;
    told->seq = told->seq * 10 + entry->seq;
    return 0;
}

static void test_filters(void **state)
{
    struct fixture *f = *state;
    struct told told;
    const struct {
        struct np_audit_filter filter;
        int64_t seqs; /* as digits, oldest first */
    } rows[] = {
        {{.limit = 10}, 12345},
        {{.limit = 2}, 45},
        {{.limit = 10, .since_ms = 3000}, 345},
        {{.limit = 10, .device = "a"}, 135},
        {{.limit = 2, .device = "a"}, 35},
        {{.limit = 10, .device = "a", .since_ms = 2000}, 35},
        {{.limit = 10, .device = "nobody"}, 0},
        {{.limit = 10, .since_ms = 9000}, 0},
    };
    static const char *const devices[] = {"a", "b", "a", "", "a"};
    for (int i = 0; i < 5; i++)
        add(f, (i + 1) * 1000, devices[i], "x\n\x1b[31m");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        told = (struct told){.len = 0};
        assert_int_equal(np_store_audit_each(f->store, &rows[i].filter, count, &told), 0);
        assert_int_equal(told.seq, rows[i].seqs);
    }
    told = (struct told){.len = 0};
    assert_int_equal(np_store_audit_each(f->store, &rows[0].filter, tell, &told), 0);
    assert_non_null(strstr(told.text, "NP-1 x??[31m\n")); /* nothing in it moves a terminal's cursor */
}

/* Past the store, with the rights of HQ itself. */
static void test_append_only(void **state)
{
    struct fixture *f = *state;
    static const char *const attempts[] = {
        "UPDATE audit SET detail = 'nothing' WHERE seq = 2",
        "DELETE FROM audit",
        "DELETE FROM audit WHERE seq = 3",
        "INSERT OR REPLACE INTO audit VALUES(2, 0, '', '', '', '', '', 'nothing')",
        "INSERT INTO audit VALUES(2, 0, '', '', '', '', '', 'x') ON CONFLICT(seq) DO UPDATE SET detail = 'nothing'",
        "INSERT INTO audit VALUES(9, 0, '', '', '', '', '', 'a gap')",
        "TRUNCATE audit",
    };
    for (int i = 0; i < 3; i++)
        add(f, (i + 1) * 1000, "a", "as it was");
    assert_int_equal(np_store_commit(f->store), 0);
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        database_try(&f->database, attempts[i]);
    expect_log(f, "operator:root block NP-1 as it was\n"
                  "operator:root block NP-1 as it was\n"
                  "operator:root block NP-1 as it was\n");
}

/* An entry lives and dies with what it tells. */
static void test_with_its_transaction(void **state)
{
    struct fixture *f = *state;
    struct np_claim claim = {.serial = "NP-1"};
    f->group_commit = true;
    assert_int_equal(np_store_lock(f->store), 0);
    add(f, 1000, "a", "one");
    assert_int_equal(np_store_claim_add(f->store, &claim), 0);
    assert_int_equal(np_store_claim_add(f->store, &claim), -EEXIST); /* undoes itself alone */
    add(f, 2000, "a", "two");
    assert_int_equal(np_store_commit(f->store), 0);
    expect_log(f, "operator:root block NP-1 one\noperator:root block NP-1 two\n");
}

/* ---- Blocking ---- */

static bool shown(struct fixture *f, const char *name)
{
    struct np_zone_name zone;
    assert_int_equal(np_store_name_get(f->store, name, &zone), 0);
    return zone.present;
}

static void test_block_and_unblock(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *other = box_new("NP-0001");
    struct np_order order;
    char *id = box->told.device;
    enrol(f, box, 201);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    assert_true(shown(f, box->told.names.name));
    assert_int_equal(np_store_device_unblock(f->store, id), NP_E_REFUSED);
    assert_int_equal(np_store_device_block(f->store, id, 1000), 0);
    assert_int_equal(np_store_device_block(f->store, id, 1000), 0);
    assert_false(shown(f, box->told.names.name));
    assert_int_equal(np_store_order_newest(f->store, id, &order), 0);
    assert_int_equal(order.state, NP_ORDER_DEAD);
    assert_string_equal(order.error, "the operator has blocked the device");
    expect_problem(get_package(f, box, box->request.token, NULL), "blocked");
    expect_problem(post(f, box, "/v1/session", "{}", (struct twist){0}), "blocked");
    expect_problem(enrol_twisted(f, other, (struct twist){0}), "blocked"); /* the same serial number */
    assert_int_equal(np_store_device_unblock(f->store, id), 0);
    assert_true(shown(f, box->told.names.name));
    expect_status(get_package(f, box, box->request.token, NULL), 202);
    enrol(f, other, 201);
    assert_int_equal(np_store_device_retire(f->store, id, NP_REVOKE_CESSATION, 1000), 0);
    assert_int_equal(np_store_device_block(f->store, id, 1000), NP_E_REFUSED);
    assert_int_equal(np_store_device_unblock(f->store, id), NP_E_REFUSED);
    assert_int_equal(np_store_device_block(f->store, "nobody", 1000), NP_E_NOT_FOUND);
    assert_int_equal(np_store_device_unblock(f->store, "nobody"), NP_E_NOT_FOUND);
    box_free(box);
    box_free(other);
}

/* ---- What cannot be written down has not been decided ---- */

/* From here on the database takes no entry more. */
static void fill_log(struct fixture *f)
{
    database_run(&f->database,
                 "CREATE TRIGGER full_up BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no more'); END",
                 "ALTER TABLE audit ADD CONSTRAINT full_up CHECK (seq < 0) NOT VALID");
}

static struct np_device stored(struct fixture *f, const struct box *box)
{
    struct np_device device;
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    return device;
}

/* A request is one thing: without its entry nothing of it is kept, and the others of its turn are not harmed. */
static void test_request_without_entry(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001"), *other = box_new("NP-0002"), *late = box_new("NP-0003");
    struct np_device device;
    char path[96];
    enrol(f, box, 201);
    enrol(f, other, 201);
    expect_status(send_csr(f, box, NULL, NULL), 202);
    int64_t nonce_us = stored(f, box).nonce_us;
    fill_log(f);
    snprintf(path, sizeof path, "/v1/devices/%s/leave", box->told.device);
    f->group_commit = true;
    expect_status(put_addresses(f, other, other->request.token, "{\"seq\":1,\"v4\":[\"192.168.1.77\"],\"v6\":[]}"),
                  200);
    expect_problem(post(f, box, path, "{\"reason\":\"resale\"}", (struct twist){0}), "internal");
    expect_problem(enrol_twisted(f, late, (struct twist){0}), "internal");
    expect_status(send_csr(f, other, NULL, NULL), 202);
    assert_int_equal(np_store_commit(f->store), 0);
    device = stored(f, box);
    assert_int_equal(device.state, NP_DEVICE_ACTIVE);
    assert_true(device.nonce_us == nonce_us);
    struct np_order order;
    assert_int_equal(np_store_order_newest(f->store, box->told.device, &order), 0);
    assert_int_equal(order.state, NP_ORDER_QUEUED);
    assert_int_equal(np_store_device_find(f->store, late->thumbprint, late->request.epoch, &device), NP_E_NOT_FOUND);
    assert_int_equal(stored(f, other).seq, 1);
    assert_int_equal(np_store_order_newest(f->store, other->told.device, &order), 0);
    box_free(box);
    box_free(other);
    box_free(late);
}

/* What the operator's verbs do: change, write down, commit. One that ends before the commit has changed nothing. */
static void test_verb_without_entry(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    struct np_audit entry;
    int64_t seq, at_s;
    enrol(f, box, 201);
    fill_log(f);
    struct np_device device = stored(f, box);
    np_audit_fill(&entry, NOW_US / 1000, "root", NP_AUDIT_BLOCK, &device, "%s", "");
    assert_int_equal(np_store_lock(f->store), 0);
    assert_int_equal(np_store_device_block(f->store, device.id, NOW_US / 1000), 0);
    assert_int_not_equal(np_store_audit_add(f->store, &entry), 0);
    np_store_close(f->store);
    f->store = database_open(&f->database);
    assert_int_equal(stored(f, box).state, NP_DEVICE_ACTIVE);
    assert_int_equal(np_store_ledger_last(f->store, &seq, &at_s), 0);
    assert_int_equal(seq, 0);
    box_free(box);
}

int main(void)
{
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        API_TEST(test_decisions),
        API_TEST(test_grant_is_told),
        API_TEST(test_filters),
        API_TEST(test_append_only),
        API_TEST(test_with_its_transaction),
        API_TEST(test_block_and_unblock),
        API_TEST(test_request_without_entry),
        API_TEST(test_verb_without_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
