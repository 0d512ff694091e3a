#include "resolver/own.h"

#include <string.h>

#include "resolver/base/error.h"

/* Timers of the made-up SOA: nobody transfers the zone, so only the minimum (the view's TTL) means anything. */
#define SOA_REFRESH 3600
#define SOA_RETRY   600
#define SOA_EXPIRE  86400

#define REVERSE_V4_LABELS 6  /* 4 and in-addr.arpa */
#define REVERSE_V6_LABELS 34 /* 32 and ip6.arpa */

static const uint8_t null_mx[] = {0, 0, 0};          /* RFC 7505: preference 0, "." */
static const uint8_t spf_none[] = "\013v=spf1 -all"; /* RFC 7208 */
static const uint8_t any_hinfo[] = "\007RFC8482";    /* RFC 8482 section 4.2; its NUL is the empty second string */

/* Labels below an own name that have a meaning. */
static const struct np_name challenge = {.len = 17, .wire = "\017_acme-challenge"};
static const struct np_name dns_service = {.len = 6, .wire = "\4_dns"};

#define SVC_ALPN      1 /* RFC 9460 section 14.3.2 */
#define SVC_PORT      3
#define SVC_RDATA_MAX (2 + NP_NAME_WIRE_MAX + 4 + 4 + 4 + 2) /* priority, target, alpn=dot, port */

/* Is the label just above the name's ending of tail_len bytes this one? label is a name of one label. */
static bool has_label(const struct np_name *qname, size_t tail_len, const struct np_name *label)
{
    size_t label_len = label->len - 1u;
    if (qname->len < tail_len + label_len)
        return false;
    size_t at = qname->len - tail_len - label_len, pos = 0;
    while (pos < at)
        pos += qname->wire[pos] + 1u;
    if (pos != at)
        return false;
    struct np_name found = {.len = label->len};
    memcpy(found.wire, qname->wire + at, label_len);
    return np_name_equal(&found, label);
}

/* May the address be answered for (and its reverse name be) ours? The public address of an interface that is not LAN
 * has a reverse name that its provider owns. */
static bool owns_reverse(const struct np_view_interface *interface, const struct np_addr *addr)
{
    return np_view_usable(addr) && (interface->lan || np_addr_is_private_form(addr));
}

/* Calls match for the reverse name of each own address until it says true. */
static bool any_reverse(const struct np_view *view, bool (*match)(const struct np_name *, const struct np_name *),
                        const struct np_name *name)
{
    struct np_name reverse;
    for (size_t i = 0; i < view->interface_count; i++) {
        const struct np_view_interface *interface = &view->interfaces[i];
        for (size_t k = 0; k < interface->v4_count + interface->v6_count; k++) {
            const struct np_addr *addr =
                k < interface->v4_count ? &interface->v4[k].addr : &interface->v6[k - interface->v4_count].addr;
            if (!owns_reverse(interface, addr))
                continue;
            np_name_reverse(addr, &reverse);
            if (match(&reverse, name))
                return true;
        }
    }
    for (size_t i = 0; i < view->primary_v4_count + view->primary_v6_count; i++) {
        np_name_reverse(i < view->primary_v4_count ? &view->primary_v4[i]
                                                   : &view->primary_v6[i - view->primary_v4_count],
                        &reverse);
        if (match(&reverse, name))
            return true;
    }
    return false;
}

/* A cheap look before every own address is turned round: does the name end as a reverse name does? */
static bool is_arpa(const struct np_name *name)
{
    static const struct np_name arpa = {.len = 6, .wire = "\4arpa"};
    return name->len > arpa.len && np_name_within(name, &arpa);
}

/* What a name at or below the own name is. */
static enum np_own_kind kind_of(const struct np_view_own *own, const struct np_name *qname, uint16_t qtype)
{
    size_t len = own->name.len;
    if (qname->len == len)
        return qtype == NP_RR_DS ? NP_OWN_DS : NP_OWN_APEX;
    if (has_label(qname, len, &challenge))
        return NP_OWN_FORWARD;
    bool service = own->dot && qname->len == len + dns_service.len - 1u && has_label(qname, len, &dns_service);
    return service ? NP_OWN_DNS : NP_OWN_BELOW;
}

struct np_own_match np_own_find(const struct np_view *view, const struct np_name *qname, uint16_t qtype)
{
    struct np_own_match match = {.kind = NP_OWN_NONE};
    for (size_t i = 0; i < view->own_count; i++) {
        const struct np_view_own *own = &view->own[i];
        if (np_name_within(qname, &own->name) && (!match.own || own->name.len > match.own->name.len))
            match.own = own;
    }
    if (match.own) {
        match.kind = kind_of(match.own, qname, qtype);
        return match;
    }
    if (view->own_count == 0 || !is_arpa(qname))
        return match;
    unsigned labels = np_name_labels(qname);
    if ((labels == REVERSE_V4_LABELS || labels == REVERSE_V6_LABELS) && any_reverse(view, np_name_equal, qname))
        match = (struct np_own_match){NP_OWN_PTR, &view->own[0]};
    return match;
}

static bool strictly_within(const struct np_name *name, const struct np_name *zone)
{
    return name->len > zone->len && np_name_within(name, zone);
}

bool np_own_below(const struct np_view *view, const struct np_name *name)
{
    for (size_t i = 0; i < view->own_count; i++) {
        if (strictly_within(&view->own[i].name, name))
            return true;
    }
    for (size_t i = 0; i < view->forward_count; i++) {
        if (strictly_within(&view->forwards[i].zone, name))
            return true;
    }
    return view->own_count > 0 && is_arpa(name) && any_reverse(view, strictly_within, name);
}

void np_own_soa(const struct np_view *view, const struct np_name *zone, enum np_section section,
                struct np_answer *answer)
{
    const uint32_t timers[4] = {SOA_REFRESH, SOA_RETRY, SOA_EXPIRE, view->ttl};
    struct np_name rname;
    if (np_name_prepend("hostmaster", zone, &rname))
        rname = *zone; /* the zone's name is too long to have anything before it */
    np_answer_soa(answer, section, zone, view->ttl, zone, &rname, view->serial, timers);
}

/* Where addresses go. */
struct place {
    enum np_section section;
    const struct np_name *owner;
};

/* Adds the usable addresses of the list. Returns whether there were any. */
static bool add_addresses(const struct np_view *view, const struct np_prefix *addresses, size_t count,
                          const struct place *place, struct np_answer *answer)
{
    bool any = false;
    for (size_t i = 0; i < count; i++) {
        if (!np_view_usable(&addresses[i].addr))
            continue;
        any = true;
        np_answer_address(answer, place->section, place->owner, view->ttl, &addresses[i].addr);
    }
    return any;
}

static bool any_usable(const struct np_prefix *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (np_view_usable(&addresses[i].addr))
            return true;
    }
    return false;
}

/* The addresses of one family: the interface's where it has a usable one of either family. */
static void answer_addresses(const struct np_view *view, uint32_t ifindex, bool v4, const struct place *place,
                             struct np_answer *answer)
{
    const struct np_view_interface *interface = ifindex ? np_view_interface(view, ifindex) : NULL;
    if (interface && interface->lan) {
        const struct np_prefix *asked = v4 ? interface->v4 : interface->v6, *other = v4 ? interface->v6 : interface->v4;
        size_t asked_count = v4 ? interface->v4_count : interface->v6_count;
        size_t other_count = v4 ? interface->v6_count : interface->v4_count;
        if (add_addresses(view, asked, asked_count, place, answer) || any_usable(other, other_count))
            return;
    }
    const struct np_addr *primary = v4 ? view->primary_v4 : view->primary_v6;
    size_t count = v4 ? view->primary_v4_count : view->primary_v6_count;
    for (size_t i = 0; i < count; i++)
        np_answer_address(answer, place->section, place->owner, view->ttl, &primary[i]);
}

static void add(const struct np_view *view, uint16_t type, const void *rdata, size_t len, struct np_answer *answer)
{
    np_answer_rr(answer, NP_SECTION_ANSWER, &answer->query->qname, type, view->ttl, rdata, len);
}

/* A record of SVCB form (RFC 9460 section 2.2) of priority 1 with its parameters in order, and the target's addresses,
 * which the client needs next (section 4.1). target is the root for the owner itself; alpn NULL and port 0: left out.
 */
static void answer_service(const struct np_view *view, const struct np_name *target, const char *alpn, uint16_t port,
                           uint32_t ifindex, struct np_answer *answer)
{
    uint8_t rdata[SVC_RDATA_MAX];
    struct np_writer w = np_writer_make(rdata, sizeof rdata);
    np_write_u16(&w, 1);
    np_write_bytes(&w, target->wire, target->len);
    if (alpn) {
        np_write_u16(&w, SVC_ALPN);
        np_write_u16(&w, (uint16_t)(1 + strlen(alpn)));
        np_write_u8(&w, (uint8_t)strlen(alpn));
        np_write_bytes(&w, alpn, strlen(alpn));
    }
    if (port) {
        np_write_u16(&w, SVC_PORT);
        np_write_u16(&w, 2);
        np_write_u16(&w, port);
    }
    add(view, answer->query->qtype, rdata, w.pos, answer);
    struct place place = {NP_SECTION_ADDITIONAL, target->len > 1 ? target : &answer->query->qname};
    answer_addresses(view, ifindex, true, &place, answer);
    answer_addresses(view, ifindex, false, &place, answer);
}

/* The records of a name that exists. at_cut: SOA stands here too; secure: the served certificate covers the name. */
static void answer_name(const struct np_view *view, const struct np_own_match *match, bool at_cut, bool covered,
                        uint32_t ifindex, struct np_answer *answer)
{
    static const struct np_name self = {.len = 1};
    const struct np_query *query = answer->query;
    const struct place place = {NP_SECTION_ANSWER, &query->qname};
    switch (query->qtype) {
    case NP_RR_A:
    case NP_RR_AAAA:
        answer_addresses(view, ifindex, query->qtype == NP_RR_A, &place, answer);
        break;
    case NP_RR_HTTPS:
        if (match->own->https && covered)
            answer_service(view, &self, NULL, view->https_port == NP_VIEW_HTTPS_PORT ? 0 : view->https_port, ifindex,
                           answer);
        break;
    case NP_RR_MX:
        add(view, NP_RR_MX, null_mx, sizeof null_mx, answer);
        break;
    case NP_RR_TXT:
        add(view, NP_RR_TXT, spf_none, sizeof spf_none - 1, answer);
        break;
    case NP_RR_ANY:
        add(view, NP_RR_HINFO, any_hinfo, sizeof any_hinfo, answer);
        break;
    case NP_RR_SOA:
        if (at_cut)
            np_own_soa(view, &match->own->name, NP_SECTION_ANSWER, answer);
        break;
    default:
        break;
    }
}

/* _dns below the own name. */
static void answer_dns(const struct np_view *view, const struct np_own_match *match, uint32_t ifindex,
                       struct np_answer *answer)
{
    uint16_t qtype = answer->query->qtype, port = view->dot_port == NP_VIEW_DOT_PORT ? 0 : view->dot_port;
    if (qtype == NP_RR_SVCB)
        answer_service(view, &match->own->name, "dot", port, ifindex, answer);
    else if (qtype == NP_RR_ANY)
        add(view, NP_RR_HINFO, any_hinfo, sizeof any_hinfo, answer);
}

static void answer_ptr(const struct np_view *view, const struct np_own_match *match, struct np_answer *answer)
{
    const struct np_name *name = &match->own->name;
    uint16_t qtype = answer->query->qtype;
    if (qtype == NP_RR_PTR)
        add(view, NP_RR_PTR, name->wire, name->len, answer);
    else if (qtype == NP_RR_ANY)
        add(view, NP_RR_HINFO, any_hinfo, sizeof any_hinfo, answer);
    else if (qtype == NP_RR_SOA)
        np_own_soa(view, &answer->query->qname, NP_SECTION_ANSWER, answer);
}

/* Is the name one label below the own name, where *.name in a certificate holds (RFC 6125 section 6.4.3)? */
static bool one_below(const struct np_name *name, const struct np_name *own)
{
    return name->len == own->len + name->wire[0] + 1u;
}

void np_own_answer(const struct np_view *view, const struct np_own_match *match, uint32_t ifindex,
                   struct np_answer *answer)
{
    const struct np_query *query = answer->query;
    const struct np_name *cut = &match->own->name;
    answer->flags |= NP_FLAG_AA;
    switch (match->kind) {
    case NP_OWN_APEX:
        answer_name(view, match, true, true, ifindex, answer);
        break;
    case NP_OWN_BELOW:
        if (match->own->wildcard)
            answer_name(view, match, false, one_below(&query->qname, cut), ifindex, answer);
        else if (!np_own_below(view, &query->qname))
            answer->rcode = NP_RCODE_NXDOMAIN;
        break;
    case NP_OWN_DNS:
        answer_dns(view, match, ifindex, answer);
        break;
    case NP_OWN_PTR:
        /* Each own address is a zone of its own: what stands above it is not ours to deny. */
        cut = &query->qname;
        answer_ptr(view, match, answer);
        break;
    default: /* NP_OWN_DS, offline: RFC 4035 section 3.1.4.1 has the child say that it has none */
        break;
    }
    if (answer->counts[NP_SECTION_ANSWER] == 0 && !answer->truncated)
        np_own_soa(view, cut, NP_SECTION_AUTHORITY, answer);
}
