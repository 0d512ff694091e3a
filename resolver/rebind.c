#include "resolver/rebind.h"

#include "resolver/base/error.h"

#define SVC_IPV4HINT 4 /* RFC 9460 section 14.3.2 */
#define SVC_IPV6HINT 6

/* The judgement of one message. */
struct judge {
    const struct np_view *view;
    bool zone_asked; /* the question lies in the device zone */
    struct np_addr found;
};

static bool is_connected(const struct np_view *view, const struct np_addr *addr)
{
    for (size_t i = 0; i < view->interface_count; i++) {
        const struct np_view_interface *interface = &view->interfaces[i];
        if (!interface->lan)
            continue;
        for (size_t k = 0; k < interface->v4_count; k++) {
            if (np_prefix_contains(&interface->v4[k], addr))
                return true;
        }
        for (size_t k = 0; k < interface->v6_count; k++) {
            if (np_prefix_contains(&interface->v6[k], addr))
                return true;
        }
    }
    return false;
}

static bool is_bad_address(struct judge *judge, const struct np_rr *rr, const struct np_addr *addr)
{
    if (!np_addr_is_private_form(addr))
        return false;
    enum np_addr_class class = np_addr_classify(addr);
    bool plain = class == NP_ADDR_PRIVATE || class == NP_ADDR_SHARED || class == NP_ADDR_ULA;
    if (plain && judge->zone_asked && np_name_within(&rr->owner, &judge->view->zone) && is_connected(judge->view, addr))
        return false;
    judge->found = *addr;
    return true;
}

/* rdata of SVCB and HTTPS; anything malformed in it is bad. */
static bool is_bad_svcb(struct judge *judge, const struct np_rr *rr, struct np_reader message)
{
    struct np_name target;
    size_t end = rr->rdata_pos + rr->rdata_len;
    np_read_seek(&message, rr->rdata_pos);
    np_read_skip(&message, 2);
    np_name_read(&message, &target);
    if (message.error || message.pos > end)
        return true;
    struct np_reader params = np_read_sub(&message, end - message.pos);
    while (np_reader_left(&params) > 0) {
        uint16_t key = np_read_u16(&params);
        struct np_reader value = np_read_sub(&params, np_read_u16(&params));
        size_t size = key == SVC_IPV4HINT ? 4 : key == SVC_IPV6HINT ? 16 : 0;
        while (size && np_reader_left(&value) >= size) {
            struct np_addr addr = np_addr_from_bytes(np_read_bytes(&value, size), size);
            if (is_bad_address(judge, rr, &addr))
                return true;
        }
        if (size && np_reader_left(&value) > 0)
            return true;
    }
    return params.error != 0;
}

static bool is_bad_record(struct judge *judge, const struct np_rr *rr, struct np_reader message)
{
    if (rr->type == NP_RR_SVCB || rr->type == NP_RR_HTTPS)
        return is_bad_svcb(judge, rr, message);
    size_t size = rr->type == NP_RR_A ? 4 : rr->type == NP_RR_AAAA ? 16 : 0;
    if (size == 0)
        return false;
    np_read_seek(&message, rr->rdata_pos);
    const uint8_t *bytes = np_read_bytes(&message, rr->rdata_len);
    if (!bytes || rr->rdata_len != size)
        return true;
    struct np_addr addr = np_addr_from_bytes(bytes, size);
    return is_bad_address(judge, rr, &addr);
}

/* What was asked for decides, whatever CNAMEs lead to: that is the name whose pages a browser lets at the address. */
static bool is_excepted(const struct np_view *view, const struct np_name *qname)
{
    for (size_t i = 0; i < view->rebind_count; i++) {
        if (np_view_pattern_matches(&view->rebind_allow[i], qname))
            return true;
    }
    return false;
}

enum np_rebind np_rebind_check(const struct np_view *view, const uint8_t *message, size_t len, struct np_addr *out_addr)
{
    struct judge judge = {.view = view};
    struct np_walk walk;
    struct np_rr rr;
    enum np_rebind verdict = NP_REBIND_PASS;
    int more;
    if (out_addr)
        *out_addr = judge.found;
    if (!np_view_filters(view))
        return NP_REBIND_PASS;
    if (np_walk_start(&walk, message, len))
        return NP_REBIND_BLOCK;
    if (is_excepted(view, &walk.qname))
        return NP_REBIND_PASS;
    judge.zone_asked = view->zone.len > 1 && np_name_within(&walk.qname, &view->zone);
    while ((more = np_walk_next(&walk, &rr)) > 0 && verdict != NP_REBIND_BLOCK) {
        if (rr.section == NP_SECTION_AUTHORITY || !is_bad_record(&judge, &rr, np_reader_make(message, len)))
            continue;
        verdict = rr.section == NP_SECTION_ANSWER ? NP_REBIND_BLOCK : NP_REBIND_STRIP;
        if (out_addr)
            *out_addr = judge.found;
    }
    return more < 0 ? NP_REBIND_BLOCK : verdict;
}

static bool same_prefixes(const struct np_prefix *a, const struct np_prefix *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        /* The subnets count, not the box's own address in them. */
        struct np_prefix left = np_prefix_of(&a[i].addr, a[i].length), right = np_prefix_of(&b[i].addr, b[i].length);
        if (left.length != right.length || !np_addr_equal(&left.addr, &right.addr))
            return false;
    }
    return true;
}

static bool same_interface(const struct np_view_interface *a, const struct np_view_interface *b)
{
    if (a->lan != b->lan)
        return false;
    return !a->lan || (a->v4_count == b->v4_count && a->v6_count == b->v6_count &&
                       same_prefixes(a->v4, b->v4, a->v4_count) && same_prefixes(a->v6, b->v6, a->v6_count));
}

bool np_rebind_same(const struct np_view *a, const struct np_view *b)
{
    if (!np_view_filters(a) && !np_view_filters(b))
        return true;
    if (np_view_filters(a) != np_view_filters(b) || a->interface_count != b->interface_count ||
        a->rebind_count != b->rebind_count || a->zone.len != b->zone.len ||
        (a->zone.len && !np_name_equal(&a->zone, &b->zone)))
        return false;
    for (size_t i = 0; i < a->rebind_count; i++) {
        if (a->rebind_allow[i].below != b->rebind_allow[i].below ||
            !np_name_equal(&a->rebind_allow[i].name, &b->rebind_allow[i].name))
            return false;
    }
    for (size_t i = 0; i < a->interface_count; i++) {
        if (!same_interface(&a->interfaces[i], &b->interfaces[i]))
            return false;
    }
    return true;
}
