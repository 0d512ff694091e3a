/* answer: which answer an HTTP request gets, and its bytes. Pure.
 *
 *   Host                           port 80                              port 443 (own pages)
 *   own name, https works          301 to https, path kept (308 *)      / status page, else 404
 *   alias without certificate      307 to the box's name over https     the same as above
 *   own name, no certificate       503 with Retry-After                 the same as above
 *   own address, localhost, .local / start page, else the backend **    / status page, else 404
 *   any other                      421, a page that says nothing        421
 *
 * (*) 308 for other methods than GET and HEAD. Elsewhere those get 405 with Allow.
 * (**) Where there is a backend and it may be used at addresses (np_answer_to_backend); else 404. The start page comes
 * until somebody has chosen to stay at the address, which a cookie remembers for a day.
 *
 * Below /.nameplate/ are the own pages, on port 80 at addresses and wherever there is no backend: "" the status page,
 * "status.json" the same for programs, "alive" an empty answer, "continue" the choice to stay. On port 443 every byte
 * of a client belongs to the backend where there is one.
 *
 * There is no Strict-Transport-Security on purpose: the name is for one home, works without the Internet, and must stay
 * reachable over HTTP for the case that no certificate can be had; a browser that remembers HSTS would lock its owner
 * out of the page that explains this. There is no Date either: the device's clock need not be right (RFC 9110 section
 * 6.6.1). */
#ifndef AGENT_FRONT_ANSWER_H
#define AGENT_FRONT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/certificate/x509.h"
#include "agent/front/page.h"
#include "agent/front/request.h"
#include "resolver/view.h"

#define NP_ANSWER_HEAD_MAX 4096 /* bytes of a head: Location with a whole target is the longest part */
#define NP_ANSWER_MAX      (NP_ANSWER_HEAD_MAX + NP_PAGE_MAX)
#define NP_ANSWER_RETRY_S  30 /* Retry-After while the certificate or the backend is missing */
#define NP_ANSWER_PORT     80
#define NP_ANSWER_PORT_TLS 443

/* What the front knows of its device. Borrowed. */
struct np_answer_facts {
    const struct np_view *view;
    const struct np_x509 *leaf; /* of the installed certificate; NULL: none */
    uint16_t https_port;        /* where https is served; 0: nowhere */
    uint16_t http_port;         /* likewise */
    const struct np_news *news; /* from the agent; NULL: none yet */
    bool fallback;              /* there is a backend, and it may be used over http at addresses */
};

/* Where the request came in. */
struct np_answer_place {
    bool secure;          /* over TLS */
    bool backend_failed;  /* there is a backend, and it does not answer: 502 instead of the status page */
    struct np_addr local; /* the address that was connected to */
};

/* Whose is the host of a request? */
enum np_answer_host {
    NP_ANSWER_FOREIGN, /* nobody's that we know: 421 */
    NP_ANSWER_NAME,    /* an own name */
    NP_ANSWER_NEAR     /* an own address, localhost, *.local, or HTTP/1.0 without Host */
};

/* Judges a host: a name in lower case ("" where addr is set), an address. local counts as own whatever the view says.
 */
enum np_answer_host np_answer_host(const struct np_view *view, const char *name, const struct np_addr *addr,
                                   const struct np_addr *local);

/* Is the request one for the backend: on port 80, by an address, and not for a page of the front's own? */
bool np_answer_to_backend(const struct np_answer_facts *facts, const struct np_answer_place *place,
                          const struct np_request *request);

/* Writes the answer to request. keep_alive (may come in as false to end the connection) is false on return where the
 * answer says "Connection: close". w needs room for NP_ANSWER_MAX bytes. */
void np_answer_write(struct np_writer *w, const struct np_answer_facts *facts, const struct np_answer_place *place,
                     const struct np_request *request, bool *keep_alive);

/* Writes the answer to a head that could not be parsed, error being np_request_parse's. It closes the connection. */
void np_answer_write_error(struct np_writer *w, long error);

#endif
