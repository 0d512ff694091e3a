#include "resolver/local.h"

#include "resolver/own.h"
#include "resolver/special.h"

/* Where a question comes from. */
struct ingress {
    uint32_t ifindex;
    int scope; /* of the client subnet that said so; -1: none did */
};

/* The packet's interface, or, where a forwarder on this host names its client's subnet (dnsmasq --add-subnet, Unbound's
 * client-subnet-zone), the LAN interface that the subnet is on. From loopback alone: anybody else could lie. */
static struct ingress ingress(const struct np_view *view, const struct np_client *client, const struct np_query *query)
{
    const struct np_addr *subnet = &query->client_subnet.addr;
    if (subnet->family == AF_UNSPEC || np_addr_classify(&client->remote.addr) != NP_ADDR_LOOPBACK)
        return (struct ingress){client->ifindex, -1};
    for (size_t i = 0; i < view->interface_count; i++) {
        const struct np_view_interface *interface = &view->interfaces[i];
        if (!interface->lan)
            continue;
        const struct np_prefix *addresses = subnet->family == AF_INET ? interface->v4 : interface->v6;
        size_t count = subnet->family == AF_INET ? interface->v4_count : interface->v6_count;
        for (size_t k = 0; k < count; k++) {
            if (query->client_subnet.length >= addresses[k].length && np_prefix_contains(&addresses[k], subnet))
                return (struct ingress){interface->index, addresses[k].length};
        }
    }
    return (struct ingress){client->ifindex, 0};
}

static size_t limit_of(const struct np_client *client, const struct np_query *query, size_t size)
{
    size_t limit = np_query_limit(query, client->tcp);
    return limit < size ? limit : size;
}

/* What an answer without records says. */
struct verdict {
    uint16_t rcode;
    enum np_ede ede;
};

/* On a well-formed query that is never answered; NOERROR for others. */
static struct verdict refusal(const struct np_query *query)
{
    switch (query->qtype) {
    case 0: /* RFC 6895 section 3.1 reserves it */
    case NP_RR_OPT:
    case NP_RR_TSIG:
    case NP_RR_NXNAME: /* RFC 9824 section 3.5 */
        return (struct verdict){NP_RCODE_FORMERR, NP_EDE_INVALID_QUERY_TYPE};
    case NP_RR_TKEY: /* a request to make a key, and two kinds of record of RFC 973: known, not offered */
    case NP_RR_MAILA:
    case NP_RR_MAILB:
        return (struct verdict){NP_RCODE_NOTIMP, NP_EDE_NOT_SUPPORTED};
    case NP_RR_IXFR:
    case NP_RR_AXFR:
        return (struct verdict){NP_RCODE_REFUSED, NP_EDE_PROHIBITED};
    default:
        if (query->qclass == NP_CLASS_IN)
            return (struct verdict){NP_RCODE_NOERROR, NP_EDE_NONE};
        return (struct verdict){NP_RCODE_REFUSED, NP_EDE_NOT_SUPPORTED};
    }
}

static struct verdict judge(enum np_query_verdict parsed, const struct np_query *query)
{
    switch (parsed) {
    case NP_QUERY_FORMERR:
        return (struct verdict){NP_RCODE_FORMERR, NP_EDE_NONE};
    case NP_QUERY_NOTIMP:
        return (struct verdict){NP_RCODE_NOTIMP, NP_EDE_NOT_SUPPORTED};
    case NP_QUERY_BADVERS:
        return (struct verdict){NP_RCODE_BADVERS, NP_EDE_NONE};
    default:
        return refusal(query);
    }
}

/* Is recursion offered? */
static uint16_t recursion(const struct np_view *view)
{
    return view->mode == NP_MODE_FULL ? NP_FLAG_RA : 0;
}

/* DS at the cut is the parent's to answer. Beside another resolver nobody can be asked for it: then it is answered as
 * it is offline. */
static bool is_answered(const struct np_view *view, const struct np_own_match *own, const struct np_name *qname)
{
    switch (own->kind) {
    case NP_OWN_APEX:
    case NP_OWN_PTR:
    case NP_OWN_DNS:
        return true;
    case NP_OWN_BELOW: {
        /* A zone further below that the owner sends elsewhere is that server's. */
        const struct np_view_forward *forward = view->mode == NP_MODE_FULL ? np_special_forward(view, qname) : NULL;
        return !forward || forward->zone.len <= own->own->name.len;
    }
    case NP_OWN_DS:
        return view->mode == NP_MODE_OWN_NAME_ONLY;
    default:
        return false;
    }
}

enum np_local_kind np_local_answer(const struct np_view *view, const struct np_client *client, const uint8_t *packet,
                                   size_t len, struct np_query *out_query, uint8_t *out, size_t size, size_t *out_len)
{
    struct np_answer answer;
    enum np_query_verdict parsed = np_query_parse(packet, len, out_query);
    *out_len = 0;
    if (parsed == NP_QUERY_DROP)
        return NP_LOCAL_DROPPED;
    size_t limit = limit_of(client, out_query, size);
    struct verdict verdict = judge(parsed, out_query);
    if (verdict.rcode != NP_RCODE_NOERROR) {
        *out_len = np_answer_error(out_query, verdict.rcode, 0, verdict.ede, out, limit);
        return NP_LOCAL_ERROR;
    }
    struct np_own_match own = np_own_find(view, &out_query->qname, out_query->qtype);
    if (is_answered(view, &own, &out_query->qname)) {
        np_answer_start(&answer, out_query, out, limit, recursion(view));
        struct ingress from = ingress(view, client, out_query);
        answer.subnet_scope = from.scope;
        np_own_answer(view, &own, from.ifindex, &answer);
        *out_len = np_answer_finish(&answer);
        return NP_LOCAL_OWN;
    }
    struct np_special_match special = {NP_SPECIAL_NONE, 0};
    if (view->mode == NP_MODE_FULL && own.kind == NP_OWN_NONE && !np_special_forward(view, &out_query->qname))
        special = np_special_find(view, &out_query->qname, out_query->qtype);
    if (special.kind != NP_SPECIAL_NONE) {
        np_answer_start(&answer, out_query, out, limit, NP_FLAG_RA);
        np_special_answer(view, &special, &answer);
        *out_len = np_answer_finish(&answer);
        return NP_LOCAL_SPECIAL;
    }
    if (view->mode == NP_MODE_FULL && (out_query->flags & NP_FLAG_RD))
        return NP_LOCAL_FORWARD;
    /* Only our own data could be given, and this is not ours (RFC 8914 section 4.21). */
    *out_len = np_answer_error(out_query, NP_RCODE_REFUSED, recursion(view), NP_EDE_NOT_AUTHORITATIVE, out, limit);
    return NP_LOCAL_ERROR;
}

size_t np_local_truncated(const struct np_view *view, const uint8_t *packet, size_t len, uint8_t *out, size_t size)
{
    struct np_query query;
    if (np_query_parse(packet, len, &query) != NP_QUERY_GOOD)
        return 0;
    size_t limit = np_query_limit(&query, false);
    return np_answer_error(&query, NP_RCODE_NOERROR, NP_FLAG_TC | recursion(view), NP_EDE_NONE, out,
                           limit < size ? limit : size);
}

size_t np_local_busy(const struct np_client *client, const struct np_query *query, uint8_t *out, size_t size)
{
    struct np_answer answer;
    np_answer_start(&answer, query, out, limit_of(client, query, size), NP_FLAG_RA);
    answer.rcode = NP_RCODE_SERVFAIL;
    answer.ede = NP_EDE_OTHER;
    answer.ede_text = "too many queries are waiting for an upstream";
    return np_answer_finish(&answer);
}

/* SERVFAIL, but for DS at an own name NODATA. */
static size_t answer_failed(const struct np_view *view, const struct np_client *client, const struct np_query *query,
                            enum np_ede ede, const char *ede_text, uint8_t *out, size_t size)
{
    struct np_own_match own = np_own_find(view, &query->qname, query->qtype);
    struct np_answer answer;
    np_answer_start(&answer, query, out, limit_of(client, query, size), NP_FLAG_RA);
    if (own.kind == NP_OWN_DS) {
        np_own_answer(view, &own, client->ifindex, &answer);
    } else {
        answer.rcode = NP_RCODE_SERVFAIL;
        answer.ede = ede;
        answer.ede_text = ede_text;
    }
    return np_answer_finish(&answer);
}

size_t np_local_offline(const struct np_view *view, const struct np_client *client, const struct np_query *query,
                        enum np_ede ede, uint8_t *out, size_t size)
{
    return answer_failed(view, client, query, ede, NULL, out, size);
}

size_t np_local_looped(const struct np_view *view, const struct np_client *client, const struct np_query *query,
                       uint8_t *out, size_t size)
{
    return answer_failed(view, client, query, NP_EDE_OTHER, "forwarding loop: the upstream asks this resolver", out,
                         size);
}

size_t np_local_blocked(const struct np_view *view, const struct np_client *client, const struct np_query *query,
                        uint8_t *out, size_t size)
{
    struct np_answer answer;
    np_answer_start(&answer, query, out, limit_of(client, query, size), NP_FLAG_RA);
    answer.ede = NP_EDE_BLOCKED;
    np_own_soa(view, &query->qname, NP_SECTION_AUTHORITY, &answer);
    return np_answer_finish(&answer);
}
