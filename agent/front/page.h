/* page: the small HTML pages that the front serves by itself. Pure.
 *
 * Plain words for the person at home. The pages are files (agent/front/pages, filled in by agent/front/template); this
 * is what they can say. One inline style sheet and one inline script, each let in by its hash, nothing fetched from
 * elsewhere; without JavaScript everything can be read and followed all the same. Every text that is put in is escaped,
 * whatever it is. A page that may be shown under a name that is not the device's (MISDIRECTED and the errors) says
 * nothing about the device: a page of somebody else's that has been rebound to this address could read it. */
#ifndef AGENT_FRONT_PAGE_H
#define AGENT_FRONT_PAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/front/news.h"
#include "resolver/base/cursor.h"

#define NP_PAGE_MAX           (64 * 1024) /* bytes of a page, whatever is put into it: 28 KiB with usual texts */
#define NP_PAGE_ADDRESSES_MAX 8           /* addresses listed */
#define NP_PAGE_POLICY_MAX    768         /* bytes of the Content-Security-Policy: three hashes and an origin */
#define NP_PAGE_STATE_MAX     64          /* characters of np_page_state */

enum np_page_kind {
    NP_PAGE_START,       /* at an address: tries the name, says what is in its way, offers to stay */
    NP_PAGE_STATUS,      /* the device: its name, certificate, addresses, verdict */
    NP_PAGE_WAITING,     /* the own name was asked for, and there is no valid certificate */
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
    const char *here; /* the address that was connected to, as a URL has it, with a port other than 80 */
    bool secure;      /* the page travels over TLS */
    bool probe;       /* the script may try url: not from a public address, where browsers forbid it */
    bool go;          /* and go there when it answers */
    bool fallback;    /* the backend can be used at this address */
    const char *issuer;
    int64_t not_before_s, not_after_s; /* of the certificate; both 0: there is none */
    const char *addresses[NP_PAGE_ADDRESSES_MAX];
    size_t address_count;
    const struct np_news *news; /* NULL: none */
    int status;                 /* ERROR: 400 ... */
    const char *reason;
};

/* Writes the page as HTML. Over its room, w has the error NP_E_LIMIT. */
void np_page_write(struct np_writer *w, const struct np_page *page);

/* What to tell: the agent's verdict, but for what the front sees better (whether https works now). */
enum np_verdict_kind np_page_verdict(const struct np_page *page);

/* How the box does, as the agent has said. */
enum np_level np_page_level(const struct np_page *page);

/* A word that differs when the page would: a page that is open asks for it, and is made anew. Returns buffer. */
const char *np_page_state(const struct np_page *page, char buffer[NP_PAGE_STATE_MAX]);

/* The Content-Security-Policy of the page: its style sheet and its scripts by their hashes, and connections to its own
 * origin and to the name that is tried. Returns buffer. */
const char *np_page_policy(const struct np_page *page, char buffer[NP_PAGE_POLICY_MAX]);

#endif
