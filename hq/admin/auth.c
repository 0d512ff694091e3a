#include "hq/admin/auth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "hq/crypto.h"
#include "resolver/base/address.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

#define FILE_MAX 1024

/* ---- The token's file ---- */

int np_admin_token_make(const char *path)
{
    uint8_t random[32];
    char text[NP_BASE64URL_LEN(32) + 1];
    if (access(path, F_OK) == 0)
        return -EEXIST;
    np_random_bytes(random, sizeof random);
    size_t len = np_base64url_encode(random, sizeof random, text);
    text[len++] = '\n';
    int rc = np_file_write_atomic(path, text, len, 0600);
    np_wipe(random, sizeof random);
    np_wipe(text, sizeof text);
    return rc;
}

int np_admin_auth_load(const char *path, struct np_admin_auth *out_auth, char error[NP_ADMIN_ERROR_MAX])
{
    struct np_admin_auth auth;
    uint8_t *data = NULL;
    size_t len = 0;
    int rc = np_file_read(path, FILE_MAX, &data, &len);
    if (rc == -ENOENT) {
        rc = np_admin_token_make(path);
        if (rc == 0)
            rc = np_file_read(path, FILE_MAX, &data, &len);
    }
    if (rc) {
        snprintf(error, NP_ADMIN_ERROR_MAX, "%s: %s (admin-token)", path, np_strerror(rc));
        return rc;
    }
    size_t text = strcspn((char *)data, "\r\n");
    if (text < NP_ADMIN_TOKEN_MIN || text > NP_ADMIN_TOKEN_MAX ||
        strspn((char *)data, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") < text) {
        snprintf(error, NP_ADMIN_ERROR_MAX,
                 "%s: an operator's token has %d to %d letters, digits, - and _; without the file a new one is made "
                 "(admin-token)",
                 path, NP_ADMIN_TOKEN_MIN, NP_ADMIN_TOKEN_MAX);
        rc = NP_E_MALFORMED;
    } else {
        memcpy(auth.token, data, text);
        auth.token[text] = 0;
        np_random_bytes(auth.key, sizeof auth.key);
        *out_auth = auth;
        np_wipe(&auth, sizeof auth);
    }
    np_wipe(data, len);
    free(data);
    return rc;
}

/* ---- Looking at what came ---- */

static bool is_token(const struct np_admin_auth *auth, const char *text, size_t len)
{
    return len == strlen(auth->token) && np_equal_constant_time(text, auth->token, len);
}

bool np_admin_auth_bearer(const struct np_admin_auth *auth, const char *authorization)
{
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return false;
    const char *token = authorization + 7;
    token += strspn(token, " ");
    return is_token(auth, token, strlen(token));
}

bool np_admin_auth_form(const struct np_admin_auth *auth, const char *body, size_t len)
{
    static const char begin[] = "token=";
    size_t head = sizeof begin - 1;
    return len > head && memcmp(body, begin, head) == 0 && is_token(auth, body + head, len - head);
}

/* "1795320000." and the MAC of that number. */
static void make_cookie(const struct np_admin_auth *auth, int64_t until_s, char out[NP_ADMIN_COOKIE_MAX])
{
    char covered[64], mac_text[NP_BASE64URL_LEN(32)];
    uint8_t mac[32];
    int len = snprintf(covered, sizeof covered, "nameplate admin session v1 %lld", (long long)until_s);
    np_hq_hmac(auth->key, sizeof auth->key, covered, (size_t)len, mac);
    np_base64url_encode(mac, sizeof mac, mac_text);
    snprintf(out, NP_ADMIN_COOKIE_MAX, "%lld.%s", (long long)until_s, mac_text);
}

void np_admin_auth_cookie_make(const struct np_admin_auth *auth, int64_t now_s, char out[NP_ADMIN_COOKIE_MAX])
{
    make_cookie(auth, now_s + NP_ADMIN_SESSION_S, out);
}

static bool is_good(const struct np_admin_auth *auth, const char *value, size_t len, int64_t now_s)
{
    char digits[20], good[NP_ADMIN_COOKIE_MAX];
    int64_t until_s;
    size_t head = 0;
    while (head < len && value[head] >= '0' && value[head] <= '9')
        head++;
    if (head == 0 || head >= sizeof digits || head == len)
        return false;
    memcpy(digits, value, head);
    digits[head] = 0;
    if (np_parse_int(digits, 0, INT64_MAX, &until_s) || until_s <= now_s || until_s - now_s > NP_ADMIN_SESSION_S)
        return false;
    make_cookie(auth, until_s, good);
    return len == strlen(good) && np_equal_constant_time(value, good, len);
}

bool np_admin_auth_cookie(const struct np_admin_auth *auth, const char *cookies, int64_t now_s)
{
    static const char begin[] = NP_ADMIN_COOKIE "=";
    size_t head = sizeof begin - 1;
    while (cookies && *cookies) {
        cookies += strspn(cookies, "; ");
        size_t len = strcspn(cookies, ";");
        if (len > head && memcmp(cookies, begin, head) == 0 && is_good(auth, cookies + head, len - head, now_s))
            return true;
        cookies += len;
    }
    return false;
}

bool np_admin_host_is_literal(const char *host)
{
    struct np_endpoint endpoint;
    if (!host)
        return false;
    if (strncasecmp(host, "localhost", 9) == 0 && (host[9] == 0 || host[9] == ':'))
        return true;
    return np_endpoint_parse(host, 80, &endpoint) == 0;
}
