/* Factory lists and claim codes in the store: added once, taken once. */
#include "tests/unit/hq/box.h"

#include <errno.h>

#include "hq/store/claims.h"

static struct np_claim make_claim(uint8_t byte, const char *serial, const char *model)
{
    struct np_claim claim = {.added_s = 100};
    memset(claim.hash, byte, sizeof claim.hash);
    snprintf(claim.serial, sizeof claim.serial, "%s", serial);
    snprintf(claim.model, sizeof claim.model, "%s", model);
    return claim;
}

static struct np_device make_device(uint8_t byte, const char *name)
{
    struct np_device device = {.credential = NP_CREDENTIAL_CLAIM_CODE, .created_s = 200};
    memset(device.thumbprint, byte, sizeof device.thumbprint);
    snprintf(device.id, sizeof device.id, "device-%u", byte);
    snprintf(device.name, sizeof device.name, "%s", name);
    return device;
}

static void test_add_and_repeat(void **state)
{
    struct fixture *f = *state;
    struct np_claim claim = make_claim(1, "NP-1", "m"), other = make_claim(1, "NP-2", "m"), got;
    char model[NP_MODEL_MAX + 1];
    assert_int_equal(np_store_claim_get(f->store, claim.hash, &got), NP_E_NOT_FOUND);
    assert_int_equal(np_store_claim_add(f->store, &claim), 0);
    assert_int_equal(np_store_claim_add(f->store, &claim), -EEXIST);
    assert_int_equal(np_store_claim_add(f->store, &other), NP_E_CONFLICT);
    assert_int_equal(np_store_claim_get(f->store, claim.hash, &got), 0);
    assert_string_equal(got.serial, "NP-1");
    assert_string_equal(got.device, "");
    assert_int_equal(np_store_serial_get(f->store, "NP-1", model), NP_E_NOT_FOUND);
    assert_int_equal(np_store_serial_add(f->store, "NP-1", "m", 1), 0);
    assert_int_equal(np_store_serial_add(f->store, "NP-1", "m", 2), -EEXIST);
    assert_int_equal(np_store_serial_add(f->store, "NP-1", "n", 2), NP_E_CONFLICT);
    assert_int_equal(np_store_serial_get(f->store, "NP-1", model), 0);
    assert_string_equal(model, "m");
}

static void test_taken_once(void **state)
{
    struct fixture *f = *state;
    struct np_claim claim = make_claim(1, "", ""), got;
    assert_int_equal(np_store_claim_take(f->store, claim.hash, "a", 5), NP_E_CONFLICT); /* not there */
    assert_int_equal(np_store_claim_add(f->store, &claim), 0);
    assert_int_equal(np_store_claim_take(f->store, claim.hash, "a", 5), 0);
    assert_int_equal(np_store_claim_take(f->store, claim.hash, "b", 6), NP_E_CONFLICT);
    assert_int_equal(np_store_claim_take(f->store, claim.hash, "a", 7), NP_E_CONFLICT);
    assert_int_equal(np_store_claim_get(f->store, claim.hash, &got), 0);
    assert_string_equal(got.device, "a");
    assert_int_equal(got.claimed_s, 5);
    assert_int_equal(np_store_claim_add(f->store, &claim), -EEXIST); /* an import again frees nothing */
    assert_int_equal(np_store_claim_take(f->store, claim.hash, "b", 8), NP_E_CONFLICT);
    assert_int_equal(np_store_claim_release(f->store, claim.hash), 0);
    assert_int_equal(np_store_claim_take(f->store, claim.hash, "b", 9), 0);
    assert_int_equal(np_store_claims_release_of(f->store, "a"), 0); /* somebody else's */
    assert_int_equal(np_store_claim_take(f->store, claim.hash, "c", 10), NP_E_CONFLICT);
    assert_int_equal(np_store_claims_release_of(f->store, "b"), 0);
    assert_int_equal(np_store_claim_take(f->store, claim.hash, "c", 11), 0);
    memset(claim.hash, 9, sizeof claim.hash);
    assert_int_equal(np_store_claim_release(f->store, claim.hash), NP_E_NOT_FOUND);
}

/* The device and its code: both or neither. */
static void test_device_and_code_are_one_step(void **state)
{
    struct fixture *f = *state;
    struct np_claim claim = make_claim(1, "", ""), got;
    struct np_device first = make_device(1, "one.devices.example"), second = make_device(2, "one.devices.example"),
                     none;
    assert_int_equal(np_store_device_add_claimed(f->store, &first, claim.hash), NP_E_STALE);
    assert_int_equal(np_store_device_get(f->store, first.id, &none), NP_E_NOT_FOUND);
    assert_int_equal(np_store_device_add(f->store, &first), 0);
    assert_int_equal(np_store_claim_add(f->store, &claim), 0);
    /* The name is taken: the code stays free, for the next proposal. */
    assert_int_equal(np_store_device_add_claimed(f->store, &second, claim.hash), NP_E_CONFLICT);
    assert_int_equal(np_store_claim_get(f->store, claim.hash, &got), 0);
    assert_string_equal(got.device, "");
    snprintf(second.name, sizeof second.name, "two.devices.example");
    assert_int_equal(np_store_device_add_claimed(f->store, &second, claim.hash), 0);
    assert_int_equal(np_store_commit(f->store), 0);
    assert_int_equal(np_store_claim_get(f->store, claim.hash, &got), 0);
    assert_string_equal(got.device, second.id);
    assert_int_equal(np_store_device_retire(f->store, second.id, NP_REVOKE_CESSATION, 1000), 0);
    assert_int_equal(np_store_claim_get(f->store, claim.hash, &got), 0);
    assert_string_equal(got.device, "");
}

int main(void)
{
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        STORE_TEST(test_add_and_repeat),
        STORE_TEST(test_taken_once),
        STORE_TEST(test_device_and_code_are_one_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
