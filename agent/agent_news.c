#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/agent_private.h"
#include "resolver/base/log.h"

enum np_verdict_kind np_agent_verdict(const struct np_agent *agent)
{
    bool online = agent->network.route_count > 0 && !agent->unanswered;
    if (!agent->state.name[0])
        return NP_VERDICT_NO_NAME;
    if (!agent->state.has_chain)
        return NP_VERDICT_NO_CERTIFICATE;
    if (!np_agent_certificate_valid(agent))
        return NP_VERDICT_EXPIRED;
    enum np_verdict_kind probed = agent->news.verdict.kind;
    return probed == NP_VERDICT_UNKNOWN && !online ? NP_VERDICT_OFFLINE : probed;
}

void np_agent_send_news(struct np_agent *agent)
{
    struct np_news *news = malloc(sizeof *news);
    if (!news || !agent->front) {
        free(news);
        return;
    }
    *news = agent->news;
    news->online = agent->network.route_count > 0 && !agent->unanswered;
    struct np_levels levels;
    np_agent_levels(agent, &levels);
    news->level = levels.whole;
    enum np_verdict_kind kind = np_agent_verdict(agent);
    if (kind != news->verdict.kind) /* then nothing else of the probe's fits it */
        news->verdict = (struct np_verdict){.kind = kind};
    char *json = np_news_encode(news);
    free(news);
    if (!json || (agent->news_json && strcmp(json, agent->news_json) == 0)) {
        free(json);
        return;
    }
    free(agent->news_json);
    agent->news_json = json;
    np_agent_tell(agent, agent->front, NP_FRAME('N', 'E', 'W', 'S'), json, NULL, 0);
}

void np_agent_set_verdict(struct np_agent *agent, const struct np_verdict *verdict)
{
    if (verdict->kind != agent->news.verdict.kind)
        np_info("the name at home: %s -> %s", np_verdict_name(agent->news.verdict.kind),
                np_verdict_name(verdict->kind));
    agent->news.verdict = *verdict;
    np_agent_send_news(agent);
}

void np_agent_note_addresses(struct np_agent *agent)
{
    struct np_news_addresses entry = {0};
    int64_t system_s = (int64_t)time(NULL), steady_s = np_agent_steady_s();
    if (np_clock_believed(&agent->clock, system_s, steady_s))
        entry.at_s = system_s;
    for (size_t i = 0; i < agent->choice.interface_count; i++) {
        const struct np_choice_interface *link = &agent->choice.interfaces[i];
        char text[NP_ADDR_TEXT_MAX];
        for (size_t k = 0; k < link->v4_count && entry.count < NP_NEWS_ADDRESSES_MAX; k++)
            snprintf(entry.addresses[entry.count++], sizeof entry.addresses[0], "%s",
                     np_addr_format(&link->v4[k].addr, text));
        for (size_t k = 0; k < link->v6_count && entry.count < NP_NEWS_ADDRESSES_MAX; k++)
            snprintf(entry.addresses[entry.count++], sizeof entry.addresses[0], "%s",
                     np_addr_format(&link->v6[k].addr, text));
    }
    (void)np_news_add_addresses(&agent->news, &entry);
}
