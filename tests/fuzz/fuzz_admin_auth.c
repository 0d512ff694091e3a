/* What a stranger sends to the operator's listener: nothing but the token, or a cookie under our key, opens it. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/admin/auth.h"

#define TOKEN "abcdefghijklmnopqrstuvwxyz0123456789-_ABCDE"
#define NOW   INT64_C(1790000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct np_admin_auth auth = {.token = TOKEN}, other = {.token = TOKEN};
    char *text = malloc(size + 1), cookie[NP_ADMIN_COOKIE_MAX];
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = 0;
    memset(auth.key, 7, sizeof auth.key);
    memset(other.key, 8, sizeof other.key);
    if (np_admin_auth_bearer(&auth, text))
        require(strstr(text, TOKEN) != NULL, "bearer");
    if (np_admin_auth_form(&auth, (const char *)data, size))
        require(size == strlen("token=" TOKEN) && memcmp(data, "token=" TOKEN, size) == 0, "form");
    if (np_admin_auth_cookie(&auth, text, NOW))
        require(!np_admin_auth_cookie(&other, text, NOW), "cookie");
    (void)np_admin_host_is_literal(text);
    np_admin_auth_cookie_make(&auth, NOW, cookie);
    free(text);
    return 0;
}
