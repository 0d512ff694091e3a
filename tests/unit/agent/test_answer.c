/* Which answer a request gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "agent/front/answer.h"
#include "resolver/base/error.h"

static struct np_view view;
static struct np_x509 leaf;
static struct np_answer_facts facts;
static struct np_answer_place place;
static char text[NP_ANSWER_MAX + 1];
static bool keep_alive;

static int setup(void **state)
{
    (void)state;
    np_view_init(&view);
    view.own_count = 1;
    assert_int_equal(np_name_parse("box.example", &view.own[0].name), 0);
    view.own[0].https = true;
    view.interface_count = 1;
    view.interfaces[0] = (struct np_view_interface){.index = 3, .lan = true, .v4_count = 1, .v6_count = 1};
    assert_int_equal(np_addr_parse("192.168.1.1", &view.interfaces[0].v4[0].addr), 0);
    assert_int_equal(np_addr_parse("fe80::1%3", &view.interfaces[0].v6[0].addr), 0);
    leaf =
        (struct np_x509){.names = {"box.example", "*.box.example"}, .name_count = 2, .not_after_s = 1, .issuer = "R11"};
    facts = (struct np_answer_facts){.view = &view, .leaf = &leaf, .https_port = 443};
    place = (struct np_answer_place){0};
    return 0;
}

/* Asks, and returns the status; text is the answer. */
static int ask_with(const char *method, const char *target, const char *host, const char *more)
{
    static char head[NP_REQUEST_HEAD_MAX];
    struct np_request request;
    snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", method, target, host, more);
    assert_int_equal(np_request_parse(head, strlen(head), &request), strlen(head));
    struct np_writer w = np_writer_make(text, NP_ANSWER_MAX);
    keep_alive = true;
    np_answer_write(&w, &facts, &place, &request, &keep_alive);
    assert_int_equal(w.error, 0);
    text[w.pos] = '\0';
    return (int)strtol(text + strlen("HTTP/1.1 "), NULL, 10);
}

static int ask(const char *host, const char *target)
{
    return ask_with("GET", target, host, "");
}

static void assert_says(const char *part)
{
    if (!strstr(text, part))
        print_error("%s is not in\n%s\n", part, text);
    assert_non_null(strstr(text, part));
}

static void test_redirect(void **state)
{
    (void)state;
    assert_int_equal(ask("Box.Example.:80", "/a?b"), 301);
    assert_says("\r\nLocation: https://box.example/a?b\r\n");
    facts.https_port = 8443;
    assert_int_equal(ask("box.example", "/"), 301);
    assert_says("\r\nLocation: https://box.example:8443/\r\n");
    assert_int_equal(ask_with("POST", "/", "box.example", ""), 308);
    facts.https_port = 0; /* no https at all: the page */
    assert_int_equal(ask("box.example", "/"), 200);
}

static void test_longest_redirect(void **state)
{
    char target[NP_REQUEST_TARGET_MAX + 1];
    (void)state;
    memset(target, 'a', sizeof target - 1);
    target[0] = '/';
    target[sizeof target - 1] = '\0';
    assert_int_equal(ask("box.example", target), 301);
    assert_says(target);
}

static void test_no_redirect_to_a_dead_end(void **state)
{
    (void)state;
    view.own[0].https = false;
    assert_int_equal(ask("box.example", "/"), 503);
    assert_says("\r\nRetry-After: ");
    assert_null(strstr(text, "\r\nLocation:"));
    view.own[0].https = true;
    facts.leaf = NULL;
    assert_int_equal(ask("box.example", "/"), 503);
    facts.leaf = &leaf;
    snprintf(leaf.names[0], sizeof leaf.names[0], "old.example");
    leaf.name_count = 1;
    assert_int_equal(ask("box.example", "/"), 503);
    assert_int_equal(ask("192.168.1.1", "/"), 200);
    assert_null(strstr(text, "https://")); /* nor a link to one */
}

static void test_alias(void **state)
{
    (void)state;
    view.own_count = 2;
    assert_int_equal(np_name_parse("nas.home.arpa", &view.own[1].name), 0);
    assert_int_equal(ask("nas.home.arpa", "/a?b"), 307);
    assert_says("\r\nLocation: https://box.example/a?b\r\n");
    assert_int_equal(ask_with("POST", "/", "nas.home.arpa", ""), 307);
    view.own[0].https = false; /* the box's name has no certificate either */
    assert_int_equal(ask("nas.home.arpa", "/"), 503);
    view.own[0].https = view.own[1].https = true;
    snprintf(leaf.names[1], sizeof leaf.names[1], "nas.home.arpa");
    assert_int_equal(ask("nas.home.arpa", "/"), 301);
    assert_says("\r\nLocation: https://nas.home.arpa/\r\n");
}

static void test_wildcard(void **state)
{
    (void)state;
    assert_int_equal(ask("nas.box.example", "/"), 421);
    view.own[0].wildcard = true;
    assert_int_equal(ask("nas.box.example", "/x"), 301);
    assert_says("Location: https://nas.box.example/x\r\n");
    assert_int_equal(ask("a.nas.box.example", "/"), 421); /* no certificate covers it */
}

static void test_hosts(void **state)
{
    static const struct {
        const char *host;
        int status;
    } cases[] = {
        {"192.168.1.1", 200},   {"192.168.1.2", 421},   {"[fe80::1]", 200},    {"[fe80::2]", 421},
        {"127.0.0.1", 200},     {"[::1]", 200},         {"10.0.0.9", 200},     {"localhost", 200},
        {"a.localhost", 200},   {"box.local", 200},     {"local", 421},        {"xlocalhost", 421},
        {"notlocal.com", 421},  {"example", 421},       {"evil.example", 421}, {"xbox.example", 421},
        {"box.example.x", 421}, {"local.example", 421},
    };
    (void)state;
    assert_int_equal(np_addr_parse("10.0.0.9", &place.local), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = ask(cases[i].host, "/");
        if (status != cases[i].status)
            print_error("%s: %d\n", cases[i].host, status);
        assert_int_equal(status, cases[i].status);
        if (status == 421)
            assert_null(strstr(text, "box.example"));
        else
            assert_says("href=\"https://box.example/\"");
    }
}

static void test_own_pages(void **state)
{
    (void)state;
    place.secure = true;
    assert_int_equal(ask("box.example", "/"), 200);
    assert_says("Connected securely");
    assert_says("\r\nConnection: keep-alive\r\n");
    assert_says("\r\nCache-Control: no-store\r\n");
    assert_says("\r\nX-Content-Type-Options: nosniff\r\n");
    assert_says("\r\nReferrer-Policy: no-referrer\r\n");
    assert_null(strstr(text, "Strict-Transport-Security"));
    assert_null(strstr(text, "fe80"));              /* of no use to a person */
    assert_int_equal(ask("192.168.1.1", "/"), 200); /* after a warning: not what we call secure */
    assert_null(strstr(text, "Connected securely"));
    assert_int_equal(ask("box.example", "/?x"), 200);
    assert_int_equal(ask("box.example", "/x"), 404);
    assert_int_equal(ask("evil.example", "/"), 421);
    assert_int_equal(ask_with("DELETE", "/", "box.example", ""), 405);
    assert_says("\r\nAllow: GET, HEAD\r\n");
    place.backend_failed = true;
    assert_int_equal(ask("box.example", "/x"), 502);
    assert_says("\r\nRetry-After: ");
    assert_int_equal(ask("evil.example", "/"), 421);
}

/* By an address the pages try the name; under /.nameplate/ is what the front has of its own. */
static void test_own_paths(void **state)
{
    (void)state;
    assert_int_equal(ask("192.168.1.1", "/"), 200);
    assert_says("data-url=\"https://box.example/\" data-go=\"yes\"");
    assert_says("connect-src 'self' https://box.example;");
    assert_int_equal(ask("192.168.1.1", "/.nameplate/?x"), 200);
    assert_says("data-url=\"https://box.example/\">");
    assert_says("id=\"qr\"");
    assert_int_equal(ask("192.168.1.1", "/.nameplate/status.json"), 200);
    assert_says("\r\nContent-Type: application/json; charset=utf-8\r\n");
    assert_says("\"url\":\"https://box.example/\"");
    assert_says("\"addresses\":[\"192.168.1.1\"]");
    assert_int_equal(ask("192.168.1.1", "/.nameplate/alive"), 204);
    assert_null(strstr(text, "Content-Length"));
    assert_int_equal(ask("192.168.1.1", "/.nameplate/continue"), 404); /* there is nothing to go on to */
    assert_int_equal(ask("192.168.1.1", "/.nameplate/other"), 404);
    assert_int_equal(ask("box.example", "/.nameplate/"), 301);
    assert_int_equal(ask("box.example", "/.nameplate/status.json"), 200); /* for the page that waits for https */
    view.own[0].https = false;
    assert_int_equal(ask("box.example", "/.nameplate/status.json"), 200);
    assert_says("\"verdict\":\"no-certificate\"");
    assert_int_equal(ask("evil.example", "/.nameplate/status.json"), 421);
}

/* A page of a public address may not ask a private one: browsers would refuse, and the name would look dead. */
static void test_no_probe_from_a_public_address(void **state)
{
    (void)state;
    assert_int_equal(np_addr_parse("2606:4700::1", &place.local), 0);
    assert_int_equal(ask("[2606:4700::1]", "/"), 200);
    assert_null(strstr(text, "data-url"));
    assert_says("href=\"https://box.example/\"");
}

static void test_backend_at_the_address(void **state)
{
    static const struct {
        const char *method, *host, *target, *more;
        bool backend;
    } cases[] = {
        {"GET", "192.168.1.1", "/", "", false},
        {"GET", "192.168.1.1", "/?next=1", "", false},
        {"HEAD", "192.168.1.1", "/", "", false},
        {"POST", "192.168.1.1", "/", "", true},
        {"GET", "192.168.1.1", "/login", "", true},
        {"GET", "box.local", "/login", "", true},
        {"GET", "192.168.1.1", "/", "Cookie: a=b; nameplate=stay;c=d\r\n", true},
        {"GET", "192.168.1.1", "/", "Cookie: nameplate=stayed\r\n", false},
        {"GET", "192.168.1.1", "/.nameplate", "Cookie: nameplate=stay\r\n", false},
        {"GET", "192.168.1.1", "/.nameplate/status.json", "Cookie: nameplate=stay\r\n", false},
        {"GET", "192.168.1.1", "/.nameplatelike", "", true},
        {"GET", "box.example", "/login", "Cookie: nameplate=stay\r\n", false},
        {"GET", "evil.example", "/login", "Cookie: nameplate=stay\r\n", false},
        {"GET", "192.168.1.2", "/login", "", false},
    };
    struct np_request request;
    char head[256];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        facts.fallback = true;
        snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", cases[i].method, cases[i].target,
                 cases[i].host, cases[i].more);
        assert_true(np_request_parse(head, strlen(head), &request) > 0);
        if (np_answer_to_backend(&facts, &place, &request) != cases[i].backend)
            print_error("%s", head);
        assert_int_equal(np_answer_to_backend(&facts, &place, &request), cases[i].backend);
        facts.fallback = false;
        assert_false(np_answer_to_backend(&facts, &place, &request));
    }
}

static void test_choice_to_stay(void **state)
{
    (void)state;
    facts.fallback = true;
    assert_int_equal(ask("192.168.1.1", "/"), 200);
    assert_says("href=\"/.nameplate/continue\"");
    assert_int_equal(ask("192.168.1.1", "/.nameplate/continue"), 303);
    assert_says("\r\nLocation: /\r\n");
    assert_says("\r\nSet-Cookie: nameplate=stay; Path=/; ");
    place.backend_failed = true;
    assert_int_equal(ask("192.168.1.1", "/login"), 502);
    assert_int_equal(ask("192.168.1.1", "/.nameplate/"), 200);
}

static void test_head_has_the_length_and_no_body(void **state)
{
    (void)state;
    place.secure = true;
    ask("box.example", "/");
    const char *body = strstr(text, "\r\n\r\n") + 4;
    char length[64];
    snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(body));
    assert_says(length);
    assert_int_equal(ask_with("HEAD", "/", "box.example", ""), 200);
    assert_says(length);
    assert_string_equal(strstr(text, "\r\n\r\n"), "\r\n\r\n");
}

static void test_connection_ends(void **state)
{
    (void)state;
    ask("192.168.1.1", "/");
    assert_true(keep_alive);
    ask_with("GET", "/", "192.168.1.1", "Connection: close\r\n");
    assert_false(keep_alive);
    assert_says("\r\nConnection: close\r\n");
    ask_with("POST", "/", "192.168.1.1", "Content-Length: 1\r\n"); /* its body is not read */
    assert_false(keep_alive);
}

static void test_errors(void **state)
{
    static const struct {
        long error;
        const char *line;
    } cases[] = {{NP_E_HTTP, "HTTP/1.1 400 "},
                 {NP_E_LIMIT, "HTTP/1.1 431 "},
                 {NP_E_VERSION, "HTTP/1.1 505 "},
                 {-ENAMETOOLONG, "HTTP/1.1 414 "}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct np_writer w = np_writer_make(text, NP_ANSWER_MAX);
        np_answer_write_error(&w, cases[i].error);
        text[w.pos] = '\0';
        assert_int_equal(strncmp(text, cases[i].line, strlen(cases[i].line)), 0);
        assert_says("\r\nConnection: close\r\n");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_redirect, setup),
        cmocka_unit_test_setup(test_longest_redirect, setup),
        cmocka_unit_test_setup(test_no_redirect_to_a_dead_end, setup),
        cmocka_unit_test_setup(test_alias, setup),
        cmocka_unit_test_setup(test_wildcard, setup),
        cmocka_unit_test_setup(test_hosts, setup),
        cmocka_unit_test_setup(test_own_pages, setup),
        cmocka_unit_test_setup(test_own_paths, setup),
        cmocka_unit_test_setup(test_no_probe_from_a_public_address, setup),
        cmocka_unit_test_setup(test_backend_at_the_address, setup),
        cmocka_unit_test_setup(test_choice_to_stay, setup),
        cmocka_unit_test_setup(test_head_has_the_length_and_no_body, setup),
        cmocka_unit_test_setup(test_connection_ends, setup),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
