/* What a CA sends, as this client reads it; what it sends itself; and the judgement of name servers' answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "hq/acme/account.h"
#include "hq/acme/chain.h"
#include "hq/acme/challenge.h"
#include "hq/acme/jws.h"
#include "hq/acme/order.h"
#include "hq/acme/resource.h"
#include "hq/proto/jws.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define ORDER                                                                                                          \
    "{\"status\":\"pending\",\"identifiers\":[{\"type\":\"dns\",\"value\":\"A.devices.example\"}],"                    \
    "\"authorizations\":[\"https://ca.example/z/1\"],\"finalize\":\"https://ca.example/f/1\"}"

/* ---- Resources ---- */

static void test_order(void **state)
{
    struct np_acme_order order;
    (void)state;
    assert_int_equal(np_acme_order_parse(ORDER, strlen(ORDER), &order), 0);
    assert_int_equal(order.status, NP_ACME_PENDING);
    assert_string_equal(order.identifiers[0], "a.devices.example");
    assert_string_equal(order.authorizations[0], "https://ca.example/z/1");
    assert_string_equal(order.certificate, "");
    for (size_t cut = 0; cut < strlen(ORDER); cut++)
        assert_int_equal(np_acme_order_parse(ORDER, cut, &order), NP_E_MALFORMED);
}

/* One change to the good order, and what it is refused for. */
static void test_bad_orders(void **state)
{
    static const struct {
        const char *from, *to;
        int rc;
    } cases[] = {
        {"pending", "strange", NP_E_UNKNOWN},
        {"pending", "valid", NP_E_MISSING}, /* valid without certificate */
        {"\"status\"", "\"statuz\"", NP_E_MISSING},
        {"\"dns\"", "\"ip\"", NP_E_UNKNOWN},
        {"A.devices.example", "a b", NP_E_MALFORMED},
        {"A.devices.example", "-a.example", NP_E_MALFORMED},
        {"https://ca.example/z/1", "http://ca.example/z", NP_E_MALFORMED},
        {"https://ca.example/z/1", "file:///etc/passwd", NP_E_MALFORMED},
        {"https://ca.example/f/1", "https://", NP_E_MALFORMED},
        {"https://ca.example/f/1", "https://x/\\\"y", NP_E_MALFORMED},
        {"\"https://ca.example/f/1\"", "17", NP_E_TYPE},
        {"[\"https://ca.example/z/1\"]", "[]", NP_E_LIMIT},
        {"[\"https://ca.example/z/1\"]", "[1]", NP_E_MALFORMED},
        {"[\"https://ca.example/z/1\"]", "{}", NP_E_TYPE},
        {"[{\"type\"", "[1,{\"type\"", NP_E_TYPE},
        {"\"finalize\"", "\"status\":\"valid\",\"finalize\"", NP_E_MALFORMED}, /* a member twice */
    };
    struct np_acme_order order;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        const char *at = strstr(ORDER, cases[i].from);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - ORDER), ORDER, cases[i].to, at + strlen(cases[i].from));
        int rc = np_acme_order_parse(text, strlen(text), &order);
        if (rc != cases[i].rc)
            fail_msg("%s: %s", text, np_strerror(rc));
    }
}

#define DIRECTORY                                                                                                      \
    "{\"newNonce\":\"https://ca.example/n\",\"newAccount\":\"https://ca.example/a\","                                  \
    "\"newOrder\":\"https://ca.example/o\",\"meta\":{\"externalAccountRequired\":true,"                                \
    "\"caaIdentities\":[\"CA.example\",7,\"not a name\",\"other.example\"]}}"

static void test_directory(void **state)
{
    struct np_acme_directory directory;
    char many[4096];
    (void)state;
    assert_int_equal(np_acme_directory_parse(DIRECTORY, strlen(DIRECTORY), &directory), 0);
    assert_string_equal(directory.new_order, "https://ca.example/o");
    assert_string_equal(directory.revoke_certificate, "");
    assert_string_equal(directory.renewal_info, "");
    assert_int_equal(directory.profile_count, 0);
    assert_true(directory.eab_required);
    assert_int_equal(directory.caa_identity_count, 2);
    assert_string_equal(directory.caa_identities[0], "ca.example");
    assert_string_equal(directory.caa_identities[1], "other.example");
    for (size_t cut = 0; cut < strlen(DIRECTORY); cut++)
        assert_int_equal(np_acme_directory_parse(DIRECTORY, cut, &directory), NP_E_MALFORMED);
    size_t used = (size_t)snprintf(many, sizeof many, "%.*s", (int)(strstr(DIRECTORY, "\"CA.") - DIRECTORY), DIRECTORY);
    for (int i = 0; i < 100; i++)
        used += (size_t)snprintf(many + used, sizeof many - used, "%s\"ca%d.example\"", i ? "," : "", i);
    snprintf(many + used, sizeof many - used, "]}}");
    assert_int_equal(np_acme_directory_parse(many, strlen(many), &directory), 0);
    assert_int_equal(directory.caa_identity_count, NP_ACME_CAA_MAX);
}

static void test_directory_of_a_richer_ca(void **state)
{
    static const char text[] =
        "{\"newNonce\":\"https://ca.example/n\",\"newAccount\":\"https://ca.example/a\","
        "\"newOrder\":\"https://ca.example/o\",\"keyChange\":\"https://ca.example/k\","
        "\"renewalInfo\":\"https://ca.example/r\",\"meta\":{\"profiles\":{\"classic\":\"https://ca.example/p\","
        "\"not one\":\"\",\"tlsserver\":7}}}";
    struct np_acme_directory directory;
    char other[sizeof text + 16];
    (void)state;
    assert_int_equal(np_acme_directory_parse(text, strlen(text), &directory), 0);
    assert_string_equal(directory.key_change, "https://ca.example/k");
    assert_string_equal(directory.renewal_info, "https://ca.example/r");
    assert_int_equal(directory.profile_count, 2);
    assert_true(np_acme_offers_profile(&directory, "classic") && np_acme_offers_profile(&directory, "tlsserver"));
    assert_false(np_acme_offers_profile(&directory, "tls") || np_acme_offers_profile(&directory, ""));
    const char *at = strstr(text, "https://ca.example/r");
    snprintf(other, sizeof other, "%.*shttp%s", (int)(at - text), text, at + 5);
    assert_int_equal(np_acme_directory_parse(other, strlen(other), &directory), NP_E_MALFORMED);
}

static void test_authorization(void **state)
{
    static const char text[] =
        "{\"status\":\"pending\",\"identifier\":{\"type\":\"dns\",\"value\":\"a.devices.example\"},\"wildcard\":true,"
        "\"challenges\":[{\"type\":\"http-01\"},{\"type\":\"dns-01\",\"status\":\"invalid\",\"token\":\"abc_-\","
        "\"url\":\"https://ca.example/c\",\"error\":{\"type\":\"urn:ietf:params:acme:error:dns\","
        "\"detail\":\"no\\u0007TXT \\u00fc\",\"status\":400}}]}";
    struct np_acme_authorization authorization;
    (void)state;
    assert_int_equal(np_acme_authorization_parse(text, strlen(text), &authorization), 0);
    assert_string_equal(authorization.name, "*.a.devices.example");
    assert_int_equal(authorization.challenge_count, 1); /* http-01 has no URL: nobody can answer it */
    assert_string_equal(authorization.challenges[0].type, "dns-01");
    assert_int_equal(authorization.challenges[0].status, NP_ACME_INVALID);
    assert_string_equal(authorization.challenges[0].error.type, "dns");
    assert_string_equal(authorization.challenges[0].error.detail, "no?TXT ??"); /* nothing that forges a log line */
    static const char *const bad_tokens[] = {"a.b", "a b", "a/b"};
    for (size_t i = 0; i < sizeof bad_tokens / sizeof bad_tokens[0]; i++) {
        char bad[1024];
        const char *at = strstr(text, "abc_-");
        snprintf(bad, sizeof bad, "%.*s%s%s", (int)(at - text), text, bad_tokens[i], at + 5);
        assert_int_equal(np_acme_authorization_parse(bad, strlen(bad), &authorization), 0);
        assert_int_equal(authorization.challenge_count, 0);
    }
}

/* The configuration's order decides among what is offered. */
static void test_challenge_methods(void **state)
{
    static const struct np_challenge_method persist = {.type = "dns-persist-01"};
    const struct np_challenge_method *dns01 = np_challenge_find("dns-01");
    const struct np_challenge_method *methods[] = {&persist, dns01};
    static const struct {
        const char *offered[3];
        size_t first; /* of methods */
        const char *chosen;
    } cases[] = {
        {{"http-01", "dns-01", "dns-persist-01"}, 0, "dns-persist-01"},
        {{"http-01", "dns-01", "dns-persist-01"}, 1, "dns-01"},
        {{"http-01", "dns-01", NULL}, 0, "dns-01"},
        {{"dns-persist-01", NULL, NULL}, 1, NULL},
        {{"http-01", "tls-alpn-01", "dns-01 "}, 0, NULL},
        {{NULL, NULL, NULL}, 0, NULL},
    };
    (void)state;
    assert_non_null(dns01);
    assert_null(np_challenge_find("http-01"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct np_acme_authorization authorization = {.challenge_count = 0};
        const struct np_acme_challenge *challenge;
        for (size_t k = 0; k < 3 && cases[i].offered[k]; k++)
            snprintf(authorization.challenges[authorization.challenge_count++].type, NP_ACME_CHALLENGE_TYPE_MAX, "%s",
                     cases[i].offered[k]);
        const struct np_challenge_method *method =
            np_challenge_choose(methods + cases[i].first, 2 - cases[i].first, &authorization, &challenge);
        assert_int_equal(method != NULL, cases[i].chosen != NULL);
        assert_int_equal(challenge != NULL, cases[i].chosen != NULL);
        if (method) {
            assert_string_equal(method->type, cases[i].chosen);
            assert_string_equal(challenge->type, cases[i].chosen);
        }
    }
    /* The proof of dns-01 is the example of nobody but the RFC's rule; a challenge without a token has none. */
    struct np_acme_challenge challenge = {.token = "abc"};
    struct np_acme_key *key;
    char value[NP_TXT_VALUE_MAX + 1], wanted[NP_TXT_VALUE_MAX + 1];
    assert_int_equal(np_acme_key_make(&key), 0);
    np_acme_dns01_value(key, "abc", wanted);
    assert_int_equal(dns01->proof(key, "https://ca.example/a/1", &challenge, value), 0);
    assert_string_equal(value, wanted);
    challenge.token[0] = 0;
    assert_int_equal(dns01->proof(key, "https://ca.example/a/1", &challenge, value), NP_E_MALFORMED);
    np_acme_key_free(key);
}

static void test_problem(void **state)
{
    static const struct {
        const char *body, *type;
    } cases[] = {
        {"{\"type\":\"urn:ietf:params:acme:error:badNonce\",\"detail\":\"x\"}", "badNonce"},
        {"{\"type\":\"urn:ietf:params:acme:error:bad/../Nonce\"}", "other"},
        {"{\"type\":\"about:blank\"}", "other"},
        {"<html>502 Bad Gateway</html>", "other"},
        {"", "other"},
        {"[]", "other"},
    };
    struct np_acme_problem problem;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        np_acme_problem_parse(cases[i].body, strlen(cases[i].body), &problem);
        assert_string_equal(problem.type, cases[i].type);
    }
}

static void test_list_keeps_the_newest(void **state)
{
    char *text = malloc(64 * 1024);
    struct np_acme_list list;
    size_t len = 0;
    (void)state;
    assert_non_null(text);
    len += (size_t)snprintf(text, 16, "{\"orders\":[");
    for (int i = 0; i < NP_ACME_LIST_MAX + 10; i++)
        len += (size_t)snprintf(text + len, 64, "%s\"https://ca.example/o/%d\"", i ? "," : "", i);
    snprintf(text + len, 8, "]}");
    assert_int_equal(np_acme_list_parse(text, strlen(text), &list), 0);
    assert_int_equal(list.count, NP_ACME_LIST_MAX);
    assert_string_equal(list.urls[0], "https://ca.example/o/10");
    free(list.urls);
    free(text);
}

static void test_retry_after(void **state)
{
    static const struct {
        const char *value;
        long long ms;
    } cases[] = {
        {"0", 0},
        {"120", 120000},
        {"-5", 0},
        {"soon", 0},
        {"", 0},
        {"99999999999999999999", 0},
        {"99999999", 7LL * 86400 * 1000},
        {"Thu, 01 Jan 1970 00:01:40 GMT", 90000},
        {"Thu, 01 Jan 1970 00:00:01 GMT", 0},
        {"Thu, 01 Jan 1970 00:01:40 GMT, and more", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(np_acme_retry_after_ms(cases[i].value, 10), cases[i].ms);
}

static void test_failure_judgement(void **state)
{
    static const struct {
        enum np_order_do what;
        int rc, status;
        const char *type;
        enum np_order_failure failure;
    } cases[] = {
        {NP_ORDER_DO_NEW_ORDER, NP_E_TLS, 0, "", NP_ORDER_FAILURE_RETRY},
        {NP_ORDER_DO_NEW_ORDER, NP_E_ACME, 500, "serverInternal", NP_ORDER_FAILURE_RETRY},
        {NP_ORDER_DO_NEW_ORDER, NP_E_ACME, 429, "rateLimited", NP_ORDER_FAILURE_RETRY},
        {NP_ORDER_DO_NEW_ORDER, NP_E_ACME, 403, "rateLimited", NP_ORDER_FAILURE_RETRY},
        {NP_ORDER_DO_NEW_ORDER, NP_E_ACME, 503, "other", NP_ORDER_FAILURE_RETRY},
        {NP_ORDER_DO_NEW_ORDER, NP_E_ACME, 400, "badNonce", NP_ORDER_FAILURE_RETRY},
        {NP_ORDER_DO_NEW_ORDER, NP_E_ACME, 400, "rejectedIdentifier", NP_ORDER_FAILURE_DEAD},
        {NP_ORDER_DO_NEW_ORDER, NP_E_ACME, 403, "caa", NP_ORDER_FAILURE_RESTART},
        {NP_ORDER_DO_FINALIZE, NP_E_ACME, 400, "badCSR", NP_ORDER_FAILURE_DEAD},
        {NP_ORDER_DO_FINALIZE, NP_E_ACME, 403, "orderNotReady", NP_ORDER_FAILURE_LOOK},
        {NP_ORDER_DO_FINALIZE, NP_E_ACME, 400, "malformed", NP_ORDER_FAILURE_RESTART},
        {NP_ORDER_DO_CHALLENGE, NP_E_ACME, 400, "malformed", NP_ORDER_FAILURE_LOOK},
        {NP_ORDER_DO_FETCH_ORDER, NP_E_ACME, 404, "malformed", NP_ORDER_FAILURE_RESTART},
        {NP_ORDER_DO_FETCH_ORDER, NP_E_ACME, 400, "accountDoesNotExist", NP_ORDER_FAILURE_RETRY},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct np_acme_problem problem = {.status = cases[i].status};
        snprintf(problem.type, sizeof problem.type, "%s", cases[i].type);
        assert_int_equal(np_order_failure_of(cases[i].what, cases[i].rc, cases[i].status, &problem), cases[i].failure);
    }
}

static void test_links(void **state)
{
    static const struct {
        const char *value, *next, *alternates;
    } cases[] = {
        {"<https://c.example/2>;rel=\"next\"", "https://c.example/2", ""},
        {"<https://c.example/2>; rel=next", "https://c.example/2", ""},
        {"<https://c.example/2>; title=\"x\"; rel=\"alternate\"", "", "https://c.example/2 "},
        {"<https://c.example/1>;rel=\"alternate\", "
         "<https://c.example/2>;rel=\"next\",<https://c.example/3>;rel=alternate",
         "https://c.example/2", "https://c.example/1 https://c.example/3 "},
        {"<https://c.example/2>;rel=\"nextly\"", "", ""},
        {"<https://c.example/2>;rel=\"next", "", ""},
        {"<https://c.example/2>;rel=nextly", "", ""},
        {"<https://c.example/2>;rel=", "", ""},
        {"<https://c.example/2>", "", ""},
        {"<https://c.example/2", "", ""},
        {"<http://c.example/2>;rel=\"next\"", "", ""},
        {"</2>;rel=\"next\"", "", ""},
        {"<>;rel=\"next\"", "", ""},
        {"rel=\"next\"", "", ""},
        {"", "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct np_acme_links links = {.alternate_count = 0};
        char alternates[2048] = "";
        np_acme_links_add(cases[i].value, &links);
        for (size_t k = 0; k < links.alternate_count; k++) {
            size_t used = strlen(alternates);
            snprintf(alternates + used, sizeof alternates - used, "%s ", links.alternates[k]);
        }
        if (strcmp(links.next, cases[i].next) != 0 || strcmp(alternates, cases[i].alternates) != 0)
            fail_msg("%s: next '%s', alternates '%s'", cases[i].value, links.next, alternates);
        for (int k = 0; k < NP_ACME_ALTERNATES_MAX; k++) /* as many headers as a server likes to send */
            np_acme_links_add("<https://c.example/9>;rel=\"alternate\"", &links);
        assert_int_equal(links.alternate_count, NP_ACME_ALTERNATES_MAX);
    }
}

/* What newOrder carried beside the names, and what a refusal says about it. */
static void test_refused_extras(void **state)
{
    static const unsigned both = NP_ORDER_REPLACES | NP_ORDER_PROFILE;
    static const struct {
        int status;
        const char *type;
        unsigned carried, without;
    } cases[] = {
        {409, "alreadyReplaced", both, NP_ORDER_REPLACES},
        {409, "alreadyReplaced", NP_ORDER_PROFILE, 0},
        {404, "malformed", NP_ORDER_REPLACES, NP_ORDER_REPLACES},
        {400, "invalidProfile", both, NP_ORDER_PROFILE},
        {400, "invalidProfile", NP_ORDER_REPLACES, 0},
        {429, "rateLimited", both, 0},
        {500, "serverInternal", both, 0},
        {400, "rejectedIdentifier", both, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct np_acme_problem problem = {.status = cases[i].status};
        snprintf(problem.type, sizeof problem.type, "%s", cases[i].type);
        enum np_order_failure failure =
            np_order_failure_of(NP_ORDER_DO_NEW_ORDER, NP_E_ACME, cases[i].status, &problem);
        assert_int_equal(np_order_refused_extra(failure, cases[i].carried, &problem), cases[i].without);
    }
}

/* ---- What we sign ---- */

static char *decode(const char *text)
{
    size_t len = strlen(text);
    char *out = calloc(1, len + 1);
    assert_non_null(out);
    assert_true(np_base64url_decode(text, len, out, len) >= 0);
    return out;
}

static int verify_es256(const struct np_acme_key *key, json_t *jws)
{
    uint8_t signature[64];
    char input[4096];
    snprintf(input, sizeof input, "%s.%s", json_string_value(json_object_get(jws, "protected")),
             json_string_value(json_object_get(jws, "payload")));
    assert_int_equal(np_base64url_decode_exact(json_string_value(json_object_get(jws, "signature")), signature, 64), 0);
    const struct np_public_key *public = np_acme_key_public(key);
    uint8_t point[65] = {4}, der[80], *p = der;
    memcpy(point + 1, public->x, 32);
    memcpy(point + 33, public->y, 32);
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("group", (char *)(uintptr_t) "P-256", 0),
                           OSSL_PARAM_construct_octet_string("pub", point, sizeof point), OSSL_PARAM_construct_end()};
    EVP_PKEY *pkey = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    assert_true(EVP_PKEY_fromdata_init(ctx) == 1 && EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) == 1);
    ECDSA_SIG *sig = ECDSA_SIG_new();
    ECDSA_SIG_set0(sig, BN_bin2bn(signature, 32, NULL), BN_bin2bn(signature + 32, 32, NULL));
    int der_len = i2d_ECDSA_SIG(sig, &p);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int good = EVP_DigestVerifyInit(md, NULL, EVP_sha256(), NULL, pkey) == 1 &&
               EVP_DigestVerify(md, der, (size_t)der_len, (const uint8_t *)input, strlen(input)) == 1;
    EVP_MD_CTX_free(md);
    ECDSA_SIG_free(sig);
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(pkey);
    return good;
}

static void test_jws(void **state)
{
    struct np_acme_key *key;
    char *body;
    (void)state;
    assert_int_equal(np_acme_key_make(&key), 0);
    for (int i = 0; i < 40; i++) { /* r or s is short once in 128 signatures */
        assert_int_equal(
            np_acme_jws_sign(key, "https://ca.example/acct/1", "nonce", "https://ca.example/o", NULL, &body), 0);
        json_t *jws = json_loads(body, 0, NULL);
        assert_true(verify_es256(key, jws));
        assert_string_equal(json_string_value(json_object_get(jws, "payload")), ""); /* POST-as-GET */
        char *header = decode(json_string_value(json_object_get(jws, "protected")));
        assert_non_null(strstr(header, "\"kid\":\"https://ca.example/acct/1\""));
        assert_null(strstr(header, "jwk"));
        free(header);
        json_decref(jws);
        free(body);
    }
    assert_int_equal(np_acme_jws_sign(key, NULL, "nonce", "https://ca.example/a", "{}", &body), 0);
    json_t *jws = json_loads(body, 0, NULL);
    assert_true(verify_es256(key, jws));
    char *header = decode(json_string_value(json_object_get(jws, "protected")));
    assert_non_null(strstr(header, "\"crv\":\"P-256\""));
    assert_null(strstr(header, "kid"));
    free(header);
    json_decref(jws);
    free(body);
    np_acme_key_free(key);
}

/* RFC 8555 section 7.3.5: the new key signs over the account and the old one, without a nonce. */
static void test_key_change(void **state)
{
    struct np_acme_key *old, *new;
    char *body;
    (void)state;
    assert_int_equal(np_acme_key_make(&old), 0);
    assert_int_equal(np_acme_key_make(&new), 0);
    assert_int_equal(np_acme_key_change_sign(old, new, "https://ca.example/acct/1", "https://ca.example/k", &body), 0);
    json_t *jws = json_loads(body, 0, NULL);
    assert_true(verify_es256(new, jws));
    assert_false(verify_es256(old, jws));
    char *header = decode(json_string_value(json_object_get(jws, "protected")));
    char *payload = decode(json_string_value(json_object_get(jws, "payload")));
    json_t *protected = json_loads(header, 0, NULL), *inner = json_loads(payload, 0, NULL);
    assert_string_equal(json_string_value(json_object_get(protected, "url")), "https://ca.example/k");
    assert_null(json_object_get(protected, "nonce"));
    assert_null(json_object_get(protected, "kid"));
    assert_string_equal(json_string_value(json_object_get(inner, "account")), "https://ca.example/acct/1");
    const json_t *old_jwk = json_object_get(inner, "oldKey"), *new_jwk = json_object_get(protected, "jwk");
    assert_true(json_is_object(old_jwk) && json_is_object(new_jwk) && !json_equal(old_jwk, new_jwk));
    json_decref(protected);
    json_decref(inner);
    free(header);
    free(payload);
    json_decref(jws);
    free(body);
    np_acme_key_free(old);
    np_acme_key_free(new);
}

/* The files of a rollover, as far as it came; and nobody else at the same time. */
static void test_account_files(void **state)
{
    char folder[] = "/tmp/np-account-XXXXXX", path[128];
    struct np_account server, second, rollover;
    (void)state;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(np_account_open(&server, folder, "acme", false), 0);
    assert_null(server.next);
    assert_int_equal(np_account_open(&second, folder, "acme", false), 0);
    assert_int_equal(np_account_open(&rollover, folder, "acme", true), -EBUSY);
    np_account_close(&rollover);
    np_account_close(&second);
    np_account_close(&server);
    assert_int_equal(np_account_open(&rollover, folder, "acme", true), 0);
    assert_int_equal(np_account_open(&server, folder, "acme", false), -EBUSY);
    np_account_close(&server);
    assert_int_equal(np_account_make_next(&rollover), 0);
    struct np_public_key old = *np_acme_key_public(rollover.key), new = *np_acme_key_public(rollover.next);
    np_account_close(&rollover);
    /* Interrupted: both are there, and the next one is not made again. */
    assert_int_equal(np_account_open(&rollover, folder, "acme", true), 0);
    assert_int_equal(np_account_make_next(&rollover), 0);
    assert_memory_equal(np_acme_key_public(rollover.key), &old, sizeof old);
    assert_memory_equal(np_acme_key_public(rollover.next), &new, sizeof new);
    assert_int_equal(np_account_promote(&rollover), 0);
    np_account_close(&rollover);
    assert_int_equal(np_account_open(&server, folder, "acme", false), 0);
    assert_memory_equal(np_acme_key_public(server.key), &new, sizeof new);
    assert_null(server.next);
    /* Another HQ's rollover: its file comes while the server runs. What is no key changes nothing. */
    struct np_acme_key *first = server.key, *other;
    snprintf(path, sizeof path, "%s/other.pem", folder);
    assert_int_equal(np_acme_key_load(path, &other), 0);
    assert_int_equal(rename(path, server.path), 0);
    np_account_refresh(&server);
    assert_string_equal(np_acme_key_thumbprint(server.key), np_acme_key_thumbprint(other));
    assert_memory_equal(np_acme_key_public(first), &new, sizeof new); /* still there, for who uses it */
    first = server.key;
    np_account_refresh(&server);
    assert_ptr_equal(server.key, first);
    assert_int_equal(truncate(server.path, 10), 0);
    np_account_refresh(&server);
    assert_ptr_equal(server.key, first);
    np_acme_key_free(other);
    np_account_close(&server);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/acme-account.%s", folder, i ? "lock" : "pem");
        assert_int_equal(unlink(path), 0);
    }
    assert_int_equal(rmdir(folder), 0);
}

static void test_key_file(void **state)
{
    struct np_acme_key *made, *read;
    char folder[] = "/tmp/np-acme-XXXXXX", path[64];
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/key.pem", folder);
    assert_int_equal(np_acme_key_load(path, &made), 0);
    assert_int_equal(np_acme_key_load(path, &read), 0);
    assert_memory_equal(np_acme_key_public(made), np_acme_key_public(read), sizeof(struct np_public_key));
    assert_string_equal(np_acme_key_thumbprint(made), np_acme_key_thumbprint(read));
    np_acme_key_free(made);
    np_acme_key_free(read);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("no key\n", file);
    fclose(file);
    assert_int_equal(np_acme_key_load(path, &read), NP_E_KEY); /* never replaced by a new one */
    unlink(path);
    rmdir(folder);
}

/* ---- Chains ---- */

static X509 *certificate(EVP_PKEY *subject_key, const char *subject, const char *san, EVP_PKEY *issuer_key,
                         const char *issuer, long from_s, long to_s)
{
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 17);
    X509_gmtime_adj(X509_getm_notBefore(x), from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), to_s);
    X509_set_pubkey(x, subject_key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)subject, -1, -1, 0);
    X509_NAME_add_entry_by_txt(X509_get_issuer_name(x), "CN", MBSTRING_ASC, (const uint8_t *)issuer, -1, -1, 0);
    if (san) {
        X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
        X509_add_ext(x, extension, -1);
        X509_EXTENSION_free(extension);
    }
    X509_sign(x, issuer_key, EVP_sha256());
    return x;
}

static void append_pem(BIO *bio, X509 *x)
{
    PEM_write_bio_X509(bio, x);
    X509_free(x);
}

static void test_chain(void **state)
{
    static const struct {
        const char *san;
        bool other_key, other_issuer;
        long to_s;
        int rc;
    } cases[] = {
        {"DNS:a.devices.example,DNS:*.a.devices.example", false, false, 86400, 0},
        {"DNS:*.A.devices.example,DNS:a.devices.EXAMPLE", false, false, 86400, 0},
        {"DNS:a.devices.example", false, false, 86400, NP_E_NAME},
        {"DNS:a.devices.example,DNS:a.devices.example", false, false, 86400, NP_E_NAME},
        {"DNS:a.devices.example,DNS:b.devices.example", false, false, 86400, NP_E_NAME},
        {"DNS:a.devices.example,DNS:*.a.devices.example,DNS:c.example", false, false, 86400, NP_E_NAME},
        {"DNS:a.devices.example,IP:192.168.1.1", false, false, 86400, NP_E_NAME},
        {NULL, false, false, 86400, NP_E_NAME},
        {"DNS:a.devices.example,DNS:*.a.devices.example", true, false, 86400, NP_E_KEY},
        {"DNS:a.devices.example,DNS:*.a.devices.example", false, true, 86400, NP_E_CHAIN},
        {"DNS:a.devices.example,DNS:*.a.devices.example", false, false, -10, NP_E_DATE},
    };
    static const char *const names[] = {"a.devices.example", "*.a.devices.example"};
    EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256"), *ca = EVP_EC_gen("P-256");
    X509_REQ *request = X509_REQ_new();
    uint8_t *csr = NULL;
    (void)state;
    X509_REQ_set_pubkey(request, key);
    X509_REQ_sign(request, key, EVP_sha256());
    size_t csr_len = (size_t)i2d_X509_REQ(request, &csr);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct np_chain_info info;
        char *pem;
        BIO *bio = BIO_new(BIO_s_mem());
        append_pem(bio,
                   certificate(cases[i].other_key ? other : key, "leaf", cases[i].san, ca, "ca", -3600, cases[i].to_s));
        append_pem(bio, certificate(cases[i].other_issuer ? other : ca, "ca", NULL, ca, "root", -3600, 86400));
        size_t len = (size_t)BIO_get_mem_data(bio, &pem);
        int rc = np_chain_check(pem, len, csr, csr_len, names, 2, time(NULL), &info);
        if (rc != cases[i].rc)
            fail_msg("%zu: %s", i, np_strerror(rc));
        if (rc == 0) {
            assert_int_equal(info.certificates, 2);
            assert_true(np_chain_leads_to(pem, len, "root") && np_chain_leads_to(pem, len, "ROOT"));
            assert_false(np_chain_leads_to(pem, len, "ca") || np_chain_leads_to(pem, len, "roo") ||
                         np_chain_leads_to(pem, len, "") || np_chain_leads_to("", 0, "root"));
            assert_int_equal(np_chain_check(pem, len - 40, csr, csr_len, names, 2, time(NULL), &info), NP_E_MALFORMED);
            assert_int_equal(np_chain_check("", 0, csr, csr_len, names, 2, time(NULL), &info), NP_E_MALFORMED);
            assert_int_equal(np_chain_check(pem, NP_CHAIN_MAX + 1, csr, csr_len, names, 2, time(NULL), &info),
                             NP_E_LIMIT);
            assert_int_equal(np_chain_check(pem, len, csr, csr_len - 1, names, 2, time(NULL), &info), NP_E_KEY);
        }
        BIO_free(bio);
    }
    OPENSSL_free(csr);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
    EVP_PKEY_free(ca);
}

/* The example of RFC 9773 section 4.1, and what is none. */
static void test_ari_id(void **state)
{
    static const uint8_t key_id[] = {0x69, 0x88, 0x5B, 0x6B, 0x87, 0x46, 0x40, 0x41, 0xE1, 0xB3,
                                     0x7B, 0x84, 0x7B, 0xA0, 0xAE, 0x2C, 0xDE, 0x01, 0xC8, 0xD4};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char id[NP_CHAIN_ARI_ID_SIZE], *pem;
    BIO *bio = BIO_new(BIO_s_mem());
    (void)state;
    X509 *bare = certificate(key, "leaf", NULL, key, "ca", 0, 86400);
    PEM_write_bio_X509(bio, bare);
    size_t len = (size_t)BIO_get_mem_data(bio, &pem);
    assert_int_equal(np_chain_ari_id(pem, len, id), NP_E_MALFORMED); /* no authority key identifier */
    BIO_free(bio);
    AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
    authority->keyid = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(authority->keyid, key_id, sizeof key_id);
    X509_add1_ext_i2d(bare, NID_authority_key_identifier, authority, 0, X509V3_ADD_REPLACE);
    ASN1_INTEGER_set_uint64(X509_get_serialNumber(bare), 0x87654321);
    X509_sign(bare, key, EVP_sha256());
    bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, bare);
    len = (size_t)BIO_get_mem_data(bio, &pem);
    assert_int_equal(np_chain_ari_id(pem, len, id), 0);
    assert_string_equal(id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
    assert_int_equal(np_chain_ari_id(pem, len / 2, id), NP_E_MALFORMED);
    assert_int_equal(np_chain_ari_id("", 0, id), NP_E_MALFORMED);
    AUTHORITY_KEYID_free(authority);
    X509_free(bare);
    BIO_free(bio);
    EVP_PKEY_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bad_orders),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_directory_of_a_richer_ca),
        cmocka_unit_test(test_authorization),
        cmocka_unit_test(test_challenge_methods),
        cmocka_unit_test(test_problem),
        cmocka_unit_test(test_failure_judgement),
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_refused_extras),
        cmocka_unit_test(test_list_keeps_the_newest),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_jws),
        cmocka_unit_test(test_key_change),
        cmocka_unit_test(test_account_files),
        cmocka_unit_test(test_key_file),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_ari_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
