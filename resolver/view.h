/* view: everything the agent tells the resolver and the front, as one snapshot: own names, addresses by interface, who
 * is served, upstreams, zones that are sent elsewhere.
 *
 * A snapshot replaces the one before as a whole. struct np_view is a plain value without pointers (about 70 KiB: keep
 * it in your top struct, not on a stack); the agent fills one and encodes it, the children parse it. In JSON:
 *
 *   {"version":1, "role":"router", "own":[{"name":"nifty-babbage.devices.example","wildcard":false,"https":true,
 *    "dot":true}], "ports":{"https":443,"dot":853}, "zone":"devices.example", "ttl":10, "serial":17,
 *    "interfaces":[{"index":3,"name":"br-lan","lan":true,"v4":["192.168.1.1/24"],"v6":["fd42::1/64","fe80::1/64"]}],
 *    "primary":{"v4":["192.168.1.1"],"v6":["fd42::1"]}, "allow":["10.9.0.0/16"],
 *    "upstreams":["198.51.100.53","tls://[2001:db8::53]:853#dns.example trust-ad"],
 *    "forward":[{"zone":"home.arpa","to":["127.0.0.1:5353"]}],
 *    "limits":{"rate":1000,"inflight":512},
 *    "rebind":{"filter":"auto","allow":["router.example","*.plex.direct"]}, "mode":"full",
 *    "canary":true, "cache":4194304}
 *
 * "version" is required; every other member may be left out. Unknown members are ignored, so that an older resolver
 * takes a newer agent's view; repeated members, wrong types and values that do not parse are errors. */
#ifndef RESOLVER_VIEW_H
#define RESOLVER_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/base/admit.h"
#include "resolver/name.h"

#define NP_VIEW_VERSION        1
#define NP_VIEW_TEXT_MAX       (120 * 1024) /* bytes of JSON: fits a channel frame */
#define NP_VIEW_ERROR_MAX      160          /* bytes of an error text */
#define NP_VIEW_OWN_MAX        8            /* the name, aliases, the name before a move */
#define NP_VIEW_INTERFACES_MAX 32
#define NP_VIEW_ADDRESSES_MAX  12 /* of one family on one interface: two delegated prefixes old and new, ULA, fe80 */
#define NP_VIEW_PRIMARY_MAX    4  /* of one family */
#define NP_VIEW_UPSTREAMS_MAX  8
#define NP_VIEW_FORWARDS_MAX   32
#define NP_VIEW_FORWARD_TO_MAX 4
#define NP_VIEW_IFNAME_MAX     16   /* IFNAMSIZ */
#define NP_VIEW_INFLIGHT       512  /* of one client, unless the view says otherwise: a benchmark's, not a person's */
#define NP_VIEW_INFLIGHT_MAX   4096 /* as many as may wait in all (NP_FORWARD_WAITERS_MAX) */
#define NP_VIEW_REBIND_MAX     32   /* exceptions a person would write */
#define NP_VIEW_TTL_DEFAULT    10
#define NP_VIEW_TTL_MAX        3600

#define NP_VIEW_HTTPS_PORT        443
#define NP_VIEW_DOT_PORT          853
#define NP_VIEW_UPSTREAM_PORT     53
#define NP_VIEW_UPSTREAM_TLS_PORT 853 /* RFC 7858 section 3.1 */
#define NP_VIEW_AUTH_MAX          253 /* characters of a host name */
#define NP_VIEW_UPSTREAM_TEXT_MAX                                                                                      \
    (NP_ADDR_TEXT_MAX + NP_VIEW_AUTH_MAX + 32) /* "opportunistic://", "#", " trust-ad"                                 \
                                                */

enum np_role { NP_ROLE_HOST, NP_ROLE_ROUTER };

/* A name of this device. */
struct np_view_own {
    struct np_name name;
    bool wildcard; /* the certificate has *.name, so names below it have the same addresses */
    bool https;    /* https is served with a leaf that is valid now: the HTTPS record may be given */
    bool dot;      /* so is DNS over TLS: _dns.name may be given (RFC 9461) */
};

/* An interface. addr of an entry is the interface's address with its host bits, length the connected subnet's. */
struct np_view_interface {
    uint32_t index;
    char name[NP_VIEW_IFNAME_MAX]; /* for messages only; may be empty */
    bool lan;
    size_t v4_count, v6_count;
    struct np_prefix v4[NP_VIEW_ADDRESSES_MAX], v6[NP_VIEW_ADDRESSES_MAX];
};

/* Is a server asked over TLS (RFC 7858)? The profiles are those of RFC 8310. */
enum np_tls_mode {
    NP_TLS_OFF,           /* in clear text */
    NP_TLS_OPPORTUNISTIC, /* over TLS where it is to be had, nothing checked; else in clear text */
    NP_TLS_STRICT         /* over TLS with the server's name checked, or not at all */
};

/* A server to forward to. */
struct np_view_upstream {
    struct np_endpoint endpoint; /* with TLS: where TLS is spoken (np_view_upstream_clear has the other) */
    enum np_tls_mode tls;
    bool trusted; /* it validates DNSSEC and the way to it is safe: its AD bit is believed */
    char
        name[NP_VIEW_AUTH_MAX + 1]; /* what its certificate must carry, in small letters; "": not known, never STRICT */
};

/* A zone that goes to servers of its own. */
struct np_view_forward {
    struct np_name zone;
    size_t to_count;
    struct np_view_upstream to[NP_VIEW_FORWARD_TO_MAX];
};

/* What is answered at all? */
enum np_mode {
    NP_MODE_FULL,
    NP_MODE_OWN_NAME_ONLY /* beside another resolver: own names and the reverse names of own addresses */
};

/* Is the rebinding filter on? */
enum np_filter {
    NP_FILTER_AUTO, /* on a router, through which the home looks up everything; not on a host, behind one */
    NP_FILTER_ON,
    NP_FILTER_OFF
};

/* Names that pass the rebinding filter: one name, or all below it (and not itself). */
struct np_view_pattern {
    struct np_name name;
    bool below;
};

/* A snapshot. np_view_init gives an empty one. */
struct np_view {
    enum np_role role;
    size_t own_count;
    struct np_view_own own[NP_VIEW_OWN_MAX];
    struct np_name zone; /* the device zone; len 0 when unknown */
    uint32_t ttl;        /* seconds, of local answers and negatives */
    uint32_t serial;     /* of the SOA that we make up */
    size_t interface_count;
    struct np_view_interface interfaces[NP_VIEW_INTERFACES_MAX];
    size_t primary_v4_count, primary_v6_count;
    struct np_addr primary_v4[NP_VIEW_PRIMARY_MAX], primary_v6[NP_VIEW_PRIMARY_MAX];
    size_t allow_count;
    struct np_prefix allow[NP_ADMIT_ALLOW_MAX];
    size_t upstream_count;
    struct np_view_upstream upstreams[NP_VIEW_UPSTREAMS_MAX];
    size_t forward_count;
    struct np_view_forward forwards[NP_VIEW_FORWARDS_MAX];
    uint16_t https_port, dot_port; /* where the box serves the two */
    uint32_t rate_limit;           /* queries a second of one client over UDP (resolver/limit.h); 0: no limit */
    uint32_t inflight_limit;       /* of its queries that wait for upstreams at the same time */
    enum np_filter rebind_filter;
    size_t rebind_count;
    struct np_view_pattern rebind_allow[NP_VIEW_REBIND_MAX];
    enum np_mode mode;
    bool canary;    /* use-application-dns.net does not exist, so browsers keep to this resolver */
    uint32_t cache; /* bytes of the resolver's cache, as cache.h bounds them; 0: none */
};

/* An empty view: role host, no names, no addresses, TTL 10, no rate limit, canary, the default cache. It admits
 * loopback alone. */
void np_view_init(struct np_view *view);

/* Parses len bytes of JSON. On success *out_view is the whole snapshot; on an error it is untouched and error says
 * which member is wrong ("interfaces[0].v4[1]: malformed input"). Returns 0, NP_E_MALFORMED, NP_E_TYPE, NP_E_MISSING,
 * NP_E_VERSION, NP_E_LIMIT or -ENOMEM. */
int np_view_parse(const char *text, size_t len, struct np_view *out_view, char error[NP_VIEW_ERROR_MAX]);

/* Writes the snapshot as compact JSON. *out_json is malloc'd (the caller frees it) and ends with a NUL. Returns 0,
 * -ENOMEM, or NP_E_LIMIT when it has more than NP_VIEW_TEXT_MAX bytes. */
int np_view_encode(const struct np_view *view, char **out_json);

/* Reads a server as configuration, view and command line have it: "ADDR", "ADDR:PORT" or "[ADDR]:PORT" (port 53),
 * "tls://ADDR[:PORT]#NAME" (strict, port 853), "opportunistic://ADDR[:PORT][#NAME]" (NAME for SNI alone), each with
 * " trust-ad" after it where its AD bit is believed. Returns 0, or NP_E_MALFORMED or NP_E_MISSING with a text for a
 * person in *out_why (static). */
int np_view_upstream_parse(const char *text, struct np_view_upstream *out_upstream, const char **out_why);

/* Writes the server as np_view_upstream_parse reads it, always with a port. Returns buffer. */
const char *np_view_upstream_format(const struct np_view_upstream *upstream, char buffer[NP_VIEW_UPSTREAM_TEXT_MAX]);

/* The same server, asked and believed in the same way? */
bool np_view_upstream_equal(const struct np_view_upstream *a, const struct np_view_upstream *b);

/* Where it may be asked in clear text: port 53 of the same address for an opportunistic one. False: nowhere. */
bool np_view_upstream_clear(const struct np_view_upstream *upstream, struct np_endpoint *out_endpoint);

/* Reads "router.example" (that name) or "*.plex.direct" (every name below it). The root is neither. Returns 0 or
 * NP_E_MALFORMED. */
int np_view_pattern_parse(const char *text, struct np_view_pattern *out_pattern);

/* Writes the pattern as np_view_pattern_parse reads it. Returns buffer. */
const char *np_view_pattern_format(const struct np_view_pattern *pattern, char buffer[NP_NAME_TEXT_MAX + 2]);

/* Is the name what the pattern means? */
bool np_view_pattern_matches(const struct np_view_pattern *pattern, const struct np_name *name);

/* Do both views send the same zones to the same servers? */
bool np_view_same_forwards(const struct np_view *a, const struct np_view *b);

/* Are forwarded answers filtered? */
bool np_view_filters(const struct np_view *view);

/* Fills out_admit with who is served: the subnets connected on LAN interfaces (each once) and the allow entries.
 * Returns 0, or NP_E_LIMIT when there are more subnets than np_admit holds (the rest is then not served). */
int np_view_admit(const struct np_view *view, struct np_admit *out_admit);

/* The interface of that index, NULL when the view has none. Borrowed. */
const struct np_view_interface *np_view_interface(const struct np_view *view, uint32_t index);

/* May an interface's address be answered for the own name? Loopback, link-local (IPv6 needs a zone that an AAAA record
 * cannot carry; 169.254/16 likewise says nothing), unspecified and multicast may not. */
bool np_view_usable(const struct np_addr *addr);

#endif
