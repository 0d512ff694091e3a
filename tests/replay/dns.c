#include <string.h>

#include "resolver/base/error.h"
#include "resolver/local.h"
#include "tests/replay/box.h"

/* As in agent/agent_net.c. */
void dns_view(struct box *box)
{
    struct np_view *view = &box->view;
    box->view_before = box->view;
    const char *name = box->state.name, *dot = strchr(name, '.');
    np_view_init(view);
    view->role = box->policy.role;
    view->serial = 1;
    if (name[0] && np_name_parse(name, &view->own[0].name) == 0) {
        view->own_count = 1;
        view->own[0].https = box_certificate_valid(box);
        if (dot && np_name_parse(dot + 1, &view->zone))
            memset(&view->zone, 0, sizeof view->zone);
    }
    np_address_choice_to_view(&box->choice, view);
    for (size_t i = 0; i < box->upstream_count; i++)
        view->upstreams[view->upstream_count++].endpoint = box->upstreams[i].endpoint;
    view->cache = box->cache;
    view->mode = box->mode;
    view->rebind_filter = box->filter;
    view->canary = !box->no_canary;
    view->rebind_count = box->allow_count;
    memcpy(view->rebind_allow, box->allow, sizeof view->rebind_allow);
    if (np_recall_fit(&box->recall, &box->view_before, view))
        step_fail(box->step, "a cache of that size", "%u", box->cache);
}

void dns_init(struct box *box)
{
    np_recall_init(&box->recall, upstreams_offline, box);
}

void dns_cache(struct box *box)
{
    const char *size = step_word(box->step, "a size");
    if (np_cache_parse_size(size, &box->cache))
        step_fail(box->step, "a size such as 4M", "%s", size);
    dns_view(box);
}

static void allow(struct box *box, const char *list)
{
    for (box->allow_count = 0; *list && box->allow_count < NP_VIEW_REBIND_MAX;) {
        char name[NP_NAME_TEXT_MAX];
        size_t len = strcspn(list, ",");
        if (len >= sizeof name)
            step_fail(box->step, "a name", "%s", list);
        memcpy(name, list, len);
        name[len] = 0;
        if (np_view_pattern_parse(name, &box->allow[box->allow_count++]))
            step_fail(box->step, "NAME or *.NAME", "%s", name);
        list += len + (list[len] == ',');
    }
}

/* resolver [mode=full|own-name-only] [filter=auto|on|off] [allow=NAME[,*.NAME]] [canary=yes|no]: at once. */
void dns_resolver(struct box *box)
{
    const char *mode = step_option(box->step, "mode"), *filter = step_option(box->step, "filter"),
               *names = step_option(box->step, "allow"), *canary = step_option(box->step, "canary");
    if (mode)
        box->mode = strcmp(mode, "full") == 0 ? NP_MODE_FULL : NP_MODE_OWN_NAME_ONLY;
    if (filter)
        box->filter = strcmp(filter, "on") == 0    ? NP_FILTER_ON
                      : strcmp(filter, "off") == 0 ? NP_FILTER_OFF
                                                   : NP_FILTER_AUTO;
    if (names)
        allow(box, names);
    if (canary)
        box->no_canary = strcmp(canary, "no") == 0;
    dns_view(box);
}

static uint16_t type_of(struct box *box, const char *name)
{
    static const struct {
        const char *name;
        uint16_t type;
    } types[] = {{"A", NP_RR_A},     {"AAAA", NP_RR_AAAA}, {"HTTPS", NP_RR_HTTPS}, {"TXT", NP_RR_TXT}, {"MX", NP_RR_MX},
                 {"SOA", NP_RR_SOA}, {"PTR", NP_RR_PTR},   {"NS", NP_RR_NS},       {"DS", NP_RR_DS}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(types[i].name, name) == 0)
            return types[i].type;
    }
    step_fail(box->step, "a record type", "%s", name);
}

static uint32_t index_of(struct box *box, const char *name)
{
    const struct np_link *link = np_network_link_named(&box->network, name);
    if (!link)
        step_fail(box->step, "an interface that the scenario made", "%s", name);
    return link->index;
}

/* What the resolver says by itself; the answer is in box->answer, unless it is to be forwarded. */
static enum np_local_kind local(struct box *box, const char *name, uint16_t type, uint32_t ifindex)
{
    struct question *q = &box->question;
    struct np_client client = {.ifindex = ifindex};
    struct np_name qname;
    if (np_name_parse(name, &qname))
        step_fail(box->step, "a domain name", "%s", name);
    int len = np_query_write(q->packet, sizeof q->packet, DNS_ID, NP_FLAG_RD, &qname, type, true, false);
    if (len < 0)
        step_fail(box->step, "a query that can be written", "%s", np_strerror(len));
    q->len = (size_t)len;
    q->ifindex = ifindex;
    box->answer_len = 0;
    return np_local_answer(&box->view, &client, q->packet, q->len, &q->query, box->answer, NP_DNS_UDP_MAX,
                           &box->answer_len);
}

/* Adds the answer section's addresses; returns the RCODE, -1 where there is no answer. *out_ede is -1 without one,
 * *out_ttl (of the first record) too. */
static int read_answer(const struct box *box, struct np_addresses *out, size_t *out_records, int *out_ede,
                       int64_t *out_ttl)
{
    struct np_walk walk;
    struct np_rr rr;
    int rcode;
    *out_ede = -1;
    *out_ttl = -1;
    if (!box->answer_len || np_walk_start(&walk, box->answer, box->answer_len))
        return -1;
    rcode = walk.flags & 15;
    while (np_walk_next(&walk, &rr) > 0) {
        const uint8_t *rdata = box->answer + rr.rdata_pos;
        *out_records += rr.section == NP_SECTION_ANSWER;
        if (*out_ttl < 0 && rr.type != NP_RR_OPT)
            *out_ttl = rr.ttl;
        if (rr.type == NP_RR_OPT && rr.rdata_len >= 6 && rdata[0] == 0 && rdata[1] == 15) /* RFC 8914 */
            *out_ede = rdata[4] << 8 | rdata[5];
        if (rr.section != NP_SECTION_ANSWER)
            continue;
        if (rr.type == NP_RR_A && out->v4_count < NP_WIRE_V4_MAX)
            out->v4[out->v4_count++] = np_addr_from_bytes(rdata, 4);
        if (rr.type == NP_RR_AAAA && out->v6_count < NP_WIRE_V6_MAX)
            out->v6[out->v6_count++] = np_addr_from_bytes(rdata, 16);
    }
    return rcode;
}

void dns_expect_answered(struct box *box)
{
    struct step *step = box->step;
    struct np_addresses wanted, seen = {0};
    char wanted_text[STEP_TEXT_MAX], seen_text[STEP_TEXT_MAX];
    size_t records = 0;
    int64_t ttl;
    int ede;
    if (!step_take(step, "on"))
        step_fail(step, "expect answered on IF ADDRESS...", "something else");
    uint32_t ifindex = index_of(box, step_word(step, "an interface"));
    box_read_addresses(step, &wanted);
    static const uint16_t types[] = {NP_RR_A, NP_RR_AAAA};
    for (size_t i = 0; i < 2; i++) {
        if (!box->running || !box->state.name[0])
            step_fail(step, box_addresses(&wanted, wanted_text), "a box that has no name");
        if (local(box, box->state.name, types[i], ifindex) != NP_LOCAL_OWN)
            step_fail(step, box_addresses(&wanted, wanted_text), "a question that is not answered here");
        read_answer(box, &seen, &records, &ede, &ttl);
    }
    if (!np_addresses_equal(&wanted, &seen))
        step_fail(step, box_addresses(&wanted, wanted_text), "%s", box_addresses(&seen, seen_text));
}

static const char *rcode_name(int rcode)
{
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
    return rcode < 0 ? "no answer yet" : rcode < 6 ? names[rcode] : "another RCODE";
}

void dns_expect_answer(struct box *box)
{
    struct step *step = box->step;
    struct np_addresses wanted, seen = {0};
    char wanted_text[STEP_TEXT_MAX], seen_text[STEP_TEXT_MAX];
    size_t records = 0;
    int64_t ttl;
    int ede, rcode = read_answer(box, &seen, &records, &ede, &ttl);
    if (step_take(step, "none")) {
        if (rcode >= 0)
            step_fail(step, "no answer yet", "%s", rcode_name(rcode));
        return;
    }
    const char *name = step_word(step, "an RCODE"), *within = step_option(step, "within");
    int64_t wanted_ede = step_option_number(step, "ede", -1), wanted_records = step_option_number(step, "records", -1);
    if (strcmp(name, rcode_name(rcode)) != 0)
        step_fail(step, name, "%s", rcode_name(rcode));
    if (wanted_records >= 0 ? (size_t)wanted_records != records : false)
        step_fail(step, "that many records in the answer section", "%zu", records);
    if (wanted_ede != ede)
        step_fail(step, "this EDE (none where the step names none)", "%d", ede);
    int64_t wanted_ttl = step_option_number(step, "ttl", ttl);
    if (wanted_ttl != ttl)
        step_fail(step, "this TTL", "%lld", (long long)ttl);
    if (within && box->answer_ms > step_duration(step, within))
        step_fail(step, within, "%lld ms", (long long)box->answer_ms);
    if (wanted_records < 0) {
        box_read_addresses(step, &wanted);
        if (!np_addresses_equal(&wanted, &seen))
            step_fail(step, box_addresses(&wanted, wanted_text), "%s", box_addresses(&seen, seen_text));
    }
}

void dns_ask(struct box *box)
{
    struct step *step = box->step;
    struct question *q = &box->question;
    const char *name = step_word(step, "a name"), *type = step_word(step, "a type");
    uint32_t ifindex = step_take(step, "on") ? index_of(box, step_word(step, "an interface")) : 0;
    struct np_client client = {.ifindex = ifindex};
    struct np_recalled recalled;
    memset(q, 0, sizeof *q);
    box->answer_ms = 0;
    if (local(box, name, type_of(box, type), ifindex) != NP_LOCAL_FORWARD)
        return;
    np_recall_query(&box->recall, &box->view, &client, &q->query, box->now_ms, box->answer, NP_DNS_UDP_MAX, &recalled);
    box->answer_len = recalled.len;
    q->waited_for = recalled.len == 0;
    if (q->waited_for || recalled.refresh)
        upstreams_ask(box);
}
