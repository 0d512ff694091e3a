#include "hq/admin/counter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/config.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"

#define ERROR_MAX 512

struct np_counter {
    uv_loop_t *loop;
    char database[NP_HQ_PATH_MAX];
    struct np_census census, taking; /* taking is the thread's while one is under way */
    uv_work_t work;
    bool running, has, failed;
    int rc;                /* of the thread's last one */
    char error[ERROR_MAX]; /* likewise */
    int64_t begun_ms, taken_ms, took_ms;
    void (*closed)(void *ctx);
    void *closed_ctx;
};

/* In the thread: what it touches, nobody else does meanwhile. */
static void take(uv_work_t *work)
{
    struct np_counter *counter = work->data;
    struct np_store *store = NULL;
    counter->rc = np_store_open(counter->database, true, &store, counter->error, sizeof counter->error);
    if (counter->rc)
        return;
    counter->rc = np_store_census(store, (int64_t)time(NULL), &counter->taking);
    if (counter->rc)
        snprintf(counter->error, sizeof counter->error, "%s", np_store_error(store));
    np_store_close(store);
}

/* In the thread: nothing. */
static void rest(uv_work_t *work)
{
    struct np_counter *counter = work->data;
    counter->rc = -ECANCELED;
}

static void finish(struct np_counter *counter)
{
    void (*closed)(void *ctx) = counter->closed;
    void *ctx = counter->closed_ctx;
    free(counter);
    closed(ctx);
}

static void on_taken(uv_work_t *work, int status)
{
    struct np_counter *counter = work->data;
    counter->running = false;
    if (status == 0 && !counter->closed) {
        counter->took_ms = (int64_t)(uv_now(counter->loop)) - counter->begun_ms;
        if (counter->rc && !counter->failed)
            np_warning("the fleet cannot be counted: %s", counter->error);
        counter->failed = counter->rc != 0;
    }
    if (status == 0 && counter->rc == 0) {
        counter->census = counter->taking;
        counter->taken_ms = counter->begun_ms;
        counter->has = true;
    }
    if (counter->closed)
        finish(counter);
}

static void begin(struct np_counter *counter)
{
    counter->begun_ms = (int64_t)uv_now(counter->loop);
    counter->running = uv_queue_work(counter->loop, &counter->work, take, on_taken) == 0;
}

int np_counter_new(uv_loop_t *loop, const char *database, struct np_counter **out_counter)
{
    struct np_counter *counter = calloc(1, sizeof *counter);
    if (!counter)
        return -ENOMEM;
    counter->loop = loop;
    counter->work.data = counter;
    snprintf(counter->database, sizeof counter->database, "%s", database);
    begin(counter);
    *out_counter = counter;
    return 0;
}

const struct np_census *np_counter_get(struct np_counter *counter, int64_t *out_age_ms, int64_t *out_took_ms)
{
    int64_t now_ms = (int64_t)uv_now(counter->loop), pause_ms = counter->took_ms * NP_COUNTER_SHARE;
    if (pause_ms < NP_COUNTER_EVERY_MS)
        pause_ms = NP_COUNTER_EVERY_MS;
    if (!counter->has && counter->failed)
        pause_ms = 1000;
    if (!counter->running && !counter->closed && now_ms - counter->begun_ms >= pause_ms)
        begin(counter);
    if (!counter->has)
        return NULL;
    *out_age_ms = now_ms - counter->taken_ms;
    *out_took_ms = counter->took_ms;
    return &counter->census;
}

void np_counter_close(struct np_counter *counter, void (*done)(void *ctx), void *ctx)
{
    counter->closed = done;
    counter->closed_ctx = ctx;
    if (!counter->running) /* done is called from the loop, also when there is nothing to wait for */
        uv_queue_work(counter->loop, &counter->work, rest, on_taken);
}
