#include "hq/acme/account.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/file.h"

/* A folder in which nothing can be made has no lock: then nothing can be changed there either. */
static int lock(struct np_account *account, const char *path, bool alone)
{
    account->lock_fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (account->lock_fd < 0)
        return errno == EROFS || (errno == EACCES && !alone) ? 0 : -errno;
    if (flock(account->lock_fd, (alone ? LOCK_EX : LOCK_SH) | LOCK_NB))
        return errno == EWOULDBLOCK ? -EBUSY : -errno;
    return 0;
}

int np_account_open(struct np_account *account, const char *secrets, const char *prefix, bool alone)
{
    char path[NP_ACCOUNT_PATH_MAX];
    memset(account, 0, sizeof *account);
    account->lock_fd = -1;
    if (snprintf(path, sizeof path, "%s/%s-account.lock", secrets, prefix) >= (int)sizeof path)
        return -ENAMETOOLONG;
    snprintf(account->path, sizeof account->path, "%s/%s-account.pem", secrets, prefix);
    if (snprintf(account->next_path, sizeof account->next_path, "%s/%s-account.next.pem", secrets, prefix) >=
        (int)sizeof account->next_path)
        return -ENAMETOOLONG;
    int rc = lock(account, path, alone);
    if (rc == 0)
        rc = np_acme_key_load(account->path, &account->key);
    if (rc)
        return rc;
    rc = np_acme_key_read(account->next_path, &account->next);
    return rc == -ENOENT ? 0 : rc;
}

static bool same_key(const struct np_acme_key *a, const struct np_acme_key *b)
{
    return a && b ? strcmp(np_acme_key_thumbprint(a), np_acme_key_thumbprint(b)) == 0 : a == b;
}

/* Puts read in the place of *key, where it is another one; takes read. */
static void replace_take(struct np_account *account, struct np_acme_key **key, struct np_acme_key *read)
{
    if (same_key(*key, read) || (*key && account->former_count == NP_ACCOUNT_FORMER_MAX)) {
        np_acme_key_free(read);
        return;
    }
    if (*key)
        account->former[account->former_count++] = *key;
    *key = read;
}

void np_account_refresh(struct np_account *account)
{
    struct np_acme_key *read = NULL;
    if (np_acme_key_read(account->path, &read) == 0)
        replace_take(account, &account->key, read);
    read = NULL;
    int rc = np_acme_key_read(account->next_path, &read);
    if (rc == 0 || rc == -ENOENT)
        replace_take(account, &account->next, read);
}

int np_account_make_next(struct np_account *account)
{
    struct stat now;
    if (account->next)
        return 0;
    int rc = np_acme_key_load(account->next_path, &account->next);
    /* Root makes it for whoever the server runs as. */
    if (rc == 0 && geteuid() == 0 && stat(account->path, &now) == 0 &&
        chown(account->next_path, now.st_uid, now.st_gid))
        rc = -errno;
    return rc;
}

int np_account_promote(struct np_account *account)
{
    char folder[NP_ACCOUNT_PATH_MAX];
    if (rename(account->next_path, account->path))
        return -errno;
    memcpy(folder, account->path, sizeof folder);
    return np_folder_sync(dirname(folder));
}

void np_account_close(struct np_account *account)
{
    np_acme_key_free(account->key);
    np_acme_key_free(account->next);
    while (account->former_count > 0)
        np_acme_key_free(account->former[--account->former_count]);
    account->key = account->next = NULL;
    if (account->lock_fd >= 0)
        close(account->lock_fd);
    account->lock_fd = -1;
}
