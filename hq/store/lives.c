#include "hq/store/lives.h"

#include <string.h>

#include "hq/store/sql.h"
#include "resolver/base/cursor.h"
#include "resolver/base/error.h"

int np_store_lives_get(struct np_store *store, const char *device, struct np_lives *out_lives)
{
    static const char text[] = "SELECT lives, returns, suspected_s FROM life WHERE device = ?";
    struct np_lives lives = {.count = 0};
    uint8_t returns[NP_LIVES_RETURNS * 8];
    size_t len = 0;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    if (np_sql_next(&q)) {
        np_sql_get_blob(&q, lives.lives, sizeof lives.lives, &len);
        lives.count = len / NP_LIFE_LEN;
        np_sql_get_bytes(&q, returns, sizeof returns);
        struct np_reader r = np_reader_make(returns, sizeof returns);
        for (size_t i = 0; i < NP_LIVES_RETURNS; i++)
            lives.returns_s[i] = (int64_t)np_read_u64(&r);
        lives.suspected_s = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_lives = lives;
    return rc;
}

int np_store_lives_put(struct np_store *store, const char *device, const struct np_lives *lives)
{
    static const char text[] = "INSERT INTO life(device, lives, returns, suspected_s) VALUES(?, ?, ?, ?)"
                               " ON CONFLICT(device) DO UPDATE SET lives = excluded.lives, returns = excluded.returns,"
                               " suspected_s = excluded.suspected_s";
    uint8_t returns[NP_LIVES_RETURNS * 8];
    struct np_writer w = np_writer_make(returns, sizeof returns);
    for (size_t i = 0; i < NP_LIVES_RETURNS; i++)
        np_write_u64(&w, (uint64_t)lives->returns_s[i]);
    int rc = np_sql_begin(store);
    if (rc)
        return rc;
    struct np_sql q = np_sql_start(store, text);
    np_sql_text(&q, device);
    np_sql_blob(&q, lives->lives, lives->count * NP_LIFE_LEN);
    np_sql_blob(&q, returns, sizeof returns);
    np_sql_int(&q, lives->suspected_s);
    return np_sql_end(store, np_sql_run(&q));
}

int np_store_clones(struct np_store *store, size_t limit, np_store_device_fn *each, void *ctx)
{
    static const char text[] = "SELECT device FROM life WHERE suspected_s > 0 ORDER BY suspected_s LIMIT ?";
    static const size_t width = NP_DEVICE_ID_MAX + 1;
    char ids[NP_LIVES_PAGE_MAX][NP_DEVICE_ID_MAX + 1];
    size_t count = 0;
    int stopped = 0;
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, (int64_t)(limit < NP_LIVES_PAGE_MAX ? limit : NP_LIVES_PAGE_MAX));
    while (count < NP_LIVES_PAGE_MAX && np_sql_next(&q))
        np_sql_get_text(&q, ids[count++], width);
    int rc = np_sql_finish(&q);
    for (size_t i = 0; rc == 0 && stopped == 0 && i < count; i++) {
        struct np_device device;
        rc = np_store_device_get(store, ids[i], &device);
        if (rc == 0)
            stopped = each(ctx, &device);
    }
    return rc ? rc : stopped;
}
