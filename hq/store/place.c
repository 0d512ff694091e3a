/* Where an order stands in the queue. After a power cut ten thousand devices ask that every few seconds, and counting
 * ten thousand rows for each of them would be half of HQ's work: near the front the orders are counted, further back
 * the place is read from marks, every MARK_ROWS-th order of the queue, which are made anew when they are MARKS_MS old.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "hq/store/sql.h"

#define MARK_ROWS 32
#define MARKS_MAX (NP_STORE_POSITION_MAX / MARK_ROWS)
#define MARKS_MS  3000 /* a place so far back is a matter of minutes */

/* An order of the queue: what stands before it, and how many of that are fresh. */
struct mark {
    int64_t priority, fresh, created_ms, fresh_ahead;
};

struct np_queue_marks {
    int64_t made_ms;
    size_t count;
    struct mark marks[MARKS_MAX];
    struct np_queue_place all; /* of the whole queue */
};

static int64_t steady_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Counts what stands before the order, to the limit. */
static int count_ahead(struct np_store *store, const struct np_order *order, int64_t limit,
                       struct np_queue_place *out_place)
{
    static const char text[] =
        "SELECT count(*), count(*) FILTER (WHERE fresh = 1) FROM (SELECT fresh FROM orders WHERE state = 0 AND begun = "
        "0"
        " AND (priority, fresh, created_ms) < (?, ?, ?) ORDER BY priority, fresh, created_ms LIMIT ?) ahead";
    struct np_lane lane = np_order_lane(order);
    struct np_queue_place place = {0};
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, lane.priority);
    np_sql_int(&q, lane.fresh);
    np_sql_int(&q, order->created_ms);
    np_sql_int(&q, limit);
    if (np_sql_next(&q)) {
        place.ahead = np_sql_get_int(&q);
        place.fresh_ahead = np_sql_get_int(&q);
    }
    int rc = np_sql_finish(&q);
    if (rc == 0)
        *out_place = place;
    return rc;
}

static int make_marks(struct np_store *store, struct np_queue_marks *marks)
{
    static const char text[] = "SELECT priority, fresh, created_ms FROM orders WHERE state = 0 AND begun = 0"
                               " ORDER BY priority, fresh, created_ms LIMIT ?";
    struct np_sql q = np_sql_start(store, text);
    np_sql_int(&q, NP_STORE_POSITION_MAX);
    marks->count = 0;
    marks->all = (struct np_queue_place){0};
    while (np_sql_next(&q)) {
        struct mark mark = {.priority = np_sql_get_int(&q),
                            .fresh = np_sql_get_int(&q),
                            .created_ms = np_sql_get_int(&q),
                            .fresh_ahead = marks->all.fresh_ahead};
        if (marks->all.ahead % MARK_ROWS == 0 && marks->count < MARKS_MAX)
            marks->marks[marks->count++] = mark;
        marks->all.ahead++;
        marks->all.fresh_ahead += mark.fresh;
    }
    marks->made_ms = steady_ms();
    return np_sql_finish(&q);
}

static bool is_before(const struct mark *mark, const struct np_order *order)
{
    struct np_lane lane = np_order_lane(order);
    if (mark->priority != (int64_t)lane.priority)
        return mark->priority < (int64_t)lane.priority;
    if (mark->fresh != (int64_t)lane.fresh)
        return mark->fresh < (int64_t)lane.fresh;
    return mark->created_ms < order->created_ms;
}

/* The first mark that is not before the order; the whole queue past the last. */
static struct np_queue_place place_by_marks(const struct np_queue_marks *marks, const struct np_order *order)
{
    size_t low = 0, high = marks->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_before(&marks->marks[middle], order))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == marks->count)
        return marks->all;
    return (struct np_queue_place){(int64_t)low * MARK_ROWS, marks->marks[low].fresh_ahead};
}

int np_store_queue_place(struct np_store *store, const struct np_order *order, struct np_queue_place *out_place)
{
    struct np_queue_place place;
    int rc = count_ahead(store, order, NP_STORE_POSITION_EXACT, &place);
    if (rc)
        return rc;
    if (place.ahead == NP_STORE_POSITION_EXACT) {
        struct np_queue_marks *marks = store->marks;
        if (!marks)
            marks = store->marks = calloc(1, sizeof *marks);
        if (!marks)
            return -ENOMEM;
        if (marks->count == 0 || steady_ms() - marks->made_ms >= MARKS_MS)
            rc = make_marks(store, marks);
        if (rc) {
            marks->count = 0;
            return rc;
        }
        struct np_queue_place far = place_by_marks(marks, order);
        if (far.ahead > place.ahead)
            place = far; /* else the marks are older than what came in between */
    }
    *out_place = place;
    return 0;
}
