/* Enrolment by claim code, and the factory lists, through the API. */
#include "tests/unit/hq/box.h"

#include "hq/store/claims.h"

/* A code that HQ knows, in the form of the label. */
static void add_code(struct fixture *f, uint8_t byte, const char *serial, const char *model,
                     char out_text[NP_CLAIM_LEN + 4])
{
    uint8_t random[NP_CLAIM_RANDOM];
    char code[NP_CLAIM_LEN + 1];
    struct np_claim claim = {.added_s = 1};
    memset(random, byte, sizeof random);
    np_claim_make(random, code);
    np_claim_format(code, out_text);
    np_hq_claim_hash(f->api.policy.master, code, claim.hash);
    snprintf(claim.serial, sizeof claim.serial, "%s", serial);
    snprintf(claim.model, sizeof claim.model, "%s", model);
    assert_int_equal(np_store_claim_add(f->store, &claim), 0);
}

static struct box *claim_box(const char *code)
{
    struct box *box = box_new("");
    box->request.credential.type = NP_CREDENTIAL_CLAIM_CODE;
    snprintf(box->request.credential.code, sizeof box->request.credential.code, "%.*s",
             (int)sizeof box->request.credential.code - 1, code);
    return box;
}

static int setup_claims(void **state)
{
    setup(state);
    ((struct fixture *)*state)->api.policy.claim_code = true;
    return 0;
}

static void leave(struct fixture *f, struct box *box)
{
    char path[96];
    snprintf(path, sizeof path, "/v1/devices/%s/leave", box->told.device);
    expect_status(post(f, box, path, "{\"reason\":\"reset\"}", (struct twist){0}), 204);
}

static void test_claim_and_repeat(void **state)
{
    struct fixture *f = *state;
    struct np_device device;
    char code[NP_CLAIM_LEN + 4];
    add_code(f, 1, "NP-0001", "model", code);
    struct box *box = claim_box(code), *late = claim_box(code);
    enrol(f, box, 201);
    char name[NP_NAME_MAX + 1];
    memcpy(name, box->told.names.name, sizeof name);
    enrol(f, box, 200); /* its answer may have been lost */
    assert_string_equal(box->told.names.name, name);
    assert_int_equal(np_store_device_get(f->store, box->told.device, &device), 0);
    assert_string_equal(device.serial, "NP-0001"); /* the label proves it */
    assert_int_equal(device.credential, NP_CREDENTIAL_CLAIM_CODE);
    expect_problem(enrol_twisted(f, late, (struct twist){0}), "bad-credential");
    /* Another epoch of the same box is another device: its code is used. */
    struct np_enrol_answer told = box->told;
    uint8_t epoch[NP_EPOCH_LEN];
    memcpy(epoch, box->request.epoch, sizeof epoch);
    np_random_bytes(box->request.epoch, sizeof box->request.epoch);
    expect_problem(enrol_twisted(f, box, (struct twist){0}), "bad-credential");
    memcpy(box->request.epoch, epoch, sizeof epoch);
    box->told = told;
    /* Who leaves frees it. */
    leave(f, box);
    enrol(f, late, 201);
    assert_string_not_equal(late->told.names.name, name);
    box_free(box);
    box_free(late);
}

static void test_bad_codes(void **state)
{
    struct fixture *f = *state;
    char known[NP_CLAIM_LEN + 4], unknown[NP_CLAIM_LEN + 4], code[NP_CLAIM_LEN + 1];
    uint8_t random[NP_CLAIM_RANDOM] = {7};
    add_code(f, 1, "", "", known);
    np_claim_make(random, code);
    np_claim_format(code, unknown);
    const char *const bad[] = {unknown, "0000-0000-0000-0001", "x", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct box *box = claim_box(bad[i]);
        expect_problem(enrol_twisted(f, box, (struct twist){0}), "bad-credential");
        box_free(box);
    }
    struct box *box = claim_box(known);
    f->api.policy.claim_code = false;
    expect_problem(enrol_twisted(f, box, (struct twist){0}), "credential-unsupported");
    f->api.policy.claim_code = true;
    /* The hash is keyed: another HQ's codes are unknown here. */
    f->api.policy.master[0] ^= 1;
    expect_problem(enrol_twisted(f, box, (struct twist){0}), "bad-credential");
    f->api.policy.master[0] ^= 1;
    enrol(f, box, 201);
    box_free(box);
}

/* 200 boxes with one label, all in one turn of the server before anything is on disk. */
static void test_200_at_once(void **state)
{
    enum { BOXES = 200 };
    struct fixture *f = *state;
    struct box *boxes[BOXES];
    struct np_device device;
    char code[NP_CLAIM_LEN + 4];
    int winner = -1;
    add_code(f, 1, "", "", code);
    expect_status(ask(f, (struct np_api_request){.method = "GET", .path = "/v1/nonce"}), 204);
    f->group_commit = true;
    for (int i = 0; i < BOXES; i++) {
        boxes[i] = claim_box(code);
        struct np_api_response response = enrol_twisted(f, boxes[i], (struct twist){0});
        if (response.status == 201) {
            assert_int_equal(winner, -1);
            winner = i;
            struct np_message_error error;
            assert_int_equal(np_enrol_answer_parse(response.body, response.body_len, &boxes[i]->told, &error), 0);
            np_api_response_free(&response);
        } else {
            expect_problem(response, "bad-credential");
        }
    }
    assert_int_equal(np_store_commit(f->store), 0);
    f->group_commit = false;
    assert_int_equal(winner, 0);
    for (int i = 0; i < BOXES; i++) {
        assert_int_equal(np_store_device_find(f->store, boxes[i]->thumbprint, boxes[i]->request.epoch, &device),
                         i == winner ? 0 : NP_E_NOT_FOUND);
        box_free(boxes[i]);
    }
}

static void test_lists(void **state)
{
    struct fixture *f = *state;
    char code[NP_CLAIM_LEN + 4], other[NP_CLAIM_LEN + 4];
    struct box *unlisted = box_new("NP-0001"), *listed = box_new("NP-0002"), *wrong = box_new("NP-0003");
    add_code(f, 1, "", "another model", code);
    add_code(f, 2, "NP-0003", "", other); /* whose list has the model with the serial number */
    assert_int_equal(np_store_serial_add(f->store, "NP-0002", "", 1), 0);
    assert_int_equal(np_store_serial_add(f->store, "NP-0003", "another model", 1), 0);
    struct box *claimed = claim_box(code), *by_label = claim_box(other);
    enrol(f, unlisted, 201);
    expect_problem(enrol_twisted(f, wrong, (struct twist){0}), "bad-credential");
    expect_problem(enrol_twisted(f, claimed, (struct twist){0}), "bad-credential");
    expect_problem(enrol_twisted(f, by_label, (struct twist){0}), "bad-credential");
    f->api.policy.listed_only = true;
    enrol(f, unlisted, 200); /* whoever is in stays in */
    np_random_bytes(unlisted->request.epoch, sizeof unlisted->request.epoch);
    expect_problem(enrol_twisted(f, unlisted, (struct twist){0}), "bad-credential");
    enrol(f, listed, 201);
    snprintf(wrong->request.model, sizeof wrong->request.model, "another model");
    snprintf(claimed->request.model, sizeof claimed->request.model, "another model");
    snprintf(by_label->request.model, sizeof by_label->request.model, "another model");
    enrol(f, wrong, 201);
    enrol(f, claimed, 201);
    enrol(f, by_label, 201);
    struct box *boxes[] = {unlisted, listed, wrong, claimed, by_label};
    for (size_t i = 0; i < sizeof boxes / sizeof *boxes; i++)
        box_free(boxes[i]);
}

/* A block holds for the serial number of the label, and the limits of a serial number count for it. */
static void test_serial_of_the_label(void **state)
{
    struct fixture *f = *state;
    char codes[4][NP_CLAIM_LEN + 4];
    struct box *boxes[4];
    struct np_device device;
    for (int i = 0; i < 4; i++) {
        add_code(f, (uint8_t)i, "NP-0001", "", codes[i]);
        boxes[i] = claim_box(codes[i]);
    }
    for (int i = 0; i < 3; i++)
        enrol(f, boxes[i], 201);
    expect_problem(enrol_twisted(f, boxes[3], (struct twist){0}), "rate-limited");
    leave(f, boxes[1]);
    leave(f, boxes[2]);
    assert_int_equal(np_store_device_get(f->store, boxes[0]->told.device, &device), 0);
    device.state = NP_DEVICE_BLOCKED;
    assert_int_equal(np_store_device_update(f->store, &device), 0);
    expect_problem(enrol_twisted(f, boxes[3], (struct twist){0}), "blocked");
    for (int i = 0; i < 4; i++)
        box_free(boxes[i]);
}

/* A device that is in already by other means, and shows a label's code too. */
static void test_code_of_a_known_device(void **state)
{
    struct fixture *f = *state;
    char code[NP_CLAIM_LEN + 4];
    struct box *box = box_new("NP-0001");
    add_code(f, 1, "", "", code);
    struct box *other = claim_box(code);
    enrol(f, box, 201);
    box->request.credential.type = NP_CREDENTIAL_CLAIM_CODE;
    snprintf(box->request.credential.code, sizeof box->request.credential.code, "%s", code);
    enrol(f, box, 200);
    expect_problem(enrol_twisted(f, other, (struct twist){0}), "bad-credential"); /* a code shown is a code used */
    enrol(f, box, 200);
    box_free(box);
    box_free(other);
}

int main(void)
{
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, setup_claims, teardown)
    const struct CMUnitTest tests[] = {
        API_TEST(test_claim_and_repeat),    API_TEST(test_bad_codes),
        API_TEST(test_200_at_once),         API_TEST(test_lists),
        API_TEST(test_serial_of_the_label), API_TEST(test_code_of_a_known_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
