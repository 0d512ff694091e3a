/* check: is a challenge's TXT seen at every name server of the zone? Asked by real DNS over UDP, as a CA would.
 *
 * A server that shows all values has confirmed. The check succeeds when every server has confirmed, those left out that
 * have failed (no answer, or an error) for NP_CHECK_SKIP_MS without a break, provided that at least one confirmed. It
 * never fails by itself: it asks on, with a growing pause, until it succeeds or is cancelled.
 *
 * The decision is a pure core (np_check_*), the sockets a thin shell (np_txt_check_*): a new socket, so a new source
 * port, and a random ID for every question. */
#ifndef HQ_ZONE_CHECK_H
#define HQ_ZONE_CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "hq/zone/zone.h"
#include "resolver/message.h"

#define NP_CHECK_SKIP_MS        60000 /* a name server that has failed for so long is left out */
#define NP_CHECK_TIMEOUT_MS     1000  /* of one question */
#define NP_CHECK_PAUSE_FIRST_MS 25    /* between two questions to one server; doubles */
#define NP_CHECK_PAUSE_CAP_MS   1000

/* What came of a question. */
enum np_check_result {
    NP_CHECK_SHOWN,  /* all values are there */
    NP_CHECK_ABSENT, /* a good answer without them: not yet */
    NP_CHECK_FAILED  /* no answer, or an error */
};

/* One server's state. */
struct np_check_server {
    bool confirmed;
    bool skipped;
    bool asking;
    int64_t failing_since_ms; /* INT64_MIN: it is not failing */
    int64_t next_ms;          /* when to ask again */
    int64_t pause_ms;
};

/* The pure state. */
struct np_check {
    struct np_check_server servers[NP_ZONE_NAMESERVERS_MAX];
    size_t count;
};

/* count servers, all to be asked at once. */
void np_check_init(struct np_check *check, size_t count, int64_t now_ms);

/* The next server to ask now, marked as asking; -1: none yet. */
long np_check_next(struct np_check *check, int64_t now_ms);

/* The answer of a server that was asked. Returns true when the server has just been given up (worth a log line). */
bool np_check_take(struct np_check *check, size_t index, enum np_check_result result, int64_t now_ms);

/* Is the check done? */
bool np_check_done(const struct np_check *check);

/* When np_check_next is worth calling again; INT64_MAX: only after an answer. */
int64_t np_check_due_ms(const struct np_check *check);

/* Judges a response to a TXT question for name: the values may stand at the end of a CNAME chain. A chain that ends
 * without TXT gives NP_CHECK_ABSENT and its end in *out_target, to be asked next (out_target->len 0: none). */
enum np_check_result np_check_judge(const uint8_t *message, size_t len, const struct np_name *name,
                                    const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t value_count,
                                    struct np_name *out_target);

struct np_txt_check;

/* Begins to ask all name servers of config (as many as it has entries) for the TXT of "_acme-challenge.<name>". done is
 * called once, from the loop, when the check has succeeded. Returns 0, -ENOMEM or NP_E_NAME. */
int np_txt_check_start(uv_loop_t *loop, const struct np_zone_config *config, const char *name,
                       const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t value_count,
                       void (*done)(void *ctx), void *ctx, struct np_txt_check **out_check);

/* Ends a check before its done was called; it frees itself in the next turns of the loop. */
void np_txt_check_cancel(struct np_txt_check *check);

#endif
