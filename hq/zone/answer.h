/* answer: what the built-in zone says to a query. Pure: a view and a packet give the bytes of the answer.
 *
 * Two zones are served: the device zone and, delegated from it, the small challenge zone `acme.<zone>`.
 *
 *     <zone>                          SOA NS CAA MX TXT (and A/AAAA where HQ's host or a name server is the apex)
 *     <name server>, <HQ's host>      A AAAA MX TXT
 *     <device>                        A AAAA, null MX (RFC 7505), TXT "v=spf1 -all"; NODATA for every other type
 *     _acme-challenge.<device>        CNAME <device>.acme.<zone>, standing as long as the device's name does
 *     *.rebind-test, *.plain-test     A AAAA MX TXT: the probe addresses
 *     acme.<zone>                     SOA NS
 *     <device>.acme.<zone>            TXT, while an order needs them
 *
 * NXDOMAIN and NODATA carry the SOA of the zone that holds the last name (RFC 2308); an empty non-terminal exists (RFC
 * 8020); a wildcard matches only below its closest encloser (RFC 4592); CNAMEs are followed inside the two zones (RFC
 * 1034 section 4.3.2), the rcode being the last name's (RFC 6604). DS of acme.<zone> is the parent's to answer (RFC
 * 4035 section 3.1.4.1). ANY gets one HINFO (RFC 8482). Other zones and classes, and transfers, are REFUSED. */
#ifndef HQ_ZONE_ANSWER_H
#define HQ_ZONE_ANSWER_H

#include "hq/zone/rrl.h"
#include "hq/zone/table.h"
#include "hq/zone/zone.h"
#include "resolver/message.h"

#define NP_ZONE_NODES_MAX   (NP_ZONE_NAMESERVERS_MAX + 3) /* name servers, host, two probe wildcards */
#define NP_ZONE_NODE_ADDR   (NP_ZONE_NAMESERVERS_MAX + NP_ZONE_HOST_MAX)
#define NP_ZONE_HINFO_TTL_S 3600

/* A name of the configuration and its addresses. */
struct np_zone_node {
    struct np_name name; /* "*.rebind-test.<zone>" for a wildcard */
    bool wildcard;
    struct np_addr addresses[NP_ZONE_NODE_ADDR];
    size_t address_count;
};

/* Everything that answers are made of. Built once by np_zone_view_init; table and serials change. */
struct np_zone_view {
    struct np_name origin, challenge_origin; /* lower case */
    struct np_name mname, rname;
    struct np_name nameservers[NP_ZONE_NAMESERVERS_MAX];
    size_t nameserver_count;
    struct np_zone_node nodes[NP_ZONE_NODES_MAX];
    size_t node_count;
    unsigned depth_max; /* labels below the origin that any existing name has, at most */
    uint8_t caa[NP_ZONE_CAA_MAX][256];
    size_t caa_len[NP_ZONE_CAA_MAX];
    size_t caa_count;
    uint64_t hash_key; /* for classes; random */
    uint32_t ttl_s;
    uint32_t serial, challenge_serial;
    const struct np_table *table; /* borrowed */
    bool loading;                 /* the table is not complete: a name that it lacks may exist, so nothing is denied */
};

/* Builds the view from the configuration. accounts: the ACME accounts' URLs, put into the CAA records (RFC 8657); NULL:
 * none is known. Table and serials are left NULL and 0. Returns 0, NP_E_MALFORMED for a name that is none, NP_E_MISSING
 * without name servers, or NP_E_LIMIT. */
int np_zone_view_init(struct np_zone_view *view, const struct np_zone_config *config,
                      const struct np_zone_accounts *accounts);

/* What an answer is, for response rate limiting. */
struct np_zone_class {
    enum np_rrl_kind kind;
    uint64_t subject; /* as np_rrl_judge wants it */
};

/* Answers one packet, for a np_serve_fn: the answer's length and its class, or 0 to drop it (also where the answer
 * would be a denial that a table still loading cannot give). size is out's. */
size_t np_zone_answer(const struct np_zone_view *view, const uint8_t *packet, size_t len, bool tcp, uint8_t *out,
                      size_t size, struct np_zone_class *out_class);

/* The answer to a query that may not have one now, but may come over TCP: header, question, TC. 0 when there is none.
 */
size_t np_zone_answer_truncated(const uint8_t *packet, size_t len, uint8_t *out, size_t size);

#endif
