/* check: is a challenge's TXT seen at every name server of the zone? Asked by real DNS over UDP, as a CA would:
 * secondaries follow their primary a second later, and nobody knows which one the CA asks.
 *
 * A server that shows all values has confirmed. Where the challenge zone has name servers of its own
 * (`acme-nameservers`), those are to show the values, and the device zone's the standing CNAME that leads there. The
 * check succeeds when every server has confirmed, those left out that have failed (no answer, or an error) for
 * `nameserver-skip-after` without a break, provided that at least one of the values' servers confirmed. It never fails
 * by itself: it asks on, with a growing pause, until it succeeds or is cancelled.
 *
 * For how long a server has failed is remembered from one check to the next (struct np_check_health), so that a server
 * that is down for a day costs one order a minute, and not each of them.
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

#define NP_CHECK_SKIP_MS        NP_ZONE_SKIP_MS
#define NP_CHECK_FORGET_MS      300000 /* a failure that nobody has seen again for so long says nothing any more */
#define NP_CHECK_SERVERS_MAX    (2 * NP_ZONE_NAMESERVERS_MAX)
#define NP_CHECK_TIMEOUT_MS     1000 /* of one question */
#define NP_CHECK_PAUSE_FIRST_MS 25   /* between two questions to one server; doubles */
#define NP_CHECK_PAUSE_CAP_MS   1000

/* What came of a question. */
enum np_check_result {
    NP_CHECK_SHOWN,  /* all values are there */
    NP_CHECK_ABSENT, /* a good answer without them: not yet */
    NP_CHECK_FOLLOW, /* a good answer that leads elsewhere: to be asked on at once */
    NP_CHECK_FAILED  /* no answer, or an error */
};

/* What is remembered of the name servers. Zero-initialised nothing is. */
struct np_check_health {
    int64_t skip_ms; /* a server that has failed for so long is left out; 0: NP_CHECK_SKIP_MS */
    struct {
        bool failing; /* since since_ms, last seen at last_ms */
        bool told;    /* the log knows that it is left out */
        int64_t since_ms, last_ms;
    } servers[NP_CHECK_SERVERS_MAX];
};

/* One server's state. */
struct np_check_server {
    bool values; /* it is to show the values; else the CNAME alone */
    bool confirmed;
    bool skipped;
    bool asking;
    int64_t next_ms; /* when to ask again */
    int64_t pause_ms;
};

/* The pure state. */
struct np_check {
    struct np_check_server servers[NP_CHECK_SERVERS_MAX];
    size_t count;
    struct np_check_health *health; /* borrowed */
};

/* count servers, all to be asked at once, and all to show the values (values: false where one is not). */
void np_check_init(struct np_check *check, size_t count, struct np_check_health *health, int64_t now_ms);

/* The next server to ask now, marked as asking; -1: none yet. */
long np_check_next(struct np_check *check, int64_t now_ms);

/* The answer of a server that was asked. Returns 1 when the server is left out from now on, -1 when it is back, for the
 * log; else 0. */
int np_check_take(struct np_check *check, size_t index, enum np_check_result result, int64_t now_ms);

/* Is the check done? */
bool np_check_done(const struct np_check *check);

/* When np_check_next is worth calling again; INT64_MAX: only after an answer. */
int64_t np_check_due_ms(const struct np_check *check);

/* Judges a response to a TXT question for name: the values may stand at the end of a CNAME chain. A chain that ends
 * without TXT gives NP_CHECK_FOLLOW and its end in *out_target, to be asked next. */
enum np_check_result np_check_judge(const uint8_t *message, size_t len, const struct np_name *name,
                                    const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t value_count,
                                    struct np_name *out_target);

struct np_txt_check;

/* Begins to ask all name servers of the zone's configuration (as many as it has entries) for the TXT of
 * "_acme-challenge.<name>". done is called once, from the loop, when the check has succeeded. Returns 0, -ENOMEM or
 * NP_E_NAME. */
int np_txt_check_start(uv_loop_t *loop, struct np_zone *zone, const char *name,
                       const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t value_count,
                       void (*done)(void *ctx), void *ctx, struct np_txt_check **out_check);

/* Ends a check before its done was called; it frees itself in the next turns of the loop. */
void np_txt_check_cancel(struct np_txt_check *check);

#endif
