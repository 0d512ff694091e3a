/* A walk over all names costs the same for each slice, however many names there are: SQLite's work is counted in steps of its
 * machine. (PostgreSQL plans by its statistics.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/hq/database.h"

#define DEVICES   20000
#define SLICE     100
#define STEPS_MAX (SLICE * 200) /* it takes 60 a name; a look at each device would be a million */

static sqlite3 *opened;
static uint64_t steps;

static int remember(sqlite3 *db, char **message, const struct sqlite3_api_routines *api)
{
    (void)message;
    (void)api;
    opened = db;
    return SQLITE_OK;
}

static int count_step(void *ctx)
{
    (void)ctx;
    steps++;
    return 0;
}

/* The last name of the slice, and how many it had. */
struct slice {
    char last[NP_NAME_MAX + 1];
    size_t count;
};

static int take(void *ctx, const struct np_zone_name *name)
{
    struct slice *slice = ctx;
    assert_true(strcmp(name->name, slice->last) > 0);
    snprintf(slice->last, sizeof slice->last, "%s", name->name);
    slice->count++;
    return 0;
}

static void test_slices(void **state)
{
    static const char fill[] =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000)"
        " INSERT INTO device(id, x, y, thumbprint, epoch, token_hash, auth_n, auth_n_used, name, serial, credential, state,"
        " network, nonce_us, seq, stated, published, publish, model, version, created_s, last_seen_s)"
        " SELECT printf('d%05d', n), x'00', x'00', cast(n AS BLOB), x'00', x'00', 0, 0,"
        " printf('name-%05d.devices.example', n), '', 1, 0, '', 0, 1, '', '', 0, '', '', 1, 1 FROM c;"
        "INSERT INTO naming(name, device, thumbprint, role, network, asked_s, until_s)"
        " SELECT 'own-' || name, id, x'00', 1, '', 1, 0 FROM device WHERE name < 'name-02000'";
    struct database d = {0};
    (void)state;
    if (database_is_server())
        skip();
    database_make(&d);
    np_store_close(database_open(&d));
    database_run(&d, fill, "");
    sqlite3_auto_extension((void (*)(void))remember);
    struct np_store *store = database_open(&d);
    sqlite3_progress_handler(opened, 1, count_step, NULL);
    struct slice slice = {0};
    size_t seen = 0;
    do {
        slice.count = 0;
        steps = 0;
        assert_int_equal(np_store_names_after(store, slice.last, SLICE, take, &slice), 0);
        assert_in_range(steps, 1, STEPS_MAX);
        seen += slice.count;
    } while (slice.count == SLICE);
    assert_int_equal(seen, DEVICES + 1999);
    np_store_close(store);
    sqlite3_reset_auto_extension();
    database_remove(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
