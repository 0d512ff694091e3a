#include <string.h>

#include "resolver/base/error.h"
#include "resolver/local.h"
#include "resolver/packed.h"
#include "resolver/rebind.h"
#include "resolver/response.h"
#include "tests/replay/box.h"

#define ID          0x1234
#define TCP_WAIT_MS 1500

/* As in agent/agent_net.c. */
void dns_view(struct box *box)
{
    struct np_view *view = &box->view;
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
    int len = np_query_write(q->packet, sizeof q->packet, ID, NP_FLAG_RD, &qname, type, true, false);
    if (len < 0)
        step_fail(box->step, "a query that can be written", "%s", np_strerror(len));
    q->len = (size_t)len;
    q->ifindex = ifindex;
    box->answer_len = 0;
    return np_local_answer(&box->view, &client, q->packet, q->len, &q->query, box->answer, NP_DNS_UDP_MAX,
                           &box->answer_len);
}

/* Adds the answer section's addresses; returns the RCODE, -1 where there is no answer. *out_ede is -1 without one. */
static int read_answer(const struct box *box, struct np_addresses *out, size_t *out_records, int *out_ede)
{
    struct np_walk walk;
    struct np_rr rr;
    int rcode;
    *out_ede = -1;
    if (!box->answer_len || np_walk_start(&walk, box->answer, box->answer_len))
        return -1;
    rcode = walk.flags & 15;
    while (np_walk_next(&walk, &rr) > 0) {
        const uint8_t *rdata = box->answer + rr.rdata_pos;
        *out_records += rr.section == NP_SECTION_ANSWER;
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
        read_answer(box, &seen, &records, &ede);
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
    int ede, rcode = read_answer(box, &seen, &records, &ede);
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
    if (within && box->answer_ms > step_duration(step, within))
        step_fail(step, within, "%lld ms", (long long)box->answer_ms);
    if (wanted_records < 0) {
        box_read_addresses(step, &wanted);
        if (!np_addresses_equal(&wanted, &seen))
            step_fail(step, box_addresses(&wanted, wanted_text), "%s", box_addresses(&seen, seen_text));
    }
}

/* upstreams ADDRESS...: what is known about those that stay is kept. */
void dns_upstreams(struct box *box)
{
    struct np_upstream before[NP_VIEW_UPSTREAMS_MAX];
    size_t count = box->upstream_count;
    memcpy(before, box->upstreams, sizeof before);
    box->upstream_count = 0;
    for (const char *word; (word = step_more(box->step));) {
        struct np_upstream upstream = {0};
        if (box->upstream_count == NP_VIEW_UPSTREAMS_MAX || np_endpoint_parse(word, 53, &upstream.endpoint))
            step_fail(box->step, "addresses, at most 8", "%s", word);
        for (size_t i = 0; i < count; i++) {
            if (np_addr_equal(&before[i].endpoint.addr, &upstream.endpoint.addr))
                upstream = before[i];
        }
        box->upstreams[box->upstream_count++] = upstream;
    }
    dns_view(box);
}

/* The shell of forwarding, as in resolver/forward.c, for one question. */

static void finish(struct box *box, const uint8_t *message, size_t len)
{
    struct question *q = &box->question;
    struct np_client client = {.ifindex = q->ifindex};
    struct np_packed_how how = {.ede = NP_EDE_NONE};
    q->open = false;
    box->answer_ms = box->now_ms - q->start_ms;
    if (!message && q->fallback_len) {
        message = q->fallback;
        len = q->fallback_len;
    }
    if (!message)
        box->answer_len = np_local_offline(&box->view, &client, &q->query, NP_EDE_NO_REACHABLE_AUTHORITY, box->answer,
                                           NP_DNS_UDP_MAX);
    else if (np_rebind_check(&box->view, message, len, NULL) == NP_REBIND_BLOCK)
        box->answer_len = np_local_blocked(&box->view, &client, &q->query, box->answer, NP_DNS_UDP_MAX);
    else if (np_packed_make(message, len, true, false, &box->packed, sizeof box->packed, NULL) > 0)
        box->answer_len = np_packed_write(&box->packed.head, &q->query, &how, box->answer, NP_DNS_UDP_MAX);
}

static void send_try(struct box *box, size_t server, bool tcp, bool probe)
{
    struct question *q = &box->question;
    const struct np_upstream *upstream = &box->upstreams[server];
    char text[NP_ADDR_TEXT_MAX];
    if (q->try_count == BOX_TRIES)
        step_fail(box->step, "fewer tries", "%d", BOX_TRIES);
    size_t at = q->try_count++;
    q->tries[at].server = server;
    q->tries[at].sent_ms = box->now_ms;
    q->tries[at].open = true;
    q->tries[at].tcp = tcp;
    q->tries[at].timed_out = q->tries[at].seen = false;
    q->tries[at].edns = np_upstream_has_edns(upstream, box->now_ms);
    q->tries[at].check_case = np_upstream_checks_case(upstream, box->now_ms);
    q->tries[at].probe = probe;
    q->attempt.active += !probe;
    fprintf(box->step->trace, "  %9.3f s  asks %s%s\n", (double)(box->now_ms - BOX_START_MS) / 1000,
            np_addr_format(&upstream->endpoint.addr, text), tcp ? " over TCP" : "");
}

static void go_on(struct box *box)
{
    struct question *q = &box->question;
    const struct np_upstream *group[NP_VIEW_UPSTREAMS_MAX];
    int64_t due_ms = box->now_ms;
    size_t index;
    for (size_t i = 0; i < box->upstream_count; i++)
        group[i] = &box->upstreams[i];
    switch (np_attempt_next(&q->attempt, group, box->upstream_count, box->now_ms, box_below, box, &index, &due_ms)) {
    case NP_ATTEMPT_GIVE_UP:
        finish(box, NULL, 0);
        return;
    case NP_ATTEMPT_WAIT:
        break;
    case NP_ATTEMPT_SEND: {
        bool first = q->attempt.tries == 0;
        send_try(box, index, false, false);
        np_attempt_sent(&q->attempt, index);
        int probe = first ? np_attempt_probe(group, box->upstream_count, index, box->now_ms) : -1;
        if (probe >= 0) {
            np_upstream_failed(&box->upstreams[probe], box->now_ms, 0);
            send_try(box, (size_t)probe, false, true);
        }
        break;
    }
    }
    q->due_ms = due_ms;
}

int64_t dns_due(const struct box *box)
{
    return box->question.open ? box->question.due_ms : NP_JOB_NEVER;
}

void dns_timer(struct box *box)
{
    struct question *q = &box->question;
    for (size_t i = 0; i < q->try_count; i++) {
        struct np_upstream *upstream = &box->upstreams[q->tries[i].server];
        int64_t waited_ms = box->now_ms - q->tries[i].sent_ms;
        if (!q->tries[i].open || q->tries[i].tcp || q->tries[i].probe || q->tries[i].timed_out ||
            waited_ms < np_upstream_rto(upstream))
            continue;
        q->tries[i].timed_out = true;
        np_upstream_failed(upstream, box->now_ms, waited_ms);
    }
    go_on(box);
}

void dns_ask(struct box *box)
{
    struct step *step = box->step;
    struct question *q = &box->question;
    const char *name = step_word(step, "a name"), *type = step_word(step, "a type");
    uint32_t ifindex = step_take(step, "on") ? index_of(box, step_word(step, "an interface")) : 0;
    uint8_t random[NP_NAME_WIRE_MAX / 8 + 1];
    memset(q, 0, sizeof *q);
    box->answer_ms = 0;
    if (local(box, name, type_of(box, type), ifindex) != NP_LOCAL_FORWARD)
        return;
    q->open = true;
    q->sent_name = q->query.qname;
    for (size_t i = 0; i < sizeof random; i++)
        random[i] = (uint8_t)box_below(box, 256);
    np_response_mix_case(&q->sent_name, random);
    q->start_ms = q->attempt.start_ms = box->now_ms;
    go_on(box);
}

static size_t find_server(struct box *box, const char *word)
{
    struct np_endpoint endpoint;
    if (np_endpoint_parse(word, 53, &endpoint))
        step_fail(box->step, "an upstream's address", "%s", word);
    for (size_t i = 0; i < box->upstream_count; i++) {
        if (np_addr_equal(&box->upstreams[i].endpoint.addr, &endpoint.addr))
            return i;
    }
    step_fail(box->step, "one of the upstreams", "%s", word);
}

void dns_expect_asked(struct box *box)
{
    struct step *step = box->step;
    struct question *q = &box->question;
    char text[NP_ADDR_TEXT_MAX];
    bool nobody = step_take(step, "nobody"), tcp = false;
    for (size_t i = 0; i < q->try_count; i++) {
        if (q->tries[i].seen)
            continue;
        const char *word = nobody ? NULL : step_more(step);
        np_addr_format(&box->upstreams[q->tries[i].server].endpoint.addr, text);
        if (!word || find_server(box, word) != q->tries[i].server)
            step_fail(step, word ? word : "nobody", "%s asked", text);
        tcp = step_take(step, "tcp");
        if (tcp != q->tries[i].tcp)
            step_fail(step, tcp ? "TCP" : "UDP", "%s", tcp ? "UDP" : "TCP");
        q->tries[i].seen = true;
    }
    const char *word = step_more(step);
    if (word)
        step_fail(step, word, "no further upstream asked");
}

static size_t find_try(struct box *box, size_t server)
{
    struct question *q = &box->question;
    for (size_t i = q->try_count; q->open && i-- > 0;) {
        if (q->tries[i].open && q->tries[i].server == server)
            return i;
    }
    step_fail(box->step, "a question that this upstream can answer", "none");
}

/* upstream ADDRESS answers RCODE [ADDRESS...] [tc=yes] [id=wrong] [case=lower] */
static size_t write_answer(struct box *box, size_t at, uint8_t out[512])
{
    struct step *step = box->step;
    struct question *q = &box->question;
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
    const char *rcode = step_word(step, "an RCODE");
    bool tc = step_option(step, "tc"), wrong_id = step_option(step, "id"), lower = step_option(step, "case");
    uint8_t packet[512];
    struct np_name name = q->sent_name;
    struct np_query query;
    struct np_addresses addresses = {0};
    struct np_answer answer;
    uint16_t number = 0;
    while (number < 6 && strcmp(names[number], rcode) != 0)
        number++;
    if (number == 6)
        step_fail(step, "an RCODE", "%s", rcode);
    if (lower)
        np_name_lower(&name);
    int len = np_query_write(packet, sizeof packet, (uint16_t)(wrong_id ? ID + 1 : ID), NP_FLAG_RD, &name,
                             q->query.qtype, q->tries[at].edns, false);
    if (len < 0 || np_query_parse(packet, (size_t)len, &query) != NP_QUERY_GOOD)
        step_fail(step, "a query", "none");
    if (number == 0 && !tc)
        box_read_addresses(step, &addresses);
    np_answer_start(&answer, &query, out, 512, (uint16_t)(NP_FLAG_RA | (tc ? NP_FLAG_TC : 0)));
    answer.rcode = number;
    for (size_t i = 0; i < addresses.v4_count; i++)
        np_answer_address(&answer, NP_SECTION_ANSWER, &name, 300, &addresses.v4[i]);
    for (size_t i = 0; i < addresses.v6_count; i++)
        np_answer_address(&answer, NP_SECTION_ANSWER, &name, 300, &addresses.v6[i]);
    return np_answer_finish(&answer);
}

void dns_upstream(struct box *box)
{
    struct step *step = box->step;
    struct question *q = &box->question;
    size_t server = find_server(box, step_word(step, "an upstream"));
    size_t at = find_try(box, server);
    struct np_upstream *upstream = &box->upstreams[server];
    uint8_t message[512];
    if (!step_take(step, "answers"))
        step_fail(step, "upstream ADDRESS answers ...", "something else");
    size_t len = write_answer(box, at, message);
    bool tcp = q->tries[at].tcp;
    struct np_asked asked = {.id = ID,
                             .qname = &q->sent_name,
                             .qtype = q->query.qtype,
                             .check_case = q->tries[at].check_case && !tcp,
                             .edns = q->tries[at].edns,
                             .tcp = tcp};
    enum np_response_verdict verdict = np_response_check(&asked, message, len);
    if (verdict == NP_RESPONSE_FOREIGN)
        return;
    if (tcp)
        upstream->last_answer_ms = box->now_ms;
    else
        np_upstream_answered(upstream, box->now_ms, box->now_ms - q->tries[at].sent_ms);
    q->tries[at].open = false;
    q->attempt.active -= !q->tries[at].probe;
    switch (verdict) {
    case NP_RESPONSE_GOOD:
        finish(box, message, len);
        return;
    case NP_RESPONSE_CASE:
        np_upstream_broke_case(upstream, box->now_ms);
        /* fall through */
    case NP_RESPONSE_TRUNCATED:
        send_try(box, server, true, false);
        q->due_ms = box->now_ms + TCP_WAIT_MS;
        return;
    case NP_RESPONSE_NO_EDNS:
        np_upstream_broke_edns(upstream, box->now_ms);
        send_try(box, server, tcp, false);
        return;
    case NP_RESPONSE_FAILED:
        if (!q->fallback_len) {
            memcpy(q->fallback, message, len);
            q->fallback_len = len;
            q->attempt.fallback_ms = box->now_ms;
        }
        /* fall through */
    default:
        q->attempt.exhausted[server] = true;
        go_on(box);
    }
}
