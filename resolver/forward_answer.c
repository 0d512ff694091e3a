#include <stdlib.h>
#include <string.h>

#include "resolver/forward_private.h"

static bool is_under_way(const struct question *question, const struct remote *remote)
{
    for (const struct pending *pending = question->tries; pending; pending = pending->next) {
        if (pending->connection && !pending->connection->retired && pending->remote == remote)
            return true;
    }
    return false;
}

static void without_stream(struct question *question, struct remote *remote, unsigned how, enum np_stream_why why)
{
    int index = np_forward_index(question, remote);
    if (!np_attempt_without_stream(&question->attempt, index, why, &how) || np_forward_udp_send(question, remote, how))
        np_forward_unreachable(question, remote);
}

void np_forward_over_stream(struct question *question, struct remote *remote, unsigned how, enum np_stream_why why)
{
    int64_t now = (int64_t)uv_now(question->forward->loop);
    const struct np_upstream *states[NP_VIEW_UPSTREAMS_MAX];
    struct group *group = question->group;
    for (size_t i = 0; i < group->count; i++)
        states[i] = &group->remotes[i]->state;
    if (is_under_way(question, remote))
        return;
    if (!np_attempt_may_stream(&question->attempt, states, group->count, np_forward_index(question, remote),
                               &remote->state, why, now) ||
        np_forward_stream_send(question, remote, how, why)) {
        without_stream(question, remote, how, why);
        return;
    }
    np_attempt_streamed(&question->attempt, &remote->state, now);
    np_forward_set_due(question, question->attempt.lost_ms);
}

void np_forward_stream_lost(struct pending *pending)
{
    struct question *question = pending->question;
    struct remote *remote = pending->remote;
    bool over_tls = pending->connection && pending->connection->tls;
    np_forward_try_end(pending);
    /* TLS is not to be had: an opportunistic server may be asked in clear text from now on. */
    if (over_tls && np_forward_way(remote) == NP_UPSTREAM_CLEAR &&
        np_forward_udp_send(question, remote, pending->try.how) == 0)
        return;
    without_stream(question, remote, pending->try.how, pending->try.why);
}

static void keep_fallback(struct question *question, const uint8_t *message, size_t len)
{
    if (question->fallback || !(question->fallback = malloc(len)))
        return;
    memcpy(question->fallback, message, len);
    question->fallback_len = len;
}

/* Servers that were asked before the one that has answered. */
static void note_beaten(struct question *question, const struct pending *winner, int64_t now, int64_t now_us)
{
    for (struct pending *pending = question->tries; pending; pending = pending->next) {
        if (pending->socket && pending->remote != winner->remote)
            np_attempt_beaten(&pending->try, winner->try.sent_us, &pending->remote->state, now, now_us);
    }
}

static void ask_plain(const struct pending *pending)
{
    struct question *question = pending->question;
    unsigned how = pending->try.how | NP_TRY_PLAIN;
    int rc = pending->connection ? np_forward_stream_send(question, pending->remote, how, pending->try.why)
                                 : np_forward_udp_send(question, pending->remote, how);
    if (rc)
        np_forward_unreachable(question, pending->remote);
}

/* Does what follows. */
static void carry_out(struct pending *pending, enum np_follow follow, enum np_stream_why why, const uint8_t *message,
                      size_t len)
{
    struct question *question = pending->question;
    struct remote *remote = pending->remote;
    switch (follow) {
    case NP_FOLLOW_DROP:
        break;
    case NP_FOLLOW_DONE:
        question->trusted = remote->server.trusted;
        np_forward_finish(question, message, len);
        break;
    case NP_FOLLOW_STREAM:
        np_forward_try_end(pending);
        np_forward_over_stream(question, remote, pending->try.how, why);
        break;
    case NP_FOLLOW_ALSO:
        question->forward->stats.case_broken++;
        np_forward_over_stream(question, remote, pending->try.how, why);
        break;
    case NP_FOLLOW_PLAIN:
        ask_plain(pending);
        break;
    case NP_FOLLOW_KEEP:
        keep_fallback(question, message, len);
        /* fall through */
    case NP_FOLLOW_NEXT:
        np_forward_try_end(pending);
        /* fall through */
    case NP_FOLLOW_HINT:
        remote->errors++;
        np_forward_set_due(question, (int64_t)uv_now(question->forward->loop));
        break;
    }
}

bool np_forward_received(struct pending *pending, const uint8_t *message, size_t len)
{
    struct question *question = pending->question;
    struct remote *remote = pending->remote;
    int64_t now = (int64_t)uv_now(question->forward->loop), now_us = np_forward_us();
    struct np_answer_facts facts = {0};
    enum np_stream_why why;
    struct np_name sent;
    np_forward_sent_name(pending, &sent);
    struct np_asked asked = {
        .id = pending->id,
        .qname = &sent,
        .qtype = question->qtype,
        .check_case = pending->try.check_case,
        .edns = pending->try.edns,
        .tcp = pending->try.stream,
    };
    enum np_response_verdict verdict = np_response_check(&asked, message, len);
    if (verdict == NP_RESPONSE_GOOD) {
        facts.kept_case = memcmp(message + NP_DNS_HEADER_LEN, sent.wire, sent.len) == 0;
        facts.opt = np_attempt_wants_opt(&pending->try, &remote->state) && np_response_has_opt(message, len);
    }
    enum np_follow follow = np_attempt_answer(&question->attempt, np_forward_index(question, remote), &pending->try,
                                              &remote->state, verdict, &facts, now, now_us, &why);
    if (follow == NP_FOLLOW_DONE)
        note_beaten(question, pending, now, now_us);
    carry_out(pending, follow, why, message, len);
    return follow != NP_FOLLOW_DROP;
}
