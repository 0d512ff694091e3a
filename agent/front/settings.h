/* settings: what the configuration says about the front: backends, how they learn of clients, and limits. Pure. It
 * travels in a CONF frame (agent/front/front.h):
 *
 *   {"backend": "127.0.0.1:8080", "backends": [{"name": "files", "to": "127.0.0.1:9000"}], "proxy": "v2",
 *    "address-access": true, "handshakes": 50}
 *
 * A backend's name without a dot is a label below an own name that has a wildcard; with dots it is a whole name. */
#ifndef AGENT_FRONT_SETTINGS_H
#define AGENT_FRONT_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/front/proxy.h"
#include "resolver/base/address.h"
#include "resolver/name.h"
#include "resolver/view.h"

#define NP_FRONT_BACKENDS_MAX   16    /* by name: a box has a few services */
#define NP_FRONT_BACKEND_NAME   253   /* characters of a name (RFC 1035) */
#define NP_FRONT_HANDSHAKES_MAX 10000 /* a second: more than any processor does */

/* A backend for one name. */
struct np_front_backend {
    char name[NP_FRONT_BACKEND_NAME + 1]; /* lower case */
    struct np_endpoint to;
};

/* All of it. Zero-initialised: no backend, no limit. */
struct np_front_settings {
    bool has_backend;
    struct np_endpoint backend; /* for every name that has none of its own */
    struct np_front_backend backends[NP_FRONT_BACKENDS_MAX];
    size_t backend_count;
    enum np_proxy proxy;
    bool address_access; /* over http at addresses too */
    uint32_t handshakes; /* TLS handshakes a second; 0: no limit */
};

/* Reads "NAME=ADDRESS:PORT", as the configuration has it. Returns 0 or NP_E_MALFORMED. */
int np_front_backend_parse(const char *text, struct np_front_backend *out_backend);

/* The backend for a host (lower case, without final dot; "" for an address or none): its own, or the one for all; NULL:
 * none. Borrowed from settings. */
const struct np_endpoint *np_front_settings_backend(const struct np_front_settings *settings,
                                                    const struct np_view *view, const char *host);

/* As JSON, malloc'd; NULL when out of memory. */
char *np_front_settings_encode(const struct np_front_settings *settings);

/* Parses np_front_settings_encode's JSON. Returns 0 or NP_E_MALFORMED. */
int np_front_settings_parse(const char *text, size_t len, struct np_front_settings *out_settings);

#endif
