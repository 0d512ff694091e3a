/* account: the key of our account at a CA, on disk, and its change (RFC 8555 section 7.3.5) over a crash at any moment.
 *
 * <prefix>-account.pem in the secrets folder is the account's key. During a rollover <prefix>-account.next.pem stands
 * beside it: the new key is on disk before the CA hears of it, and takes the old one's place only after the CA has said
 * yes. Where a rollover was interrupted, both are there, and the client (acme/client.h) asks the CA which one it knows.
 *
 * A new key can also come from another HQ, whose rollover it was: np_account_refresh reads the files again.
 *
 * <prefix>-account.lock is locked (flock) by whoever uses the account: shared by `serve`, alone by a rollover, so that
 * the key does not change under a running server.
 *
 * Lifecycle: np_account_open, np_account_make_next and np_account_promote of a rollover, np_account_close. */
#ifndef HQ_ACME_ACCOUNT_H
#define HQ_ACME_ACCOUNT_H

#include <stdbool.h>

#include "hq/acme/key.h"

#define NP_ACCOUNT_PATH_MAX 560 /* the secrets folder's 512, and the file's name */

#define NP_ACCOUNT_FORMER_MAX 8 /* keys that np_account_refresh has replaced in one process */

/* Caller's memory. */
struct np_account {
    char path[NP_ACCOUNT_PATH_MAX], next_path[NP_ACCOUNT_PATH_MAX];
    struct np_acme_key *key;                           /* on disk as the account's */
    struct np_acme_key *next;                          /* of a rollover; NULL: none is under way */
    struct np_acme_key *former[NP_ACCOUNT_FORMER_MAX]; /* requests may still point at them */
    size_t former_count;
    int lock_fd;
};

/* Locks, reads the key or makes it, and reads the next one where there is one. alone: nobody else may use the account
 * meanwhile. Returns 0, -EBUSY (somebody uses it, or changes its key), -errno, or NP_E_KEY for a file that holds no
 * P-256 key. account is zeroed first; np_account_close is to be called whatever came of it. */
int np_account_open(struct np_account *account, const char *secrets, const char *prefix, bool alone);

/* Reads the files again: key and next are other ones where those have changed; the earlier ones stay valid until
 * np_account_close. What cannot be read, or is no key, changes nothing. */
void np_account_refresh(struct np_account *account);

/* Makes the next key and writes it, unless there is one. Returns 0, -errno or NP_E_KEY. */
int np_account_make_next(struct np_account *account);

/* The CA knows the next key: it takes the place of the old one, for good. Returns 0 or -errno. */
int np_account_promote(struct np_account *account);

/* Wipes, unlocks. */
void np_account_close(struct np_account *account);

#endif
