/* auth: who may see the dashboard: whoever has the operator's token (a file that only its owner can read), by an
 * Authorization header, or by a cookie that the login form gives for the token.
 *
 * The cookie is not the token: it says until when it is good, and carries a MAC of that under a key that is made at the
 * start, so that it ends with the process and needs no list. All comparisons of secrets take constant time. Pure, but
 * for np_admin_auth_load. */
#ifndef HQ_ADMIN_AUTH_H
#define HQ_ADMIN_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_ADMIN_TOKEN_MIN  32  /* characters: less can be guessed */
#define NP_ADMIN_TOKEN_MAX  128 /* the ones we make have 43: base64url of 32 random bytes */
#define NP_ADMIN_SESSION_S  (12 * 3600)
#define NP_ADMIN_COOKIE     "nameplate-hq"
#define NP_ADMIN_COOKIE_MAX 96 /* bytes of a cookie's value, with NUL */
#define NP_ADMIN_ERROR_MAX  768

/* A plain value with secrets. */
struct np_admin_auth {
    char token[NP_ADMIN_TOKEN_MAX + 1];
    uint8_t key[32]; /* of the cookies */
};

/* Makes a token file (mode 0600), which must not be there. Returns 0 or -errno (-EEXIST). */
int np_admin_token_make(const char *path);

/* Reads the token file, and makes it where there is none. Returns 0, or an error with a sentence in error. */
int np_admin_auth_load(const char *path, struct np_admin_auth *out_auth, char error[NP_ADMIN_ERROR_MAX]);

/* Is this an Authorization header's value with the token ("Bearer TOKEN")? NULL is not. */
bool np_admin_auth_bearer(const struct np_admin_auth *auth, const char *authorization);

/* Is this the login form's body, "token=TOKEN" and nothing else? */
bool np_admin_auth_form(const struct np_admin_auth *auth, const char *body, size_t len);

/* A cookie's value that is good for NP_ADMIN_SESSION_S. */
void np_admin_auth_cookie_make(const struct np_admin_auth *auth, int64_t now_s, char out[NP_ADMIN_COOKIE_MAX]);

/* Has a Cookie header's value (RFC 6265 section 4.2.1) a cookie of ours that is good now? NULL has none. */
bool np_admin_auth_cookie(const struct np_admin_auth *auth, const char *cookies, int64_t now_s);

/* Does a Host header name this machine by an address, or as localhost? Another name may be anybody's, whose DNS points
 * here so that a page of his can read what needs no token (DNS rebinding). NULL does not. */
bool np_admin_host_is_literal(const char *host);

#endif
