#include "agent/events.h"

#include <string.h>

const char *np_happening_word(enum np_happening what)
{
    static const char *const words[] = {
#define NP_HAPPENING_WORD(name, word) [name] = word,
        NP_HAPPENING_MAP(NP_HAPPENING_WORD)
#undef NP_HAPPENING_WORD
    };
    return (size_t)what < sizeof words / sizeof *words ? words[what] : "unknown";
}

static struct np_event *add(struct np_events *events, enum np_happening what, int64_t now_ms, int64_t now_s,
                            const char *text)
{
    struct np_event *event = &events->ring[events->last % NP_EVENTS_MAX];
    size_t len = 0;
    *event = (struct np_event){.number = ++events->last, .at_s = now_s, .at_ms = now_ms, .what = what, .took_ms = -1};
    for (; text[len] && len < sizeof event->text - 1; len++)
        event->text[len] = (unsigned char)text[len] < 0x20 || text[len] == 0x7f ? '?' : text[len];
    /* No piece of a character is left at a cut. */
    while (text[len] && len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
        len--;
    event->text[len] = 0;
    return event;
}

void np_events_add(struct np_events *events, enum np_happening what, int64_t now_ms, int64_t now_s, const char *text)
{
    add(events, what, now_ms, now_s, text);
}

void np_events_change(struct np_events *events, int64_t seen_ms, int64_t now_s, const char *text)
{
    struct np_event *event = add(events, NP_HAPPENED_SEEN, seen_ms, now_s, text);
    event->change = ++events->change;
    event->took_ms = 0;
    events->change_ms = seen_ms;
    events->answered = events->pushed = events->settled = false;
}

/* The mark of the newest change for that step; NULL: it is no step. */
static bool *mark_of(struct np_events *events, enum np_happening what)
{
    switch (what) {
    case NP_HAPPENED_ANSWERED:
        return &events->answered;
    case NP_HAPPENED_PUSHED:
        return &events->pushed;
    case NP_HAPPENED_VISIBLE:
    case NP_HAPPENED_INVISIBLE:
        return &events->settled;
    default:
        return NULL;
    }
}

bool np_events_step(struct np_events *events, enum np_happening what, int64_t now_ms, int64_t now_s, const char *text)
{
    bool *mark = mark_of(events, what);
    bool belongs = mark && events->change > 0 && !*mark;
    if (!mark || (!belongs && what == NP_HAPPENED_ANSWERED))
        return false;
    struct np_event *event = add(events, what, now_ms, now_s, text);
    if (belongs) {
        *mark = true;
        event->change = events->change;
        event->took_ms = now_ms > events->change_ms ? now_ms - events->change_ms : 0;
    }
    return true;
}

const struct np_event *np_events_after(const struct np_events *events, uint64_t after)
{
    uint64_t oldest = events->last > NP_EVENTS_MAX ? events->last - NP_EVENTS_MAX + 1 : 1;
    uint64_t number = after < oldest ? oldest : after + 1;
    return after < events->last ? &events->ring[(number - 1) % NP_EVENTS_MAX] : NULL;
}
