#include "hq/zone/answer.h"

#include <string.h>

#include "hq/zone/records.h"
#include "resolver/base/error.h"

#define RR_HINFO   13
#define HOPS_MAX   4   /* CNAMEs followed; the zone has none longer than 1 */
#define FIRST_META 128 /* QTYPEs and meta types (RFC 6895 section 3.1): 128 to 255 */

static const uint32_t soa_refresh[2][3] = {{3600, 600, 604800}, {600, 60, 86400}}; /* refresh, retry, expire */

/* What a name is. */
enum node_type { NODE_NONE, NODE_EMPTY, NODE_APEX, NODE_FIXED, NODE_DEVICE, NODE_CNAME, NODE_CHALLENGE };

struct node {
    enum node_type type;
    bool challenge_zone;
    const struct np_zone_node *fixed; /* of FIXED, and of APEX where the apex has addresses */
    struct np_table_entry entry;      /* of DEVICE and CHALLENGE */
    struct np_name target;            /* of CNAME */
};

/* Number of labels of name below zone. */
static unsigned depth_below(const struct np_name *name, const struct np_name *zone)
{
    return np_name_labels(name) - np_name_labels(zone);
}

/* ---- The view ---- */

static struct np_zone_node *add_node(struct np_zone_view *view, const struct np_name *name)
{
    for (size_t i = 0; i < view->node_count; i++) {
        if (np_name_equal(&view->nodes[i].name, name))
            return &view->nodes[i];
    }
    struct np_zone_node *node = &view->nodes[view->node_count++];
    unsigned depth = depth_below(name, &view->origin);
    if (depth > view->depth_max)
        view->depth_max = depth;
    memset(node, 0, sizeof *node);
    node->name = *name;
    return node;
}

static void add_address(struct np_zone_node *node, const struct np_addr *addr)
{
    for (size_t i = 0; i < node->address_count; i++) {
        if (np_addr_equal(&node->addresses[i], addr))
            return;
    }
    if (node->address_count < NP_ZONE_NODE_ADDR)
        node->addresses[node->address_count++] = *addr;
}

static int add_nameservers(struct np_zone_view *view, const struct np_zone_config *config)
{
    for (size_t i = 0; i < config->nameserver_count && i < NP_ZONE_NAMESERVERS_MAX; i++) {
        struct np_name name;
        bool known = false;
        if (np_name_parse(config->nameservers[i].name, &name))
            return NP_E_MALFORMED;
        np_name_lower(&name);
        for (size_t k = 0; k < view->nameserver_count; k++)
            known = known || np_name_equal(&view->nameservers[k], &name);
        if (!known)
            view->nameservers[view->nameserver_count++] = name;
        if (np_name_within(&name, &view->origin))
            add_address(add_node(view, &name), &config->nameservers[i].address.addr);
    }
    if (view->nameserver_count == 0)
        return NP_E_MISSING;
    view->mname = view->nameservers[0];
    return 0;
}

static int add_probe(struct np_zone_view *view, const char *label, const struct np_addr *addresses, size_t count)
{
    struct np_name parent, name;
    if (count == 0)
        return 0;
    if (np_name_prepend(label, &view->origin, &parent) || np_name_prepend("*", &parent, &name))
        return NP_E_LIMIT;
    struct np_zone_node *node = add_node(view, &name);
    node->wildcard = true;
    for (size_t i = 0; i < count && i < NP_ZONE_PROBE_MAX; i++)
        add_address(node, &addresses[i]);
    return 0;
}

static int add_host(struct np_zone_view *view, const struct np_zone_config *config)
{
    struct np_name name;
    if (!config->host[0])
        return 0;
    if (np_name_parse(config->host, &name))
        return NP_E_MALFORMED;
    np_name_lower(&name);
    if (!np_name_within(&name, &view->origin))
        return 0;
    struct np_zone_node *node = add_node(view, &name);
    for (size_t i = 0; i < config->host_address_count && i < NP_ZONE_HOST_MAX; i++)
        add_address(node, &config->host_addresses[i]);
    return 0;
}

static int add_caa(struct np_zone_view *view, const struct np_zone_config *config,
                   const struct np_zone_accounts *accounts)
{
    for (size_t i = 0; i < config->caa_count && i < NP_ZONE_CAA_MAX; i++) {
        int rc = np_records_caa(config->caa[i], accounts ? accounts->url[i] : "", view->caa[i], &view->caa_len[i]);
        if (rc)
            return rc;
        view->caa_count++;
    }
    return 0;
}

int np_zone_view_init(struct np_zone_view *view, const struct np_zone_config *config,
                      const struct np_zone_accounts *accounts)
{
    memset(view, 0, sizeof *view);
    if (np_name_parse(config->origin, &view->origin) || view->origin.len < 3)
        return NP_E_MALFORMED;
    np_name_lower(&view->origin);
    view->depth_max = 2; /* _acme-challenge.<device> */
    view->ttl_s = config->ttl_s;
    if (np_name_prepend("acme", &view->origin, &view->challenge_origin) ||
        np_name_prepend("hostmaster", &view->origin, &view->rname))
        return NP_E_LIMIT;
    int rc = add_nameservers(view, config);
    if (rc == 0)
        rc = add_host(view, config);
    if (rc == 0)
        rc = add_probe(view, "rebind-test", config->probe_private, config->probe_private_count);
    if (rc == 0)
        rc = add_probe(view, "plain-test", config->probe_public, config->probe_public_count);
    if (rc == 0)
        rc = add_caa(view, config, accounts);
    return rc;
}

/* ---- Finding a name ---- */

static const struct np_zone_node *fixed_node(const struct np_zone_view *view, const struct np_name *name)
{
    for (size_t i = 0; i < view->node_count; i++) {
        if (np_name_equal(&view->nodes[i].name, name))
            return &view->nodes[i];
    }
    return NULL;
}

/* Is there a name of the configuration below this one? */
static bool has_below(const struct np_zone_view *view, const struct np_name *name)
{
    for (size_t i = 0; i < view->node_count; i++) {
        if (view->nodes[i].name.len > name->len && np_name_within(&view->nodes[i].name, name))
            return true;
    }
    return false;
}

/* <label>.acme.<zone> for the label at wire (its length byte first), lower case. */
static void challenge_target(const struct np_zone_view *view, const uint8_t *label, struct np_name *out_name)
{
    size_t len = label[0] + 1u;
    out_name->len = 0;
    if (len + view->challenge_origin.len > NP_NAME_WIRE_MAX)
        return;
    memcpy(out_name->wire, label, len);
    memcpy(out_name->wire + len, view->challenge_origin.wire, view->challenge_origin.len);
    out_name->len = (uint8_t)(len + view->challenge_origin.len);
    np_name_lower(out_name);
}

/* The node that exactly has this name, inside the device zone; NODE_NONE when there is none. */
static void exact_node(const struct np_zone_view *view, const struct np_name *name, struct node *out)
{
    unsigned depth = depth_below(name, &view->origin);
    const uint8_t *label = name->wire;
    out->type = NODE_NONE;
    out->fixed = fixed_node(view, name);
    if (depth == 0)
        out->type = NODE_APEX;
    else if (out->fixed)
        out->type = NODE_FIXED;
    else if (depth == 1 && np_table_get(view->table, label + 1, label[0], &out->entry) && out->entry.present)
        out->type = NODE_DEVICE;
    else if (has_below(view, name))
        out->type = NODE_EMPTY;
    if (out->type != NODE_NONE || depth != 2)
        return;
    static const uint8_t wire[] = "\17_acme-challenge";
    struct np_name first = {.len = label[0] + 2u}, wanted = {.len = sizeof wire};
    memcpy(first.wire, label, first.len - 1u);
    memcpy(wanted.wire, wire, sizeof wire);
    label += label[0] + 1;
    if (!np_name_equal(&first, &wanted))
        return;
    if (!np_table_get(view->table, label + 1, label[0], &out->entry) || !out->entry.present)
        return;
    challenge_target(view, label, &out->target);
    if (out->target.len > 0)
        out->type = NODE_CNAME;
}

/* A name without a node of its own: its closest encloser's wildcard, where there is one (RFC 4592 section 3.3.1). */
static void wildcard_node(const struct np_zone_view *view, const struct np_name *name, struct node *out)
{
    unsigned depth = depth_below(name, &view->origin);
    unsigned cut = depth > view->depth_max ? depth - view->depth_max : 1;
    for (; cut <= depth; cut++) {
        struct np_name encloser = np_name_parent(name, cut), wildcard;
        exact_node(view, &encloser, out);
        if (out->type == NODE_NONE)
            continue;
        out->type = NODE_NONE;
        out->fixed = NULL;
        if (np_name_prepend("*", &encloser, &wildcard) == 0)
            out->fixed = fixed_node(view, &wildcard);
        if (out->fixed && out->fixed->wildcard)
            out->type = NODE_FIXED;
        return;
    }
}

/* Which zone answers for name, and what the name is there. False outside both zones. */
static bool find_node(const struct np_zone_view *view, const struct np_name *name, uint16_t qtype, struct node *out)
{
    memset(out, 0, offsetof(struct node, target));
    if (!np_name_within(name, &view->origin))
        return false;
    if (!np_name_within(name, &view->challenge_origin)) {
        exact_node(view, name, out);
        if (out->type == NODE_NONE)
            wildcard_node(view, name, out);
        return true;
    }
    unsigned depth = depth_below(name, &view->challenge_origin);
    if (depth == 0 && qtype == NP_RR_DS) {
        out->type = NODE_EMPTY; /* the delegation, seen from above: insecure */
        return true;
    }
    out->challenge_zone = true;
    if (depth == 0)
        out->type = NODE_APEX;
    else if (depth == 1 && np_table_get(view->table, name->wire + 1, name->wire[0], &out->entry) &&
             out->entry.txt_count > 0)
        out->type = NODE_CHALLENGE;
    return true;
}

/* ---- Writing the answer ---- */

static void write_soa(const struct np_zone_view *view, struct np_answer *answer, enum np_section section,
                      bool challenge_zone)
{
    uint32_t ttl = challenge_zone ? NP_ZONE_CHALLENGE_S : view->ttl_s;
    const uint32_t *refresh = soa_refresh[challenge_zone];
    const uint32_t timers[4] = {refresh[0], refresh[1], refresh[2], ttl};
    np_answer_soa(answer, section, challenge_zone ? &view->challenge_origin : &view->origin, view->ttl_s, &view->mname,
                  &view->rname, challenge_zone ? view->challenge_serial : view->serial, timers);
}

static void write_ns(const struct np_zone_view *view, struct np_answer *answer, const struct np_name *owner)
{
    for (size_t i = 0; i < view->nameserver_count; i++)
        np_answer_rr(answer, NP_SECTION_ANSWER, owner, NP_RR_NS, view->ttl_s, view->nameservers[i].wire,
                     view->nameservers[i].len);
    for (size_t i = 0; i < view->nameserver_count; i++) {
        const struct np_zone_node *node = fixed_node(view, &view->nameservers[i]);
        for (size_t k = 0; node && k < node->address_count; k++)
            np_answer_address(answer, NP_SECTION_ADDITIONAL, &view->nameservers[i], view->ttl_s, &node->addresses[k]);
    }
}

static void write_txt(struct np_answer *answer, const struct np_name *owner, uint32_t ttl, const char *text, size_t len)
{
    uint8_t rdata[256];
    rdata[0] = (uint8_t)len;
    memcpy(rdata + 1, text, len);
    np_answer_rr(answer, NP_SECTION_ANSWER, owner, NP_RR_TXT, ttl, rdata, len + 1);
}

/* RFC 7505 and RFC 7208: no mail comes to or from any of our names. */
static void write_no_mail(struct np_answer *answer, const struct np_name *owner, uint16_t qtype, uint32_t ttl)
{
    static const uint8_t null_mx[] = {0, 0, 0};
    static const char spf[] = "v=spf1 -all";
    if (qtype == NP_RR_MX)
        np_answer_rr(answer, NP_SECTION_ANSWER, owner, NP_RR_MX, ttl, null_mx, sizeof null_mx);
    if (qtype == NP_RR_TXT)
        write_txt(answer, owner, ttl, spf, sizeof spf - 1);
}

static void write_fixed(const struct np_zone_view *view, struct np_answer *answer, const struct np_name *owner,
                        uint16_t qtype, const struct np_zone_node *node)
{
    for (size_t i = 0; node && i < node->address_count; i++) {
        if (qtype == (node->addresses[i].family == AF_INET ? NP_RR_A : NP_RR_AAAA))
            np_answer_address(answer, NP_SECTION_ANSWER, owner, view->ttl_s, &node->addresses[i]);
    }
}

static void write_device(const struct np_zone_view *view, struct np_answer *answer, const struct np_name *owner,
                         uint16_t qtype, const struct np_table_entry *entry)
{
    for (size_t i = 0; qtype == NP_RR_A && i < entry->v4_count; i++)
        np_answer_rr(answer, NP_SECTION_ANSWER, owner, NP_RR_A, view->ttl_s, entry->v4[i], 4);
    for (size_t i = 0; qtype == NP_RR_AAAA && i < entry->v6_count; i++)
        np_answer_rr(answer, NP_SECTION_ANSWER, owner, NP_RR_AAAA, view->ttl_s, entry->v6[i], 16);
}

static void write_apex(const struct np_zone_view *view, struct np_answer *answer, const struct np_name *owner,
                       uint16_t qtype, const struct node *node)
{
    if (qtype == NP_RR_SOA)
        write_soa(view, answer, NP_SECTION_ANSWER, node->challenge_zone);
    if (qtype == NP_RR_NS)
        write_ns(view, answer, owner);
    if (node->challenge_zone)
        return;
    for (size_t i = 0; qtype == NP_RR_CAA && i < view->caa_count; i++)
        np_answer_rr(answer, NP_SECTION_ANSWER, owner, NP_RR_CAA, view->ttl_s, view->caa[i], view->caa_len[i]);
    write_fixed(view, answer, owner, qtype, node->fixed);
    write_no_mail(answer, owner, qtype, view->ttl_s);
}

/* The records of qtype at a node that exists. */
static void write_node(const struct np_zone_view *view, struct np_answer *answer, const struct np_name *owner,
                       uint16_t qtype, const struct node *node)
{
    switch (node->type) {
    case NODE_APEX:
        write_apex(view, answer, owner, qtype, node);
        break;
    case NODE_FIXED:
        write_fixed(view, answer, owner, qtype, node->fixed);
        write_no_mail(answer, owner, qtype, view->ttl_s);
        break;
    case NODE_DEVICE:
        write_device(view, answer, owner, qtype, &node->entry);
        write_no_mail(answer, owner, qtype, view->ttl_s);
        break;
    case NODE_CHALLENGE:
        for (size_t i = 0; qtype == NP_RR_TXT && i < node->entry.txt_count; i++)
            write_txt(answer, owner, NP_ZONE_CHALLENGE_S, node->entry.txt[i], NP_ZONE_TXT_LEN);
        break;
    case NODE_CNAME:
        np_answer_rr(answer, NP_SECTION_ANSWER, owner, NP_RR_CNAME, view->ttl_s, node->target.wire, node->target.len);
        break;
    default:
        break;
    }
}

/* RFC 8482 section 4.2. */
static void write_any(struct np_answer *answer, const struct np_name *owner)
{
    static const uint8_t hinfo[] = "\7RFC8482"; /* the final NUL is the empty OS string */
    np_answer_rr(answer, NP_SECTION_ANSWER, owner, RR_HINFO, NP_ZONE_HINFO_TTL_S, hinfo, sizeof hinfo);
}

/* Follows name from node to node, writing what there is. */
static void write_answer(const struct np_zone_view *view, struct np_answer *answer, uint16_t qtype, struct node *node)
{
    struct np_name owner = answer->query->qname;
    for (int hop = 0; hop < HOPS_MAX; hop++) {
        uint16_t before = answer->counts[NP_SECTION_ANSWER];
        if (node->type == NODE_CNAME && qtype != NP_RR_CNAME && qtype != NP_RR_ANY) {
            write_node(view, answer, &owner, NP_RR_CNAME, node);
            owner = node->target;
            if (find_node(view, &owner, qtype, node))
                continue;
            return;
        }
        if (qtype == NP_RR_ANY && node->type != NODE_CNAME && node->type != NODE_NONE && node->type != NODE_EMPTY)
            write_any(answer, &owner);
        else
            write_node(view, answer, &owner, qtype, node);
        if (answer->counts[NP_SECTION_ANSWER] == before && !answer->truncated) {
            if (node->type == NODE_NONE)
                answer->rcode = NP_RCODE_NXDOMAIN;
            write_soa(view, answer, NP_SECTION_AUTHORITY, node->challenge_zone);
        }
        return;
    }
}

/* Whatever random names below a wildcard, or in a zone, are asked for, it is one subject. */
static void classify(const struct np_zone_view *view, const struct np_answer *answer, const struct node *node,
                     struct np_zone_class *out_class)
{
    const struct np_name *name = &answer->query->qname;
    if (node->fixed && node->fixed->wildcard)
        name = &node->fixed->name;
    if (answer->rcode == NP_RCODE_NXDOMAIN) {
        name = node->challenge_zone ? &view->challenge_origin : &view->origin;
        out_class->kind = NP_RRL_NXDOMAIN;
    } else {
        out_class->kind = answer->counts[NP_SECTION_ANSWER] ? NP_RRL_ANSWER : NP_RRL_NODATA;
    }
    out_class->subject = np_name_hash(name, view->hash_key);
    if (out_class->kind == NP_RRL_ANSWER)
        out_class->subject += answer->query->qtype;
}

static size_t answer_query(const struct np_zone_view *view, const struct np_query *query, uint8_t *out, size_t limit,
                           struct np_zone_class *out_class)
{
    struct node node;
    struct np_answer answer;
    uint16_t qtype = query->qtype;
    bool is_meta = qtype >= FIRST_META && qtype <= NP_RR_ANY;
    if (query->qclass != NP_CLASS_IN || (is_meta && qtype != NP_RR_ANY) || !view->table ||
        !find_node(view, &query->qname, qtype, &node))
        return np_answer_error(query, NP_RCODE_REFUSED, 0, NP_EDE_NONE, out, limit);
    if (qtype == 0 || qtype == NP_RR_OPT)
        return np_answer_error(query, NP_RCODE_FORMERR, 0, NP_EDE_NONE, out, limit);
    np_answer_start(&answer, query, out, limit, NP_FLAG_AA);
    write_answer(view, &answer, qtype, &node);
    if (view->loading && answer.rcode == NP_RCODE_NXDOMAIN)
        return 0; /* silence sends the asker to another name server; a denial or SERVFAIL would be remembered */
    classify(view, &answer, &node, out_class);
    return np_answer_finish(&answer);
}

size_t np_zone_answer(const struct np_zone_view *view, const uint8_t *packet, size_t len, bool tcp, uint8_t *out,
                      size_t size, struct np_zone_class *out_class)
{
    struct np_query query;
    enum np_query_verdict verdict = np_query_parse(packet, len, &query);
    if (verdict == NP_QUERY_DROP)
        return 0;
    size_t limit = np_query_limit(&query, tcp);
    if (limit > size)
        limit = size;
    *out_class = (struct np_zone_class){NP_RRL_ERROR, 0};
    switch (verdict) {
    case NP_QUERY_GOOD:
        return answer_query(view, &query, out, limit, out_class);
    case NP_QUERY_NOTIMP:
        return np_answer_error(&query, NP_RCODE_NOTIMP, 0, NP_EDE_NONE, out, limit);
    case NP_QUERY_BADVERS:
        return np_answer_error(&query, NP_RCODE_BADVERS, 0, NP_EDE_NONE, out, limit);
    default:
        return np_answer_error(&query, NP_RCODE_FORMERR, 0, NP_EDE_NONE, out, limit);
    }
}

size_t np_zone_answer_truncated(const uint8_t *packet, size_t len, uint8_t *out, size_t size)
{
    struct np_query query;
    struct np_answer answer;
    if (np_query_parse(packet, len, &query) != NP_QUERY_GOOD)
        return 0;
    size_t limit = np_query_limit(&query, false);
    np_answer_start(&answer, &query, out, limit < size ? limit : size, NP_FLAG_AA);
    answer.truncated = true;
    return np_answer_finish(&answer);
}
