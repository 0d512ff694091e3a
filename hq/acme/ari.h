/* ari: renewal windows as a CA suggests them (ACME Renewal Information, RFC 9773). Pure: an answer, plain values and
 * the time go in, times come out; acme/ari_poll.c is the shell that asks.
 *
 * A CA's window takes the place of the one that follows from the certificate's life (acme/renewal.h); the device's own
 * point in it stays hashed from its id. A window in the past, which is how a CA says that it is about to revoke, is
 * acted on at once. What a CA may not do is bring HQ to renew without end: a certificate is not renewed in its first
 * hour (the first twentieth of a short life) because of a window, and each renewal before half of the life was over
 * doubles that, up to the point in the certificate's own life; a later one halves it again. Nor does a window delay a
 * renewal into the last quarter of the life, from which on devices ask by themselves. */
#ifndef HQ_ACME_ARI_H
#define HQ_ACME_ARI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/acme/renewal.h"
#include "hq/proto/message.h"

#define NP_ARI_ASK_MS     INT64_C(21600000) /* between two questions where the CA does not say */
#define NP_ARI_ASK_MIN_MS INT64_C(60000)    /* RFC 9773 section 4.3.1: shorter times are taken for a minute, */
#define NP_ARI_ASK_MAX_MS INT64_C(86400000) /* longer ones for a day */
#define NP_ARI_YOUNG_MS   INT64_C(3600000)  /* no certificate is renewed that young because of a window */

/* What a CA says about a certificate. */
struct np_ari_info {
    struct np_renewal_window window;
    char explanation[NP_URL_MAX + 1]; /* a page for people; empty: none */
};

/* Parses a RenewalInfo object (RFC 9773 section 4.2; fuzzed in tests/fuzz/fuzz_acme_json.c). Returns 0, NP_E_MALFORMED,
 * NP_E_MISSING, NP_E_TYPE, or NP_E_DATE for a window that does not end after it begins. */
int np_ari_parse(const char *json, size_t len, struct np_ari_info *out_info);

/* What there is to know about a certificate when the CA has answered. */
struct np_ari_facts {
    const char *device; /* id */
    int64_t not_before_s, not_after_s;
    int64_t attempts;               /* orders made since the certificate was stored */
    int64_t early;                  /* as in struct np_renewal */
    int64_t point_ms, due_ms;       /* as they are */
    struct np_renewal_window known; /* what the CA said last; zero: nothing yet */
};

/* When the certificate is to be renewed. */
struct np_ari_plan {
    bool moved; /* the window is another one than before */
    int64_t point_ms, due_ms;
};

/* What becomes of point and due time by the CA's window. An order that was made already keeps its own pace. */
void np_ari_plan(const struct np_ari_facts *facts, const struct np_renewal_window *window, int64_t now_ms,
                 struct np_ari_plan *out_plan);

/* The first question about a new certificate: spread by the device over six hours (a twentieth of a short life). */
int64_t np_ari_first_ms(int64_t not_before_s, int64_t not_after_s, const char *device);

/* How long to wait for the next question: retry_after_ms (0: none) in the bounds above; of a life of less than 100
 * minutes a hundredth is the least. */
int64_t np_ari_pause_ms(int64_t not_before_s, int64_t not_after_s, int64_t retry_after_ms);

/* Likewise after a question that came to nothing, failures (1 or more) in a row: the least pause, doubled up to six
 * hours, and never less than retry_after_ms in its bounds. */
int64_t np_ari_retry_ms(int64_t not_before_s, int64_t not_after_s, int64_t failures, int64_t retry_after_ms);

#endif
