/* Lives: a box that restarts is one box, two boxes that take turns are two. */
#include "tests/unit/hq/box.h"

#include "hq/api/lives.h"
#include "hq/store/audit.h"

/* Tells one life, by its letter. */
static enum np_lives_verdict tell(struct np_lives *lives, char letter, int64_t now_s)
{
    uint8_t life[NP_LIFE_LEN];
    memset(life, letter, sizeof life);
    return np_lives_tell(lives, life, now_s);
}

static void test_stories(void **state)
{
    /* One letter a life, one hour from each to the next; '!' after the one at which it is suspected. */
    static const struct {
        const char *story;
        int64_t step_s;
    } rows[] = {
        {"aaaaaaaaaaaaaaaa", 3600},            /* one box */
        {"abcdefghijklmnop", 3600},            /* that restarts all the time */
        {"aabbccddeeffgghh", 3600},            /* likewise */
        {"ababa!baba", 3600},                  /* two: a is back at the third, b, a */
        {"aabbaabba!b", 3600},                 /* so it is when each asks twice */
        {"abcabc!a", 3600},                    /* three boxes */
        {"abcdabc!d", 3600},                   /* four */
        {"abcdeabcdeabcde", 3600},             /* more than are remembered look like restarts */
        {"abab", 3600},                        /* back twice */
        {"ababa", 13 * 3600},                  /* thrice, but in 26 hours */
        {"ababa!", 12 * 3600},                 /* in a day */
        {"abcdaefghijklmnaopqrstuvwxyz", 3600} /* a copy of an old disk, tried once */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct np_lives lives = {.count = 0};
        int64_t now_s = 1000000;
        bool suspected = false;
        for (const char *at = rows[i].story; *at; at++, now_s += rows[i].step_s) {
            enum np_lives_verdict verdict = tell(&lives, *at, now_s);
            bool wanted = at[1] == '!';
            if ((verdict == NP_LIVES_SUSPECTED) != wanted)
                fail_msg("%s at %zu", rows[i].story, (size_t)(at - rows[i].story));
            suspected = suspected || wanted;
            assert_int_equal(lives.suspected_s > 0, suspected);
            at += wanted;
        }
    }
}

static void test_store(void **state)
{
    struct fixture *f = *state;
    struct np_lives lives, read;
    struct box *box = box_new("NP-0001");
    enrol(f, box, 201);
    assert_int_equal(np_store_lives_get(f->store, box->told.device, &lives), 0);
    assert_int_equal(lives.count, 0);
    for (const char *at = "abab"; *at; at++)
        tell(&lives, *at, 1000 + *at);
    assert_int_equal(np_store_lives_put(f->store, box->told.device, &lives), 0);
    assert_int_equal(np_store_lives_get(f->store, box->told.device, &read), 0);
    assert_memory_equal(&read, &lives, sizeof lives);
    tell(&lives, 'a', 2000);
    assert_int_equal(lives.suspected_s, 2000);
    assert_int_equal(np_store_lives_put(f->store, box->told.device, &lives), 0);
    assert_int_equal(np_store_lives_get(f->store, box->told.device, &read), 0);
    assert_memory_equal(&read, &lives, sizeof lives);
    box_free(box);
}

static void session(struct fixture *f, struct box *box, const char *life)
{
    char payload[64];
    snprintf(payload, sizeof payload, "{\"life\":\"%s\"}", life);
    expect_status(post(f, box, "/v1/session", payload, (struct twist){0}), 200);
}

static void checkin(struct fixture *f, struct box *box, const char *life)
{
    char body[256], path[96], authorization[80];
    bearer(box->request.token, authorization);
    snprintf(path, sizeof path, "/v1/devices/%s/checkin", box->told.device);
    snprintf(body, sizeof body,
             "{\"seq\":0,\"v4\":[],\"v6\":[],\"certificate\":null,\"version\":\"1\",\"health\":\"ok\",\"life\":\"%s\"}",
             life);
    expect_status(ask(f, (struct np_api_request){.method = "POST",
                                                 .path = path,
                                                 .content_type = "application/json",
                                                 .authorization = authorization,
                                                 .body = body,
                                                 .body_len = strlen(body)}),
                  200);
}

static int count_entry(void *ctx, const struct np_audit *entry)
{
    if (strcmp(entry->action, NP_AUDIT_CLONE) == 0) {
        assert_string_equal(entry->actor, "hq");
        assert_string_equal(entry->serial, "NP-0001");
        ++*(int *)ctx;
    }
    return 0;
}

static int clones_told(struct fixture *f)
{
    const struct np_audit_filter all = {.limit = 100};
    int count = 0;
    assert_int_equal(np_store_audit_each(f->store, &all, count_entry, &count), 0);
    return count;
}

static int count_device(void *ctx, const struct np_device *device)
{
    assert_string_equal(device->serial, "NP-0001");
    ++*(int *)ctx;
    return 0;
}

/* Two boxes with one disk: both keep working, the operator is told once. */
static void test_two_boxes(void **state)
{
    struct fixture *f = *state;
    struct box *box = box_new("NP-0001");
    int listed = 0;
    enrol(f, box, 201);
    expect_status(post(f, box, "/v1/session", "{}", (struct twist){0}), 200); /* an older device tells none */
    session(f, box, "AAAAAAAAAAA");
    checkin(f, box, "AQAAAAAAAAA");
    session(f, box, "AAAAAAAAAAA");
    session(f, box, "AAAAAAAAAAA");
    checkin(f, box, "AQAAAAAAAAA");
    assert_int_equal(clones_told(f), 0);
    checkin(f, box, "AAAAAAAAAAA");
    assert_int_equal(clones_told(f), 1);
    session(f, box, "AQAAAAAAAAA");
    checkin(f, box, "AAAAAAAAAAA");
    assert_int_equal(clones_told(f), 1);
    assert_int_equal(np_store_clones(f->store, 10, count_device, &listed), 0);
    assert_int_equal(listed, 1);
    expect_status(get_package(f, box, box->request.token, NULL), 202);
    expect_problem(post(f, box, "/v1/session", "{\"life\":\"AAAAAAAAAAB\"}", (struct twist){0}), "malformed");
    box_free(box);
}

int main(void)
{
#define API_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),
        API_TEST(test_store),
        API_TEST(test_two_boxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
