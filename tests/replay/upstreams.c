#include <string.h>

#include "resolver/base/error.h"
#include "resolver/response.h"
#include "tests/replay/box.h"

#define US      1000
#define ANSWERS 512 /* bytes of a scripted answer at most */

/* upstreams ADDRESS...: what is known about those that stay is kept. */
void upstreams_set(struct box *box)
{
    struct np_upstream before[NP_VIEW_UPSTREAMS_MAX];
    size_t count = box->upstream_count;
    memcpy(before, box->upstreams, sizeof before);
    memset(box->no_streams, 0, sizeof box->no_streams);
    box->upstream_count = 0;
    box->hedge.credit = NP_HEDGE_BURST * NP_HEDGE_SHARE;
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

/* The shell of forwarding, as in resolver/forward_question.c and forward_answer.c, for one question. */

static void finish(struct box *box, const uint8_t *message, size_t len)
{
    struct question *q = &box->question;
    struct np_client client = {.ifindex = q->ifindex};
    struct np_recalled recalled;
    q->open = false;
    if (!message && q->fallback_len) {
        message = q->fallback;
        len = q->fallback_len;
    }
    struct np_forward_result result = {.qname = &q->query.qname,
                                       .qtype = q->query.qtype,
                                       .message = message,
                                       .len = len,
                                       .ede = NP_EDE_NO_REACHABLE_AUTHORITY};
    np_recall_take(&box->recall, &box->view, &result, box->now_ms);
    if (!q->waited_for)
        return;
    box->answer_ms = box->now_ms - q->start_ms;
    np_recall_give(&box->recall, &box->view, &client, &q->query, box->now_ms, box->answer, NP_DNS_UDP_MAX, &recalled);
    box->answer_len = recalled.len;
}

/* The question takes long: its client may be told something stale. */
static void tell_late(struct box *box)
{
    struct question *q = &box->question;
    struct np_client client = {.ifindex = q->ifindex};
    struct np_recalled recalled;
    q->told_late = true;
    if (!q->waited_for)
        return;
    np_recall_late(&box->recall, &box->view, &client, &q->query, box->now_ms, box->answer, NP_DNS_UDP_MAX, &recalled);
    if (recalled.len == 0)
        return;
    q->waited_for = false;
    box->answer_len = recalled.len;
    box->answer_ms = box->now_ms - q->start_ms;
}

bool upstreams_offline(void *ctx, const struct np_name *qname)
{
    const struct box *box = ctx;
    (void)qname;
    for (size_t i = 0; i < box->upstream_count; i++) {
        if (!np_upstream_is_dead(&box->upstreams[i]) && np_upstream_may_ask(&box->upstreams[i], box->now_ms))
            return false;
    }
    return true;
}

/* Sends: as a try, or (try NULL) as a ping. */
static void send_query(struct box *box, size_t server, const struct np_try *try)
{
    struct question *q = &box->question;
    char text[NP_ADDR_TEXT_MAX];
    if (q->try_count == BOX_TRIES)
        step_fail(box->step, "fewer tries", "%d", BOX_TRIES);
    size_t at = q->try_count++;
    memset(&q->tries[at], 0, sizeof q->tries[at]);
    q->tries[at].server = server;
    q->tries[at].open = true;
    q->tries[at].ping = try == NULL;
    q->tries[at].try.sent_us = box->now_ms * US;
    if (try) {
        q->tries[at].try = *try;
        q->tries[at].name = q->query.qname;
        if (try->how & NP_TRY_FLAT)
            np_name_lower(&q->tries[at].name);
        else
            np_response_mix_case(&q->tries[at].name, (uint64_t)box_below(box, UINT32_MAX) << 32);
        q->attempt.active += !(try->how & NP_TRY_BESIDE);
    }
    fprintf(box->step->trace, "  %9.3f s  %s %s%s%s\n", (double)(box->now_ms - BOX_START_MS) / 1000,
            try ? "asks" : "pings", np_addr_format(&box->upstreams[server].endpoint.addr, text),
            try && try->stream ? " over TCP" : "", try && (try->how & NP_TRY_BESIDE) ? " beside" : "");
}

static void send_udp(struct box *box, size_t server, unsigned how)
{
    struct np_try try =
        np_try_init(&box->question.attempt, (int)server, &box->upstreams[server], how, box->now_ms, box->now_ms * US);
    send_query(box, server, &try);
}

static void groups(const struct box *box, const struct np_upstream *group[NP_VIEW_UPSTREAMS_MAX])
{
    for (size_t i = 0; i < box->upstream_count; i++)
        group[i] = &box->upstreams[i];
}

static void go_on(struct box *box);

static void send_stream(struct box *box, size_t server, unsigned how, enum np_stream_why why)
{
    struct question *q = &box->question;
    struct np_upstream *upstream = &box->upstreams[server];
    const struct np_upstream *group[NP_VIEW_UPSTREAMS_MAX];
    groups(box, group);
    bool may = np_attempt_may_stream(&q->attempt, group, box->upstream_count, (int)server, upstream, why, box->now_ms);
    if (may && !box->no_streams[server]) {
        struct np_try try =
            np_try_init_stream(&q->attempt, (int)server, upstream, how, why, box->now_ms, box->now_ms * US);
        send_query(box, server, &try);
        np_attempt_streamed(&q->attempt, upstream, box->now_ms);
        q->due_ms = q->attempt.lost_ms;
        return;
    }
    if (may)
        np_upstream_lost_stream(upstream, box->now_ms);
    if (np_attempt_without_stream(&q->attempt, (int)server, why, &how))
        send_udp(box, server, how);
    else
        go_on(box);
}

static void ask_next(struct box *box, size_t index)
{
    struct question *q = &box->question;
    const struct np_upstream *group[NP_VIEW_UPSTREAMS_MAX];
    bool first = q->attempt.tries == 0;
    groups(box, group);
    send_udp(box, index, 0);
    np_attempt_sent(&q->attempt, index, &box->upstreams[index], box->now_ms);
    int beside = first ? np_attempt_beside(group, box->upstream_count, index, box->now_ms, box_below, box) : -1;
    if (beside < 0)
        return;
    send_udp(box, (size_t)beside, NP_TRY_BESIDE);
    np_upstream_probed(&box->upstreams[beside], box->now_ms);
}

static void go_on(struct box *box)
{
    struct question *q = &box->question;
    const struct np_upstream *group[NP_VIEW_UPSTREAMS_MAX];
    size_t index;
    groups(box, group);
    for (;;) {
        switch (
            np_attempt_next(&q->attempt, group, box->upstream_count, box->now_ms, &box->hedge, &index, &q->due_ms)) {
        case NP_ATTEMPT_GIVE_UP:
            finish(box, NULL, 0);
            return;
        case NP_ATTEMPT_WAIT:
            return;
        case NP_ATTEMPT_SEND:
            ask_next(box, index);
            break;
        }
    }
}

int64_t upstreams_due(const struct box *box)
{
    const struct question *q = &box->question;
    int64_t late_ms = q->start_ms + NP_FORWARD_LATE_MS;
    if (!q->open)
        return NP_JOB_NEVER;
    return q->told_late || q->due_ms < late_ms ? q->due_ms : late_ms;
}

void upstreams_timer(struct box *box)
{
    struct question *q = &box->question;
    if (!q->told_late && box->now_ms >= q->start_ms + NP_FORWARD_LATE_MS)
        tell_late(box);
    for (size_t i = 0, count = q->try_count; i < count; i++) {
        struct np_upstream *upstream = &box->upstreams[q->tries[i].server];
        if (!q->tries[i].open || q->tries[i].ping)
            continue;
        (void)np_attempt_timed_out(&q->attempt, (int)q->tries[i].server, &q->tries[i].try, upstream, box->now_ms,
                                   box->now_ms * US);
        if (!q->tries[i].try.timed_out)
            continue;
        if (q->tries[i].try.stream)
            np_upstream_lost_stream(upstream, box->now_ms);
        else if (np_upstream_wants_ping(upstream, q->attempt.start_ms, box->now_ms))
            send_query(box, q->tries[i].server, NULL);
    }
    go_on(box);
}

void upstreams_ask(struct box *box)
{
    struct question *q = &box->question;
    q->open = true;
    q->start_ms = q->attempt.start_ms = box->now_ms;
    np_hedge_earn(&box->hedge);
    go_on(box);
}

/* What scenarios say and expect. */

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

void upstreams_expect_asked(struct box *box)
{
    struct step *step = box->step;
    struct question *q = &box->question;
    char text[NP_ADDR_TEXT_MAX];
    bool nobody = step_take(step, "nobody");
    for (size_t i = 0; i < q->try_count; i++) {
        if (q->tries[i].seen)
            continue;
        const char *word = nobody ? NULL : step_more(step);
        np_addr_format(&box->upstreams[q->tries[i].server].endpoint.addr, text);
        const char *way = q->tries[i].ping ? "ping" : q->tries[i].try.stream ? "TCP" : "UDP";
        if (!word || find_server(box, word) != q->tries[i].server)
            step_fail(step, word ? word : "nobody", "%s asked (%s)", text, way);
        const char *wanted = step_take(step, "tcp") ? "TCP" : step_take(step, "ping") ? "ping" : "UDP";
        if (strcmp(wanted, way) != 0)
            step_fail(step, wanted, "%s", way);
        q->tries[i].seen = true;
    }
    const char *word = step_more(step);
    if (word)
        step_fail(step, word, "no further upstream asked");
}

static const char *health(const struct np_upstream *upstream, int64_t now_ms)
{
    if (!np_upstream_may_ask(upstream, now_ms))
        return "loop";
    if (np_upstream_is_dead(upstream))
        return "dead";
    return upstream->timeouts > 0 ? "suspect" : upstream->last_answer_ms ? "alive" : "untried";
}

void upstreams_expect_upstream(struct box *box)
{
    struct step *step = box->step;
    const struct np_upstream *upstream = &box->upstreams[find_server(box, step_word(step, "an upstream"))];
    const char *word = step_word(step, "alive, suspect, dead, loop or untried"), *seen = health(upstream, box->now_ms);
    const char *wanted_case = step_option(step, "case"), *wanted_edns = step_option(step, "edns");
    const char *checked = np_upstream_checks_case(upstream, box->now_ms) ? "yes" : "no";
    const char *edns = np_upstream_has_edns(upstream, box->now_ms) ? "yes" : "no";
    if (strcmp(word, seen) != 0)
        step_fail(step, word, "%s", seen);
    if (wanted_case && strcmp(wanted_case, checked) != 0)
        step_fail(step, "case checked", "%s", checked);
    if (wanted_edns && strcmp(wanted_edns, edns) != 0)
        step_fail(step, "asked with EDNS", "%s", edns);
}

/* The newest open try to the server, or ping; those of a question that has its answer already are found too. */
static size_t find_try(struct box *box, size_t server, bool ping, bool tcp)
{
    struct question *q = &box->question;
    for (size_t i = q->try_count; i-- > 0;) {
        if (q->tries[i].open && q->tries[i].server == server && q->tries[i].ping == ping &&
            (!tcp || q->tries[i].try.stream))
            return i;
    }
    step_fail(box->step, "a question that this upstream can answer", "none");
}

/* upstream ADDRESS answers RCODE [ADDRESS...] [tc=yes] [id=wrong] [case=lower] [name=wrong] [edns=no] [bare=yes]
 * [ttl=NUMBER] [soa=NUMBER] */
static size_t write_answer(struct box *box, size_t at, uint8_t out[ANSWERS])
{
    struct step *step = box->step;
    struct question *q = &box->question;
    static const char *const names[] = {"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"};
    const char *rcode = step_word(step, "an RCODE"), *edns = step_option(step, "edns");
    bool tc = step_option(step, "tc"), wrong_id = step_option(step, "id"), lower = step_option(step, "case");
    int64_t ttl = step_option_number(step, "ttl", 300), soa = step_option_number(step, "soa", -1);
    bool wrong_name = step_option(step, "name"), bare = step_option(step, "bare");
    uint8_t packet[ANSWERS];
    struct np_name name = q->tries[at].name;
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
    if (wrong_name)
        (void)np_name_parse("another.example", &name);
    int len = np_query_write(packet, sizeof packet, (uint16_t)(wrong_id ? DNS_ID + 1 : DNS_ID), NP_FLAG_RD, &name,
                             q->query.qtype, q->tries[at].try.edns && !edns, false);
    if (len < 0 || np_query_parse(packet, (size_t)len, &query) != NP_QUERY_GOOD)
        step_fail(step, "a query", "none");
    if (number == 0 && !tc)
        box_read_addresses(step, &addresses);
    np_answer_start(&answer, &query, out, ANSWERS, (uint16_t)(NP_FLAG_RA | (tc ? NP_FLAG_TC : 0)));
    answer.rcode = number;
    for (size_t i = 0; i < addresses.v4_count; i++)
        np_answer_address(&answer, NP_SECTION_ANSWER, &name, (uint32_t)ttl, &addresses.v4[i]);
    for (size_t i = 0; i < addresses.v6_count; i++)
        np_answer_address(&answer, NP_SECTION_ANSWER, &name, (uint32_t)ttl, &addresses.v6[i]);
    if (soa >= 0)
        np_answer_soa(&answer, NP_SECTION_AUTHORITY, &name, (uint32_t)soa, &name, &name, 1,
                      (uint32_t[4]){1, 2, 3, 86400});
    size_t size = np_answer_finish(&answer);
    if (!bare)
        return size;
    memset(out + 4, 0, NP_DNS_HEADER_LEN - 4); /* no question, no records */
    return NP_DNS_HEADER_LEN;
}

/* Does what follows from the answer to the try. */
static void carry_out(struct box *box, size_t at, enum np_follow follow, enum np_stream_why why, const uint8_t *message,
                      size_t len)
{
    struct question *q = &box->question;
    size_t server = q->tries[at].server;
    unsigned how = q->tries[at].try.how;
    bool ended = follow == NP_FOLLOW_STREAM || follow == NP_FOLLOW_NEXT || follow == NP_FOLLOW_KEEP;
    if (ended) {
        q->tries[at].open = false;
        q->attempt.active -= !(how & NP_TRY_BESIDE);
    }
    switch (follow) {
    case NP_FOLLOW_DROP:
        return;
    case NP_FOLLOW_DONE:
        q->tries[at].open = false;
        for (size_t i = 0; i < q->try_count; i++) {
            if (q->tries[i].open && !q->tries[i].ping && q->tries[i].server != server)
                np_attempt_beaten(&q->tries[i].try, q->tries[at].try.sent_us, &box->upstreams[q->tries[i].server],
                                  box->now_ms, box->now_ms * US);
        }
        finish(box, message, len);
        return;
    case NP_FOLLOW_STREAM:
    case NP_FOLLOW_ALSO:
        send_stream(box, server, how, why);
        return;
    case NP_FOLLOW_PLAIN:
        if (q->tries[at].try.stream)
            send_stream(box, server, how | NP_TRY_PLAIN, q->tries[at].try.why);
        else
            send_udp(box, server, how | NP_TRY_PLAIN);
        return;
    case NP_FOLLOW_KEEP:
        if (!q->fallback_len) {
            memcpy(q->fallback, message, len);
            q->fallback_len = len;
        }
        break;
    case NP_FOLLOW_NEXT:
    case NP_FOLLOW_HINT:
        break;
    }
    go_on(box);
}

static void answer(struct box *box, size_t server)
{
    struct step *step = box->step;
    struct question *q = &box->question;
    struct np_upstream *upstream = &box->upstreams[server];
    uint8_t message[ANSWERS];
    bool ping = step_take(step, "ping"), tcp = step_take(step, "tcp");
    size_t at = find_try(box, server, ping, tcp);
    struct np_try *try = &q->tries[at].try;
    size_t len = ping ? 0 : write_answer(box, at, message);
    if (ping || !q->open) { /* nobody waits for it */
        q->tries[at].open = false;
        if (try->stream)
            np_upstream_lives(upstream, box->now_ms);
        else
            np_upstream_answered(upstream, box->now_ms, box->now_ms * US - try->sent_us);
        return;
    }
    struct np_asked asked = {.id = DNS_ID,
                             .qname = &q->tries[at].name,
                             .qtype = q->query.qtype,
                             .check_case = try->check_case,
                             .edns = try->edns,
                             .tcp = try->stream};
    enum np_response_verdict verdict = np_response_check(&asked, message, len);
    struct np_answer_facts facts = {0};
    enum np_stream_why why;
    if (verdict == NP_RESPONSE_GOOD) {
        facts.kept_case = memcmp(message + NP_DNS_HEADER_LEN, asked.qname->wire, asked.qname->len) == 0;
        facts.opt = np_response_has_opt(message, len);
    }
    enum np_follow follow = np_attempt_answer(&q->attempt, (int)server, try, upstream, verdict, &facts, box->now_ms,
                                              box->now_ms * US, &why);
    carry_out(box, at, follow, why, message, len);
}

/* upstream ADDRESS answers ..., refuses tcp, takes tcp */
void upstreams_upstream(struct box *box)
{
    struct step *step = box->step;
    size_t server = find_server(box, step_word(step, "an upstream"));
    const char *word = step_word(step, "answers, refuses or takes");
    if (strcmp(word, "answers") == 0) {
        answer(box, server);
        return;
    }
    if ((strcmp(word, "refuses") != 0 && strcmp(word, "takes") != 0) || !step_take(step, "tcp"))
        step_fail(step, "upstream ADDRESS answers ..., refuses tcp or takes tcp", "something else");
    box->no_streams[server] = word[0] == 'r';
}
