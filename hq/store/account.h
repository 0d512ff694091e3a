/* account: whose account HQ has at a CA. The key itself is a file beside each HQ; what all of them have to agree on is
 * in the database: the account's URL and its key's thumbprint, and during a change of the key (hq/acme/rollover.h) the
 * next one's. So an HQ that still has an old key knows that, and makes no other account of it. */
#ifndef HQ_STORE_ACCOUNT_H
#define HQ_STORE_ACCOUNT_H

#include "hq/store/store.h"

#define NP_ACCOUNT_THUMBPRINT_MAX 43 /* characters: base64url of a SHA-256 (RFC 7638) */

/* An account; key empty: none is known. */
struct np_store_account {
    char url[NP_URL_MAX + 1];
    char key[NP_ACCOUNT_THUMBPRINT_MAX + 1];
    char next[NP_ACCOUNT_THUMBPRINT_MAX + 1]; /* the key that it is to get, or has got; empty: no change is under way */
};

/* The account at a CA (its directory); all empty where none is known. Returns 0 or a database error. */
int np_store_account_get(struct np_store *store, const char *ca, struct np_store_account *out_account);

/* Writes it. Returns 0 or a database error. */
int np_store_account_put(struct np_store *store, const char *ca, const struct np_store_account *account);

/* Forgets it: the next HQ that works takes whatever account its key has there, or makes one. Returns 0,
 * NP_E_NOT_FOUND, or a database error. */
int np_store_account_forget(struct np_store *store, const char *ca);

#endif
