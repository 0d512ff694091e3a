/* The enrolment machine and the names that an owner chooses: asking, the way to the new name, the end of the old one,
 * and each way in which it may come to nothing. */
#include "tests/unit/agent/enrol_box.h"

#define CHOSEN "kitchen.devices.example"

static void pass(int64_t seconds)
{
    now_ms += seconds * 1000;
    now_s += seconds;
}

static void wish(const char *label, bool check)
{
    step((struct np_enrol_event){.type = NP_EVENT_NAME, .reason = label, .check = check});
}

/* Asks with the nonce at hand, or after one was fetched. */
static void expect_question(const char *label, bool check)
{
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_NAME);
    assert_string_equal(action.name.name, label);
    assert_int_equal(action.name.check, check);
    assert_string_equal(action.name.grant, device.grant);
}

static void fill_names(const char *name, const char *wanted, const char *old, int64_t until_s)
{
    struct np_names *names = &response.name.names;
    const char *const all[] = {wanted, name, old};
    snprintf(names->name, sizeof names->name, "%s", name);
    snprintf(names->wanted, sizeof names->wanted, "%s", wanted);
    snprintf(names->old, sizeof names->old, "%s", old);
    names->old_until_s = until_s;
    for (size_t i = 0; i < 3; i++) {
        if (all[i][0])
            snprintf(names->san[names->san_count++], sizeof names->san[0], "%s", all[i]);
    }
}

static void answer_names(const char *name, const char *wanted, const char *old, int64_t until_s)
{
    clear();
    fill_names(name, wanted, old, until_s);
    snprintf(response.name.grant, sizeof response.name.grant, "grant for %s", name);
    answer(200);
}

/* A package with these names. */
static void answer_named(int64_t n, const struct np_private_key *key, bool from_next, int64_t days,
                         const char *const *sans, size_t count)
{
    struct np_private_key ca = test_ca_key(200);
    struct test_certificate leaf = {.subject = "",
                                    .issuer = "CA",
                                    .key = &key->public,
                                    .signer = &ca,
                                    .sans = sans,
                                    .san_count = count,
                                    .not_before_s = now_s,
                                    .not_after_s = now_s + days * DAY};
    memset(&package, 0, sizeof package);
    test_ca_pem(&leaf, package.chain, sizeof package.chain);
    clear();
    response.package.n = n;
    memset(response.package.auth_token, (int)(0x50 + n), sizeof response.package.auth_token);
    snprintf(response.etag, sizeof response.etag, "\"%d\"", (int)n);
    answer(200);
    assert_int_equal(action.type, NP_ACTION_CHECK);
    step((struct np_enrol_event){
        .type = NP_EVENT_CHECKED, .response = &response, .package = &package, .from_next = from_next});
}

static void answer_refused(const char *word, int status)
{
    clear();
    snprintf(response.problem.type, sizeof response.problem.type, "%s", word);
    snprintf(response.problem.detail, sizeof response.problem.detail, "because of %s", word);
    response.problem.status = status;
    answer(status);
}

/* The name is given and the CSR is with HQ. */
static void up_to_the_csr(void)
{
    whole_way();
    wish("kitchen", false);
    expect_question("kitchen", false);
    answer_names(NAME, CHOSEN, "", 0);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_CSR);
    answer_csr(1);
}

static const char *const both[] = {CHOSEN, NAME}, *const chosen[] = {CHOSEN};

/* Up to the certificate with both, and HQ's word about the old one. */
static void up_to_the_name(int64_t until_s)
{
    up_to_the_csr();
    wait_request(NP_REQUEST_PACKAGE);
    answer_named(2, &device.next, true, 45, both, 2);
    expect_question("", false);
    answer_names(CHOSEN, "", NAME, until_s);
}

static void checks(void **state)
{
    (void)state;
    whole_way();
    unsigned before = keys;
    wish("kitchen", true);
    assert_int_equal(e.ask, NP_NAME_UNDER_WAY);
    expect_question("kitchen", true);
    assert_int_equal(e.state, NP_ENROL_NAMING);
    wish("pantry", false); /* one at a time */
    assert_string_equal(e.ask_label, "kitchen");
    clear();
    fill_names(NAME, "", "", 0);
    snprintf(response.name.grant, sizeof response.name.grant, "grant");
    snprintf(response.name.offer.name, sizeof response.name.offer.name, CHOSEN);
    response.name.offer.public_count = 1;
    answer(200);
    assert_int_equal(e.ask, NP_NAME_DONE);
    assert_string_equal(e.offer.name, CHOSEN);
    assert_int_equal(e.offer.public_count, 1);
    assert_string_equal(device.name, NAME);
    assert_string_equal(device.wanted, "");
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_int_equal(keys, before);
}

/* HQ says no: that is an answer, and nothing else waits for it. */
static void refusals(void **state)
{
    static const struct {
        const char *word;
        int status;
    } rows[] = {{"vanity-off", 403},   {"bad-name", 422},     {"name-reserved", 422}, {"name-taken", 409},
                {"name-not-now", 409}, {"rate-limited", 429}, {"malformed", 400}};
    (void)state;
    whole_way();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        wish("kitchen", i % 2);
        expect_question("kitchen", i % 2);
        answer_refused(rows[i].word, rows[i].status);
        assert_int_equal(e.ask, NP_NAME_FAILED);
        assert_string_equal(e.ask_word, rows[i].word);
        assert_non_null(strstr(e.ask_problem, "because of"));
        assert_int_equal(e.state, NP_ENROL_INSTALLED);
        assert_string_equal(e.problem, "");
    }
    /* An HQ from before: it knows no such request. */
    wish("kitchen", false);
    expect_question("kitchen", false);
    answer_refused("not-found", 404);
    assert_string_equal(e.ask_word, "vanity-off");
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_string_equal(device.name, NAME);
}

/* Nobody answers: whoever waits is told, and what HQ may have heard is asked for later. */
static void no_answer(void **state)
{
    (void)state;
    whole_way();
    wish("kitchen", false);
    expect_question("kitchen", false);
    fail_request();
    assert_int_equal(e.ask, NP_NAME_FAILED);
    assert_string_equal(e.ask_word, "");
    assert_int_equal(e.state, NP_ENROL_BACKOFF);
    while (action.type != NP_ACTION_SEND)
        wait_timer();
    expect_question("", false);
    answer_names(NAME, CHOSEN, "", 0); /* it had */
    assert_string_equal(device.wanted, CHOSEN);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_CSR);
}

static void before_there_is_a_name(void **state)
{
    (void)state;
    boot(false);
    wish("kitchen", false);
    assert_int_equal(e.ask, NP_NAME_FAILED);
    assert_non_null(strstr(e.ask_problem, "no name yet"));
}

static void the_whole_way(void **state)
{
    (void)state;
    whole_way();
    unsigned before = stores;
    wish("kitchen", false);
    expect_question("kitchen", false);
    answer_names(NAME, CHOSEN, "", 0);
    assert_int_equal(e.ask, NP_NAME_DONE);
    /* Stored before the CSR; what is served stays, under its name. */
    assert_true(stores > before);
    assert_string_equal(device.name, NAME);
    assert_string_equal(device.wanted, CHOSEN);
    assert_int_equal(device.san_count, 2);
    assert_true(device.has_chain && device.has_next);
    assert_int_equal(installs, 1);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_CSR);
    /* A restart at this point goes on. */
    boot(false);
    give_address(1);
    assert_string_equal(device.name, NAME);
    answer_nonce();
    expect_request(NP_REQUEST_CSR);
    answer_csr(1);
    while (action.type != NP_ACTION_SEND || action.request != NP_REQUEST_PACKAGE) {
        if (action.type == NP_ACTION_SEND && action.request == NP_REQUEST_CHECKIN)
            answer_checkin(NP_CHECKIN_WAIT, 0, DAY);
        else if (action.type == NP_ACTION_SEND && action.request == NP_REQUEST_ADDRESSES)
            answer_addresses();
        else
            wait_timer();
    }
    answer_named(2, &device.next, true, 45, both, 2);
    /* From now on that is its name; HQ is asked what else there is to know. */
    assert_int_equal(installs, 2);
    assert_string_equal(device.name, CHOSEN);
    assert_false(device.has_next);
    expect_question("", false);
    answer_names(CHOSEN, "", NAME, now_s + 10 * DAY);
    assert_string_equal(device.name, CHOSEN);
    assert_string_equal(device.wanted, "");
    assert_string_equal(device.old, NAME);
    assert_string_equal(device.grant, "grant for " CHOSEN);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
    assert_true(e.covered);
}

/* The power goes between the installation and HQ's word. */
static void restart_before_the_grant(void **state)
{
    (void)state;
    up_to_the_csr();
    wait_request(NP_REQUEST_PACKAGE);
    answer_named(2, &device.next, true, 45, both, 2);
    boot(false);
    give_address(1);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_question("", false);
    answer_names(CHOSEN, "", NAME, now_s + DAY);
    assert_string_equal(device.old, NAME);
}

/* Where HQ has the certificate and the box not yet, what is served is what it is called. */
static void hq_is_ahead(void **state)
{
    (void)state;
    up_to_the_csr();
    boot(false);
    e.need_names = true;
    give_address(1);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_question("", false);
    answer_names(CHOSEN, "", NAME, now_s + DAY);
    assert_string_equal(device.name, NAME);
    assert_string_equal(device.wanted, CHOSEN);
}

/* The check-in says that the certificate must carry something else: heard after a restart from an older state, say. */
static void heard_by_checkin(void **state)
{
    (void)state;
    whole_way();
    wait_request(NP_REQUEST_CHECKIN);
    clear();
    response.checkin.next_s = DAY;
    response.checkin.poll_s = 1;
    response.checkin.checkin_s = DAY;
    response.checkin.boot_jitter_s = 600;
    snprintf(response.checkin.san[0], sizeof response.checkin.san[0], NAME);
    response.checkin.san_count = 1;
    answer(200);
    assert_int_equal(e.state, NP_ENROL_INSTALLED); /* the same: nothing to ask */
    wait_request(NP_REQUEST_CHECKIN);
    clear();
    response.checkin.next_s = DAY;
    response.checkin.poll_s = 1;
    response.checkin.checkin_s = DAY;
    response.checkin.boot_jitter_s = 600;
    snprintf(response.checkin.san[0], sizeof response.checkin.san[0], CHOSEN);
    snprintf(response.checkin.san[1], sizeof response.checkin.san[1], NAME);
    response.checkin.san_count = 2;
    answer(200);
    expect_question("", false);
    answer_names(NAME, CHOSEN, "", 0);
    assert_string_equal(device.wanted, CHOSEN);
}

/* HQ has given the name up: the key for it goes, and what is installed is good as it is. */
static void given_up(void **state)
{
    (void)state;
    for (int way = 0; way < 2; way++) {
        setup(NULL);
        up_to_the_csr();
        wait_request(NP_REQUEST_PACKAGE);
        if (way == 0) { /* the order was refused; HQ has the older package again */
            clear();
            response.package.n = 1;
            answer(200);
            assert_int_equal(action.type, NP_ACTION_CHECK);
            step((struct np_enrol_event){.type = NP_EVENT_CHECKED,
                                         .rc = NP_E_NAME,
                                         .reason = "it is not for " CHOSEN,
                                         .response = &response,
                                         .package = &package});
        } else {
            answer_pending("dead", 0);
        }
        assert_true(device.has_next);
        while (action.type != NP_ACTION_SEND)
            wait_timer();
        expect_question("", false);
        answer_names(NAME, "", "", 0);
        assert_string_equal(device.wanted, "");
        assert_false(device.has_next);
        assert_true(e.covered);
        assert_int_equal(e.state, NP_ENROL_INSTALLED);
        assert_int_equal(installs, 1);
        wait_request(NP_REQUEST_CHECKIN);
    }
}

/* The old name's time is over: HQ is asked, and the next certificate is for the new name alone. */
static void the_end_of_the_old_name(void **state)
{
    (void)state;
    whole_way();
    setup(NULL);
    up_to_the_name(NOW_S + 3600);
    while (action.type != NP_ACTION_SEND)
        wait_timer();
    assert_true(now_s > NOW_S + 3600);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_question("", false);
    /* HQ's clock is behind: asked again, in its time. */
    answer_names(CHOSEN, "", NAME, now_s + 2);
    int64_t waited = 0;
    while (action.type != NP_ACTION_SEND)
        waited += wait_timer();
    assert_true(waited <= NP_ENROL_NAMES_MS);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_question("", false);
    unsigned before = keys;
    answer_names(CHOSEN, "", "", 0);
    assert_string_equal(device.old, "");
    assert_int_equal(device.san_count, 1);
    assert_int_equal(keys, before + 1);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_CSR);
    answer_csr(1);
    wait_request(NP_REQUEST_PACKAGE);
    answer_named(3, &device.next, true, 45, chosen, 1);
    assert_string_equal(device.name, CHOSEN);
    assert_int_equal(e.state, NP_ENROL_INSTALLED);
}

/* The box was off while the old name ended. */
static void off_through_the_end(void **state)
{
    (void)state;
    up_to_the_name(NOW_S + 10 * DAY);
    pass(12 * DAY);
    boot(false);
    give_address(1);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_question("", false);
}

/* A session of an HQ that has lost the name for a while: the grant is shown, and nothing is enrolled anew. */
static void session_with_the_old_name(void **state)
{
    (void)state;
    up_to_the_name(NOW_S + 10 * DAY);
    wait_request(NP_REQUEST_CHECKIN);
    answer_problem(401, "unknown-token", 0);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_request(NP_REQUEST_SESSION);
    clear();
    snprintf(response.session.name, sizeof response.session.name, NAME);
    answer(200);
    if (action.request == NP_REQUEST_NONCE)
        answer_nonce();
    expect_question("", false); /* with the grant for the chosen name: expect_question looks */
    answer_names(CHOSEN, "", NAME, NOW_S + 10 * DAY);
    assert_string_equal(device.name, CHOSEN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(checks),
        TEST(refusals),
        TEST(no_answer),
        TEST(before_there_is_a_name),
        TEST(the_whole_way),
        TEST(restart_before_the_grant),
        TEST(hq_is_ahead),
        TEST(heard_by_checkin),
        TEST(given_up),
        TEST(the_end_of_the_old_name),
        TEST(off_through_the_end),
        TEST(session_with_the_old_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
