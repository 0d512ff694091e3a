/* news: what the agent knows and the pages tell the person at home: why the name does not open, and which addresses the
 * box had. Pure. It travels in a NEWS frame (agent/front/front.h):
 *
 *   {"verdict": "filtered", "by": "dnsmasq", "checked": UNIX SECONDS, "online": true,
 *    "level": "yellow", "mend": ["rebind-domain-ok=/nifty-babbage.devices.example/"],
 *    "history": [{"at": UNIX SECONDS, "addresses": ["192.168.1.1"]}]}
 *
 * The agent fills in what it knows by itself (no name, no certificate, expired, offline); what only a look at the
 * home's resolvers can tell (filtered, stale and so on) comes from the probe by np_agent_set_verdict. Texts are shown
 * to a person: each is at most a line, and what is not printable is replaced. */
#ifndef AGENT_FRONT_NEWS_H
#define AGENT_FRONT_NEWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_NEWS_BY_MAX        63  /* characters of "by": a program, or a router's address */
#define NP_NEWS_LINE_MAX      399 /* characters of a line of "mend": a configuration line with the name in it */
#define NP_NEWS_LINES_MAX     4
#define NP_NEWS_HISTORY_MAX   8
#define NP_NEWS_ADDRESSES_MAX 4
#define NP_NEWS_ADDRESS_MAX   63 /* as NP_ADDR_TEXT_MAX, without its end */

/* Enumerator, the word in JSON. */
#define NP_VERDICT_MAP(X)                                                                                              \
    X(NP_VERDICT_UNKNOWN, "unknown")               /* nobody has looked yet */                                         \
    X(NP_VERDICT_FINE, "fine")                     /* the home's resolvers answer the name with our addresses */       \
    X(NP_VERDICT_NO_NAME, "no-name")               /* not enrolled yet */                                              \
    X(NP_VERDICT_NO_CERTIFICATE, "no-certificate") /* a name, and no certificate for it yet */                         \
    X(NP_VERDICT_EXPIRED, "expired")               /* the certificate has expired, or is not valid yet */              \
    X(NP_VERDICT_OFFLINE, "offline")               /* no way to the Internet: other resolvers cannot know the name */  \
    X(NP_VERDICT_FILTERED, "filtered")             /* a resolver takes private addresses out of its answers */         \
    X(NP_VERDICT_STALE, "stale")                   /* a resolver still answers with an earlier address */              \
    X(NP_VERDICT_HIJACKED, "hijacked")             /* a resolver answers with somebody else's address */               \
    X(NP_VERDICT_INTERCEPTED, "intercepted")       /* port 53 is answered by somebody on the way */                    \
    X(NP_VERDICT_CAPTIVE, "captive-portal")        /* a portal wants a click before there is an Internet */

/* Why the name does not open, if anything. */
enum np_verdict_kind {
#define NP_VERDICT_ENUM(name, text) name,
    NP_VERDICT_MAP(NP_VERDICT_ENUM)
#undef NP_VERDICT_ENUM
        NP_VERDICT_KINDS
};

/* How the box does (agent/level.h). */
enum np_level { NP_LEVEL_UNKNOWN, NP_LEVEL_GREEN, NP_LEVEL_YELLOW, NP_LEVEL_RED };

/* A verdict with what mends it. */
struct np_verdict {
    enum np_verdict_kind kind;
    char by[NP_NEWS_BY_MAX + 1]; /* who it is: "dnsmasq", "192.168.178.1"; "" where that is not known */
    char mend[NP_NEWS_LINES_MAX][NP_NEWS_LINE_MAX + 1]; /* exact lines or menu paths, the most likely first */
    size_t mend_count;
    int64_t checked_s; /* when it was found; 0: not by a look */
};

/* The addresses that the box had from a moment on. */
struct np_news_addresses {
    int64_t at_s; /* Unix time; 0: the clock was not right yet */
    char addresses[NP_NEWS_ADDRESSES_MAX][NP_NEWS_ADDRESS_MAX + 1];
    size_t count;
};

/* All of it. Zero-initialised it says nothing. */
struct np_news {
    struct np_verdict verdict;
    bool online;                                           /* HQ answered last time, and there is a way out */
    enum np_level level;                                   /* of the whole */
    struct np_news_addresses history[NP_NEWS_HISTORY_MAX]; /* the newest first */
    size_t history_count;
};

/* "green" and so on, "unknown"; stable. Static storage. */
const char *np_level_name(enum np_level level);

/* The word for a kind, as in JSON. Static storage. */
const char *np_verdict_name(enum np_verdict_kind kind);

/* The kind for a word; NP_VERDICT_UNKNOWN for any other, so that an agent may know more than its front. */
enum np_verdict_kind np_verdict_parse(const char *text);

/* Puts addresses in front of the history, unless they are the newest entry's already; the oldest goes when it is full.
 * True when something has changed. */
bool np_news_add_addresses(struct np_news *news, const struct np_news_addresses *addresses);

/* As JSON, malloc'd; NULL when out of memory. */
char *np_news_encode(const struct np_news *news);

/* Parses np_news_encode's JSON. Members that are missing are empty, lists and texts that are too long are cut. Returns
 * 0 or NP_E_MALFORMED. */
int np_news_parse(const char *text, size_t len, struct np_news *out_news);

#endif
