/* events: what happened on the box lately, for a person who asks why: a ring of fixed size in memory. Pure: times come
 * in; nothing is written to flash, and a restart forgets it.
 *
 * A change of addresses has a number that ties its events together: seen (the kernel told), answered (the resolver has
 * been told), pushed (HQ has taken it), visible (every name server of the zone that can be asked shows it). */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_EVENTS_MAX     128 /* a day of a restless home, or a month of a quiet one */
#define NP_EVENT_TEXT_MAX 160 /* bytes of the text, with the NUL */

#define NP_HAPPENING_MAP(X)                                                                                            \
    X(NP_HAPPENED_START, "start")             /* the agent began */                                                    \
    X(NP_HAPPENED_SEEN, "seen")               /* a change of addresses was seen */                                     \
    X(NP_HAPPENED_ANSWERED, "answered")       /* the box's own answers follow it */                                    \
    X(NP_HAPPENED_PUSHED, "pushed")           /* HQ has taken it */                                                    \
    X(NP_HAPPENED_VISIBLE, "visible")         /* the zone's name servers show it */                                    \
    X(NP_HAPPENED_INVISIBLE, "not-visible")   /* they do not, after a long time */                                     \
    X(NP_HAPPENED_DIFFERS, "differs")         /* the zone had something else than HQ promised */                       \
    X(NP_HAPPENED_NAME, "name")               /* HQ gave a name, or it was given up */                                 \
    X(NP_HAPPENED_CERTIFICATE, "certificate") /* one was installed */                                                  \
    X(NP_HAPPENED_HQ, "hq")                   /* HQ cannot be asked, or can again */                                   \
    X(NP_HAPPENED_CLOCK, "clock")             /* the clock was set, or the machine was suspended */                    \
    X(NP_HAPPENED_DOCTOR, "doctor")           /* the doctor's verdict is another one */                                \
    X(NP_HAPPENED_PROCESS, "process")         /* a child process ended */

/* What it is. */
enum np_happening {
#define NP_HAPPENING_ENUM(name, word) name,
    NP_HAPPENING_MAP(NP_HAPPENING_ENUM)
#undef NP_HAPPENING_ENUM
};

/* One event. */
struct np_event {
    uint64_t number; /* from 1, never used twice in a process's life */
    int64_t at_s;    /* Unix time by the judged clock */
    int64_t at_ms;   /* of the caller's steady clock */
    enum np_happening what;
    uint64_t change; /* which change of addresses it belongs to, from 1; 0: none */
    int64_t took_ms; /* since that change was seen; -1: it belongs to none */
    char text[NP_EVENT_TEXT_MAX];
};

/* The ring. All members are private; zero-initialised it is empty. */
struct np_events {
    struct np_event ring[NP_EVENTS_MAX];
    uint64_t last;   /* number of the newest; 0: none yet */
    uint64_t change; /* number of the newest change */
    int64_t change_ms;
    bool answered, pushed, settled; /* these have been told of the newest change */
};

/* Adds an event that belongs to no change. text is cut to fit, and made printable. */
void np_events_add(struct np_events *events, enum np_happening what, int64_t now_ms, int64_t now_s, const char *text);

/* A change of addresses was seen at seen_ms: begins the next one. */
void np_events_change(struct np_events *events, int64_t seen_ms, int64_t now_s, const char *text);

/* The newest change has come so far (ANSWERED, PUSHED, VISIBLE, INVISIBLE). Told once a change, and only in this order;
 * returns whether it was news. PUSHED, VISIBLE and INVISIBLE are told again for a push that no change led to. */
bool np_events_step(struct np_events *events, enum np_happening what, int64_t now_ms, int64_t now_s, const char *text);

/* The first event with a number over after that is still there, borrowed until the next one is added; NULL: none. */
const struct np_event *np_events_after(const struct np_events *events, uint64_t after);

/* "seen" and so on; stable. Never NULL; static storage. */
const char *np_happening_word(enum np_happening what);

#endif
