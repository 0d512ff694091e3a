#include "agent/level.h"

static enum np_level red_if(bool bad)
{
    return bad ? NP_LEVEL_RED : NP_LEVEL_GREEN;
}

static enum np_level yellow_if(bool doubtful)
{
    return doubtful ? NP_LEVEL_YELLOW : NP_LEVEL_GREEN;
}

static bool is_turned_away(const struct np_level_facts *facts)
{
    return facts->state == NP_ENROL_BLOCKED || facts->state == NP_ENROL_REFUSED;
}

static enum np_level of_name(const struct np_level_facts *facts)
{
    if (facts->has_name)
        return NP_LEVEL_GREEN;
    return is_turned_away(facts) ? NP_LEVEL_RED : NP_LEVEL_YELLOW;
}

static enum np_level of_certificate(const struct np_level_facts *facts)
{
    int64_t late_s = facts->life_s / 4 < NP_LEVEL_LATE_S ? facts->life_s / 4 : NP_LEVEL_LATE_S;
    if (!facts->has_certificate)
        return is_turned_away(facts) ? NP_LEVEL_RED : NP_LEVEL_YELLOW;
    return facts->valid ? yellow_if(facts->left_s < late_s) : NP_LEVEL_RED;
}

static enum np_level of_hq(const struct np_level_facts *facts)
{
    if (is_turned_away(facts) || facts->silent_s >= NP_LEVEL_SILENT_S)
        return NP_LEVEL_RED;
    return yellow_if(facts->failing || facts->silent_s >= NP_LEVEL_MISSED_S);
}

static enum np_level of_listeners(const struct np_level_facts *facts)
{
    if (facts->listeners_failed == 0)
        return NP_LEVEL_GREEN;
    return facts->listeners_failed >= facts->listeners ? NP_LEVEL_RED : NP_LEVEL_YELLOW;
}

/* What is in the way of the name at home. What is no business of the home's resolvers is another part's. */
static enum np_level of_verdict(enum np_verdict_kind verdict)
{
    switch (verdict) {
    case NP_VERDICT_HIJACKED:
        return NP_LEVEL_RED; /* the name leads to somebody else */
    case NP_VERDICT_OFFLINE:
    case NP_VERDICT_FILTERED:
    case NP_VERDICT_STALE:
    case NP_VERDICT_INTERCEPTED:
    case NP_VERDICT_CAPTIVE:
        return NP_LEVEL_YELLOW;
    default:
        return NP_LEVEL_GREEN;
    }
}

void np_level_judge(const struct np_level_facts *facts, struct np_levels *out_levels)
{
    struct np_levels levels = {
        .name = of_name(facts),
        .certificate = of_certificate(facts),
        .hq = of_hq(facts),
        .clock = yellow_if(!facts->clock_right), /* certificates are judged by a better time */
        .addresses = red_if(!facts->has_address),
        .processes = yellow_if(facts->starting),
        .listeners = of_listeners(facts),
        .state_folder = yellow_if(facts->unstored || facts->damaged),
        .doctor = of_verdict(facts->verdict),
        .whole = NP_LEVEL_GREEN,
    };
#define NP_LEVEL_WORST(part) levels.whole = levels.part > levels.whole ? levels.part : levels.whole;
    NP_LEVEL_PART_MAP(NP_LEVEL_WORST)
#undef NP_LEVEL_WORST
    *out_levels = levels;
}
