/* adopt: finds the orders that a crash between newOrder and the storing of its URL left at the CA.
 *
 * The one step that a stored URL cannot protect is newOrder itself. Where the CA keeps a list of the account's orders
 * (RFC 8555 section 7.1.2.1; Boulder keeps none, but gives the same order again for the same names), its pending and
 * ready ones are read once at the start, and an order that is still queued takes the one with its names over. */
#ifndef HQ_ACME_ADOPT_H
#define HQ_ACME_ADOPT_H

#include "hq/acme/client.h"
#include "hq/acme/order.h"

#define NP_ADOPT_MAX   64  /* newest orders of the list that are looked at: as many as can have been in flight */
#define NP_ADOPT_PAGES 200 /* of the list: Pebble has 3 orders on each */

/* An order at the CA that nobody has claimed. */
struct np_adopt_order {
    char url[NP_URL_MAX + 1];
    struct np_acme_order order;
};

/* Zero it before the first use. */
struct np_adopt {
    struct np_acme *acme;
    void (*done)(void *ctx);
    void *ctx;
    char (*urls)[NP_URL_MAX + 1];
    size_t url_count, asked, pages;
    struct np_adopt_order *orders;
    size_t order_count;
    char (*excluded)[NP_URL_MAX + 1];
    size_t excluded_count;
    bool running, finished;
};

/* Reads the list and its orders; done is called once, from the loop or from inside this call, whatever came of it: an
 * unreadable list only means that nothing is adopted. */
void np_adopt_start(struct np_adopt *adopt, struct np_acme *acme, void (*done)(void *ctx), void *ctx);

/* There is nothing to look for: no order was queued when this process began. */
void np_adopt_skip(struct np_adopt *adopt);

/* This URL is in our store: not up for adoption. Call it for all of them before np_adopt_start. Returns 0 or -ENOMEM.
 */
int np_adopt_exclude(struct np_adopt *adopt, const char *url);

/* Takes an order with exactly the names of order out of what was found. False: there is none. */
bool np_adopt_take(struct np_adopt *adopt, const struct np_order *order, struct np_adopt_order *out_order);

/* Frees what is held; the client's callbacks must not come any more. */
void np_adopt_deinit(struct np_adopt *adopt);

#endif
