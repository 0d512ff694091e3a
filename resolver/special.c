#include "resolver/special.h"

#include <string.h>

#include "resolver/own.h"

struct special_zone {
    struct np_name name;
    enum np_special_kind kind;
};

/* A name from its wire form in a string literal, whose NUL is the root. */
#define ZONE(text, kind)                                                                                               \
    {                                                                                                                  \
        {sizeof(text), text}, NP_SPECIAL_##kind                                                                        \
    }
#define V4(labels)  ZONE(labels "\7in-addr\4arpa", EMPTY)
#define V6(labels)  ZONE(labels "\3ip6\4arpa", EMPTY)
#define ZEROS_4     "\0010\0010\0010\0010"
#define ZEROS_31    ZEROS_4 ZEROS_4 ZEROS_4 ZEROS_4 ZEROS_4 ZEROS_4 ZEROS_4 "\0010\0010\0010"
#define LOOPBACK_V4 "\0011\0010\0010\003127\7in-addr\4arpa"
#define LOOPBACK_V6 "\0011" ZEROS_31 "\3ip6\4arpa"

static const struct special_zone special_zones[] = {
    ZONE("\11localhost", LOCALHOST), ZONE("\7invalid", EMPTY), ZONE("\4test", EMPTY), ZONE("\5onion", EMPTY),
    ZONE("\3alt", EMPTY), ZONE("\5local", EMPTY),
    /* from here on all lie in arpa */
    ZONE("\4home\4arpa", EMPTY), ZONE("\7service\4arpa", EMPTY), ZONE("\10resolver\4arpa", NODATA),
    /* RFC 6303 section 4.2 */
    ZONE("\003127\7in-addr\4arpa", LOOPBACK), V4("\0010"), V4("\003254\003169"), V4("\0012\0010\003192"),
    V4("\003100\00251\003198"), V4("\003113\0010\003203"), V4("\003255\003255\003255\003255"),
    /* RFC 6303 section 4.1 */
    V4("\00210"), V4("\003168\003192"), V4("\00216\003172"), V4("\00217\003172"), V4("\00218\003172"),
    V4("\00219\003172"), V4("\00220\003172"), V4("\00221\003172"), V4("\00222\003172"), V4("\00223\003172"),
    V4("\00224\003172"), V4("\00225\003172"), V4("\00226\003172"), V4("\00227\003172"), V4("\00228\003172"),
    V4("\00229\003172"), V4("\00230\003172"), V4("\00231\003172"),
    /* RFC 6303 sections 4.3 to 4.6; fc00::/8 is as private as fd00::/8 */
    V6("\0010" ZEROS_31), ZONE(LOOPBACK_V6, LOOPBACK), V6("\1c\1f"), V6("\1d\1f"), V6("\0018\1e\1f"), V6("\0019\1e\1f"),
    V6("\1a\1e\1f"), V6("\1b\1e\1f"), V6("\0018\1b\1d\0010\0011\0010\0010\0012"),
    V6("\0010\1f\1f\1f\0013"), /* RFC 9637: for documentation, as the one above */
};

#define FIRST_ARPA 6
#define ZONES      (sizeof special_zones / sizeof *special_zones)

static const struct np_name arpa = {6, "\4arpa"};
static const struct np_name canary = {25, "\23use-application-dns\3net"};
static const struct np_name loopback_v4 = {sizeof LOOPBACK_V4, LOOPBACK_V4};
static const struct np_name loopback_v6 = {sizeof LOOPBACK_V6, LOOPBACK_V6};

/* RFC 7793: 64.100.in-addr.arpa to 127.100.in-addr.arpa, too many for the table. Returns the zone's length, 0 when
 * qname lies in none of them. */
static uint8_t shared_zone(const struct np_name *qname)
{
    static const struct np_name parent = {18, "\003100\7in-addr\4arpa"};
    unsigned labels = np_name_labels(qname), value = 0;
    if (labels < 4 || !np_name_within(qname, &parent))
        return 0;
    struct np_name zone = np_name_parent(qname, labels - 4);
    if (zone.wire[0] > 3 || zone.wire[1] == '0')
        return 0;
    for (size_t i = 1; i <= zone.wire[0]; i++) {
        if (zone.wire[i] < '0' || zone.wire[i] > '9')
            return 0;
        value = value * 10 + (unsigned)(zone.wire[i] - '0');
    }
    return value >= 64 && value <= 127 ? zone.len : 0;
}

static struct np_special_match find_zone(const struct np_name *qname, bool is_arpa)
{
    for (size_t i = is_arpa ? FIRST_ARPA : 0; i < (is_arpa ? ZONES : FIRST_ARPA); i++) {
        const struct special_zone *zone = &special_zones[i];
        if (np_name_within(qname, &zone->name))
            return (struct np_special_match){zone->kind, zone->name.len};
    }
    uint8_t shared = is_arpa ? shared_zone(qname) : 0;
    return (struct np_special_match){shared ? NP_SPECIAL_EMPTY : NP_SPECIAL_NONE, shared};
}

/* Firefox asks for it before it takes its own DNS over HTTPS, and stays with the network's resolver where there is no
 * such name: a box whose own name is answered here alone (publish = local-only, or offline) depends on that. */
static bool is_canary(const struct np_view *view, const struct np_name *qname)
{
    return view->canary && np_name_within(qname, &canary);
}

/* NODATA, not NXDOMAIN: whoever asks for addresses of "com" as a step on its way below must not hear that nothing is
 * there (RFC 8020, RFC 9156). */
static bool is_lone_label(const struct np_view *view, const struct np_name *qname, uint16_t qtype)
{
    return view->role == NP_ROLE_ROUTER && qname->wire[0] > 0 && qname->wire[0] + 2u == qname->len &&
           (qtype == NP_RR_A || qtype == NP_RR_AAAA || qtype == NP_RR_HTTPS);
}

struct np_special_match np_special_find(const struct np_view *view, const struct np_name *qname, uint16_t qtype)
{
    bool is_arpa = np_name_within(qname, &arpa);
    struct np_special_match match = find_zone(qname, is_arpa);
    if (is_arpa && qtype == NP_RR_DS && match.zone_len == qname->len)
        match = (struct np_special_match){NP_SPECIAL_NONE, 0};
    if (match.kind == NP_SPECIAL_NONE && is_canary(view, qname))
        match = (struct np_special_match){NP_SPECIAL_NOTHING, canary.len};
    if (match.kind == NP_SPECIAL_NONE && is_lone_label(view, qname, qtype))
        match = (struct np_special_match){NP_SPECIAL_NODATA, qname->len};
    return match;
}

/* The records of a name that stands for loopback. */
static void answer_localhost(const struct np_view *view, struct np_answer *answer)
{
    static const uint8_t v4[4] = {127, 0, 0, 1}, v6[16] = {[15] = 1};
    const struct np_name *owner = &answer->query->qname;
    if (answer->query->qtype == NP_RR_A)
        np_answer_rr(answer, NP_SECTION_ANSWER, owner, NP_RR_A, view->ttl, v4, sizeof v4);
    else if (answer->query->qtype == NP_RR_AAAA)
        np_answer_rr(answer, NP_SECTION_ANSWER, owner, NP_RR_AAAA, view->ttl, v6, sizeof v6);
}

/* Loopback's reverse zones hold one name each, localhost's. */
static void answer_loopback(const struct np_view *view, struct np_answer *answer)
{
    const struct np_name *qname = &answer->query->qname, *localhost = &special_zones[0].name;
    if (np_name_equal(qname, &loopback_v4) || np_name_equal(qname, &loopback_v6)) {
        if (answer->query->qtype == NP_RR_PTR)
            np_answer_rr(answer, NP_SECTION_ANSWER, qname, NP_RR_PTR, view->ttl, localhost->wire, localhost->len);
    } else if (!np_name_within(&loopback_v4, qname)) {
        answer->rcode = NP_RCODE_NXDOMAIN;
    }
}

void np_special_answer(const struct np_view *view, const struct np_special_match *match, struct np_answer *answer)
{
    const struct np_query *query = answer->query;
    struct np_name zone = {.len = match->zone_len};
    memcpy(zone.wire, query->qname.wire + (query->qname.len - zone.len), zone.len);
    bool apex = zone.len == query->qname.len;
    answer->flags |= NP_FLAG_AA;
    if (match->kind == NP_SPECIAL_NOTHING)
        answer->rcode = NP_RCODE_NXDOMAIN;
    else if (apex && query->qtype == NP_RR_SOA)
        np_own_soa(view, &zone, NP_SECTION_ANSWER, answer);
    else if (match->kind == NP_SPECIAL_LOCALHOST)
        answer_localhost(view, answer);
    else if (match->kind == NP_SPECIAL_LOOPBACK)
        answer_loopback(view, answer);
    else if (match->kind == NP_SPECIAL_EMPTY && !apex && !np_own_below(view, &query->qname))
        answer->rcode = NP_RCODE_NXDOMAIN;
    if (answer->counts[NP_SECTION_ANSWER] == 0 && !answer->truncated)
        np_own_soa(view, &zone, NP_SECTION_AUTHORITY, answer);
}

const struct np_view_forward *np_special_forward(const struct np_view *view, const struct np_name *qname)
{
    const struct np_view_forward *best = NULL;
    for (size_t i = 0; i < view->forward_count; i++) {
        const struct np_view_forward *forward = &view->forwards[i];
        if ((!best || forward->zone.len > best->zone.len) && np_name_within(qname, &forward->zone))
            best = forward;
    }
    return best;
}
