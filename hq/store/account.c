#include "hq/store/account.h"

#include "hq/store/sql.h"
#include "resolver/base/error.h"

int np_store_account_get(struct np_store *store, const char *ca, struct np_store_account *out_account)
{
    static const char text[] = "SELECT url, key, next FROM acme_account WHERE ca = ?";
    struct np_store_account account = {.key = ""};
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, ca);
    if (np_sql_next(&q)) {
        np_sql_get_text(&q, account.url, sizeof account.url);
        np_sql_get_text(&q, account.key, sizeof account.key);
        np_sql_get_text(&q, account.next, sizeof account.next);
    }
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_account = account;
    return rc;
}

int np_store_account_put(struct np_store *store, const char *ca, const struct np_store_account *account)
{
    static const char text[] = "INSERT INTO acme_account(ca, url, key, next) VALUES(?, ?, ?, ?) ON CONFLICT(ca)"
                               " DO UPDATE SET url = excluded.url, key = excluded.key, next = excluded.next";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, ca);
    np_sql_text(&q, account->url);
    np_sql_text(&q, account->key);
    np_sql_text(&q, account->next);
    return np_sql_end(store, np_sql_run(&q));
}

int np_store_account_forget(struct np_store *store, const char *ca)
{
    static const char text[] = "DELETE FROM acme_account WHERE ca = ? RETURNING 1";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, ca);
    return np_sql_end(store, np_sql_run_found(&q, NP_E_NOT_FOUND));
}
