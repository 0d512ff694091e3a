/* hqcore: HQ's core without sockets, loop and CA: the real API on a real store, the real renewer, and a CA that takes
 * what is in the queue and signs it, all at the time it is told. Knows nothing of the device's side.
 *
 * Between two calls everything is committed: what an answer says is stored. */
#ifndef TESTS_REPLAY_HQCORE_H
#define TESTS_REPLAY_HQCORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HQCORE_URL     "https://hq.devices.example" /* BOX_URL's */
#define HQCORE_TEXT    128
#define HQCORE_LIFE_S  (45LL * 86400)
#define HQCORE_NEVER   INT64_MAX
#define HQCORE_BEAT_MS 3000000 /* HQ notes that it lives: more often than the hour that counts as an outage */

struct hqcore;

/* A request. NULL: absent. Borrowed. */
struct hqcore_request {
    const char *method, *path, *content_type, *bearer, *etag, *body;
    size_t body_len;
};

/* An answer; body is malloc'd or NULL. */
struct hqcore_answer {
    int status;
    char nonce[HQCORE_TEXT], etag[HQCORE_TEXT];
    int64_t retry_after_s;
    char *body;
    size_t body_len;
};

/* What HQ has. */
struct hqcore_counts {
    int64_t devices, live; /* rows, and those that are active */
    int64_t orders;        /* ever made */
    int64_t live_orders;   /* of active devices; without those that a new key made useless before the CA knew of them */
    int64_t live_packages; /* ever stored for active devices */
    int64_t certificates;  /* ever signed by the CA */
    int64_t clones;        /* devices that HQ takes for several boxes */
};

/* HQ on the database at that path (":memory:": none); NULL when it cannot be opened. */
struct hqcore *hqcore_new(const char *database);

/* Goes on with another database: one restored from a backup, or an empty one. The keys, which are no part of it, stay.
 * False when it cannot be opened. */
bool hqcore_restore(struct hqcore *core, const char *database);

/* Switches off; NULL is fine. */
void hqcore_free(struct hqcore *core);

/* The factory secret of a serial number. */
void hqcore_secret(const char *serial, uint8_t out_secret[32]);

struct np_public_key;
/* What it signs grants and the time with. */
void hqcore_key(const struct hqcore *core, struct np_public_key *out_key);

/* Answers a request at that Unix time. */
void hqcore_handle(struct hqcore *core, const struct hqcore_request *request, int64_t now_us,
                   struct hqcore_answer *out_answer);

/* The CA is away, or signs certificates of that life. */
void hqcore_ca(struct hqcore *core, bool away, int64_t life_s);

/* When there is something to do, in Unix ms; HQCORE_NEVER. */
int64_t hqcore_due_ms(struct hqcore *core);

/* Does what is due: renewals, the CA's queue, the heartbeat. */
void hqcore_turn(struct hqcore *core, int64_t now_ms);

/* Counts. */
struct hqcore_counts hqcore_count(struct hqcore *core);

/* Does the zone show the name? */
bool hqcore_shows(struct hqcore *core, const char *name);

/* How many different live devices hold a name: 1 where all is well. */
int64_t hqcore_holders(struct hqcore *core, const char *name);

#endif
