/* page: the small HTML pages that the front serves by itself. Pure.
 *
 * Plain words for the person at home; one inline style sheet, no script, nothing fetched from elsewhere, light and
 * dark. Every text that is put in is escaped, whatever it is. A page that may be shown under a name that is not the
 * device's (MISDIRECTED and the errors) says nothing about the device: a page of somebody else's that has been rebound
 * to this address could read it. */
#ifndef AGENT_FRONT_PAGE_H
#define AGENT_FRONT_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/cursor.h"

#define NP_PAGE_MAX           (24 * 1024) /* bytes of a page, whatever is put into it */
#define NP_PAGE_ADDRESSES_MAX 8           /* addresses listed */
#define NP_PAGE_POLICY_MAX    256         /* bytes of the Content-Security-Policy */

enum np_page_kind {
    NP_PAGE_STATUS,      /* the device: its name, certificate, addresses; or that they are on their way */
    NP_PAGE_WAITING,     /* the own name was asked for, and there is no valid certificate yet */
    NP_PAGE_NOT_FOUND,   /* 404, under an own name or address */
    NP_PAGE_BACKEND,     /* the backend does not answer */
    NP_PAGE_MOVED,       /* the body of a redirect */
    NP_PAGE_MISDIRECTED, /* another host name than the device's */
    NP_PAGE_ERROR        /* what cannot be answered: status and reason */
};

/* What is put in. Texts are borrowed; NULL counts as "". */
struct np_page {
    enum np_page_kind kind;
    const char *name; /* the device's name; "" before there is one */
    const char *url;  /* where https lives: "https://NAME/"; "" while it does not */
    bool secure;      /* the page travels over TLS */
    const char *issuer;
    int64_t not_before_s, not_after_s; /* of the certificate; both 0: there is none */
    const char *addresses[NP_PAGE_ADDRESSES_MAX];
    size_t address_count;
    int status; /* ERROR: 400 ... */
    const char *reason;
};

/* Writes the page as HTML. Over its room, w has the error NP_E_LIMIT. */
void np_page_write(struct np_writer *w, const struct np_page *page);

/* Writes text with & < > " ' escaped (for element content and quoted attributes); control characters become '?'. */
void np_page_escape(struct np_writer *w, const char *text);

/* The Content-Security-Policy of every page: nothing but the one inline style sheet, by its hash. Returns buffer. */
const char *np_page_policy(char buffer[NP_PAGE_POLICY_MAX]);

#endif
