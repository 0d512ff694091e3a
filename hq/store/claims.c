#include "hq/store/claims.h"

#include <errno.h>
#include <string.h>

#include "hq/store/sql.h"
#include "resolver/base/error.h"

int np_store_claim_get(struct np_store *store, const uint8_t hash[32], struct np_claim *out_claim)
{
    static const char text[] = "SELECT serial, model, added_s, device, claimed_s FROM claim WHERE hash = ?";
    struct np_claim claim = {0};
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, hash, 32);
    bool found = np_sql_next(&q);
    if (found) {
        memcpy(claim.hash, hash, sizeof claim.hash);
        np_sql_get_text(&q, claim.serial, sizeof claim.serial);
        np_sql_get_text(&q, claim.model, sizeof claim.model);
        claim.added_s = np_sql_get_int(&q);
        np_sql_get_text(&q, claim.device, sizeof claim.device);
        claim.claimed_s = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc)
        return rc;
    if (!found)
        return NP_E_NOT_FOUND;
    *out_claim = claim;
    return 0;
}

static int insert_claim(struct np_store *store, const struct np_claim *claim)
{
    static const char text[] =
        "INSERT INTO claim(hash, serial, model, added_s, device, claimed_s) VALUES(?,?,?,?,'',0)";
    struct np_sql q = np_sql_start(store, text);
    np_sql_blob(&q, claim->hash, sizeof claim->hash);
    np_sql_text(&q, claim->serial);
    np_sql_text(&q, claim->model);
    np_sql_int(&q, claim->added_s);
    return np_sql_run(&q);
}

int np_store_claim_add(struct np_store *store, const struct np_claim *claim)
{
    struct np_claim there;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_claim_get(store, claim->hash, &there);
    if (rc == NP_E_NOT_FOUND)
        rc = insert_claim(store, claim);
    else if (rc == 0)
        rc = strcmp(there.serial, claim->serial) || strcmp(there.model, claim->model) ? NP_E_CONFLICT : -EEXIST;
    return np_sql_end(store, rc);
}

int np_store_claim_take(struct np_store *store, const uint8_t hash[32], const char *device, int64_t now_s)
{
    static const char text[] =
        "UPDATE claim SET device = ?, claimed_s = ? WHERE hash = ? AND device = '' RETURNING device";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_int(&q, now_s);
    np_sql_blob(&q, hash, 32);
    bool taken = np_sql_next(&q);
    while (np_sql_next(&q)) /* to its end: only then is the update done in every database */
        ;
    rc = np_sql_finish(&q);
    if (rc == 0 && !taken)
        rc = NP_E_CONFLICT;
    return np_sql_end(store, rc);
}

int np_store_device_add_claimed(struct np_store *store, const struct np_device *device, const uint8_t hash[32])
{
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_claim_take(store, hash, device->id, device->created_s);
    if (rc == NP_E_CONFLICT)
        rc = NP_E_STALE;
    if (rc == 0)
        rc = np_store_device_add(store, device);
    return np_sql_end(store, rc);
}

int np_store_claim_release(struct np_store *store, const uint8_t hash[32])
{
    static const char text[] = "UPDATE claim SET device = '', claimed_s = 0 WHERE hash = ?";
    struct np_claim claim;
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_claim_get(store, hash, &claim);
    if (rc == 0) {
        struct np_sql q = np_sql_start(store, text);
        np_sql_blob(&q, hash, 32);
        rc = np_sql_run(&q);
    }
    return np_sql_end(store, rc);
}

int np_store_claims_release_of(struct np_store *store, const char *device)
{
    static const char text[] = "UPDATE claim SET device = '', claimed_s = 0 WHERE device = ? AND device <> ''";
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    return np_sql_end(store, np_sql_run(&q));
}

int np_store_serial_get(struct np_store *store, const char *serial, char out_model[NP_MODEL_MAX + 1])
{
    static const char text[] = "SELECT model FROM factory WHERE serial = ?";
    char model[NP_MODEL_MAX + 1] = "";
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, serial);
    bool found = np_sql_next(&q);
    if (found)
        np_sql_get_text(&q, model, sizeof model);
    int rc = np_sql_finish(&q);
    if (rc)
        return rc;
    if (!found)
        return NP_E_NOT_FOUND;
    memcpy(out_model, model, sizeof model);
    return 0;
}

int np_store_serial_add(struct np_store *store, const char *serial, const char *model, int64_t now_s)
{
    static const char text[] = "INSERT INTO factory(serial, model, added_s) VALUES(?,?,?)";
    char there[NP_MODEL_MAX + 1];
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    rc = np_store_serial_get(store, serial, there);
    if (rc == NP_E_NOT_FOUND) {
        struct np_sql q = np_sql_start(store, text);
        np_sql_text(&q, serial);
        np_sql_text(&q, model);
        np_sql_int(&q, now_s);
        rc = np_sql_run(&q);
    } else if (rc == 0) {
        rc = strcmp(there, model) ? NP_E_CONFLICT : -EEXIST;
    }
    return np_sql_end(store, rc);
}
