/* probe_judge: what the answers to the probe mean: does the box's name work for the devices of the home, and if not,
 * who is in the way. Pure: answers and what is known go in, a verdict for each server and one for the whole come out.
 *
 * Asked are: the zone's own servers; every resolver that the home was offered (DHCP, router advertisements) and the
 * gateway; and the box's own resolver. Each of the first two kinds is asked for the own name, for a fresh name below
 * rebind-test.<zone> (HQ answers a private address), for one below plain-test.<zone> (a public one), and what its
 * software is called; the own resolver for the own name alone. Fresh names are in nobody's cache and nobody's list. */
#ifndef AGENT_NETWORK_PROBE_JUDGE_H
#define AGENT_NETWORK_PROBE_JUDGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/network/probe_read.h"
#include "hq/proto/message.h"

#define NP_PROBE_SERVERS_MAX 16 /* asked in one round: 6 of the zone, 8 of the home, the own one */
#define NP_PROBE_PAST_MAX    8  /* addresses that the box had before */
#define NP_PROBE_WHY_MAX     256

enum np_probe_role { NP_PROBE_ZONE, NP_PROBE_OFFERED, NP_PROBE_GATEWAY, NP_PROBE_SELF };

/* The questions to one server. */
enum np_probe_item { NP_PROBE_OWN4, NP_PROBE_OWN6, NP_PROBE_REBIND, NP_PROBE_PLAIN, NP_PROBE_VERSION, NP_PROBE_ITEMS };

/* One server and its answers. An item that was not asked is told by asked. */
struct np_probe_server {
    struct np_endpoint server;
    enum np_probe_role role;
    bool asked[NP_PROBE_ITEMS];
    struct np_probe_answer answers[NP_PROBE_ITEMS];
};

/* What is known without asking. */
struct np_probe_facts {
    struct np_addresses published; /* what HQ has confirmed that the zone should have; where it has not, what is offered
                                    * to it; empty: nothing (publish = local-only, no address) */
    bool confirmed;                /* HQ has confirmed it, and the zone has had time to follow */
    struct np_addresses local;     /* what the box answers itself, on any interface */
    struct np_addr past[NP_PROBE_PAST_MAX]; /* addresses it had before */
    size_t past_count;
    bool homes_resolver; /* the home's devices ask this box for everything: what is filtered upstream does not reach
                            them */
    bool hq_works;       /* HQ answered lately, over TLS that was checked */
};

#define NP_PROBE_VERDICT_MAP(X)                                                                                        \
    X(NP_PROBE_FINE, "fine")                                                                                           \
    X(NP_PROBE_FILTERED, "filtered")         /* private addresses are taken out of answers */                          \
    X(NP_PROBE_STALE, "stale")               /* it gives addresses of before, or says that there is no such name */    \
    X(NP_PROBE_BLOCKED, "blocked")           /* this one name is answered with nothing or nonsense; others work */     \
    X(NP_PROBE_HIJACKED, "hijacked")         /* it answers what nobody has put there */                                \
    X(NP_PROBE_INTERCEPTED, "intercepted")   /* another server answers in the place of the one that was asked */       \
    X(NP_PROBE_FAILING, "failing")           /* it answers, but cannot resolve */                                      \
    X(NP_PROBE_REFUSING, "refusing")         /* it does not serve this box */                                          \
    X(NP_PROBE_NO_ANSWER, "no-answer")       /* nothing came */                                                        \
    X(NP_PROBE_NO_INTERNET, "no-internet")   /* of the whole: nobody outside can be asked */                           \
    X(NP_PROBE_PORTAL, "captive-portal")     /* of the whole: a login page stands before the Internet */               \
    X(NP_PROBE_UNPUBLISHED, "not-published") /* nothing is to be in public DNS, and nothing is */                      \
    X(NP_PROBE_UNTESTED, "not-tested")

/* The verdicts. */
enum np_probe_verdict {
#define NP_PROBE_VERDICT_ENUM(name, word) name,
    NP_PROBE_VERDICT_MAP(NP_PROBE_VERDICT_ENUM)
#undef NP_PROBE_VERDICT_ENUM
};

#define NP_PROBE_SIGNATURE_MAP(X)                                                                                      \
    X(NP_SIGNATURE_NONE, "none")                                                                                       \
    X(NP_SIGNATURE_DNSMASQ, "dnsmasq")             /* empty NOERROR without SOA, EDE 15; or its name */                \
    X(NP_SIGNATURE_UNBOUND, "unbound")             /* empty NOERROR; its name */                                       \
    X(NP_SIGNATURE_KNOT_RESOLVER, "knot-resolver") /* REFUSED with EDE 18; or its name */                              \
    X(NP_SIGNATURE_NAMEPLATE, "nameplate")         /* empty NOERROR with SOA and EDE 15: another box like this one */  \
    X(NP_SIGNATURE_NODATA, "nodata")               /* bare empty NOERROR: Unbound, FRITZ!Box, pfSense, others */       \
    X(NP_SIGNATURE_ZEROS, "zeros")                 /* 0.0.0.0, ::, 127.0.0.1: block lists (AdGuard Home, Pi-hole) */   \
    X(NP_SIGNATURE_NXDOMAIN, "nxdomain")                                                                               \
    X(NP_SIGNATURE_REFUSED, "refused")

/* How a filter shows itself. */
enum np_probe_signature {
#define NP_SIGNATURE_ENUM(name, word) name,
    NP_PROBE_SIGNATURE_MAP(NP_SIGNATURE_ENUM)
#undef NP_SIGNATURE_ENUM
};

/* What one server's answers mean. */
struct np_probe_finding {
    enum np_probe_verdict verdict;
    enum np_probe_signature signature; /* of FILTERED and BLOCKED */
    bool excepted;                     /* FINE, though it filters other names: an exception stands there already */
    char why[NP_PROBE_WHY_MAX];        /* a sentence for a person */
};

/* The whole. */
struct np_probe_result {
    struct np_probe_finding servers[NP_PROBE_SERVERS_MAX];
    enum np_probe_verdict verdict;      /* the worst that a person should do something about; FINE */
    size_t culprit;                     /* which server it is about; NP_PROBE_SERVERS_MAX: none of them */
    bool zone_answered;                 /* one of the zone's servers could be asked */
    struct np_addresses zone;           /* what it has then */
    char summary[2 * NP_PROBE_WHY_MAX]; /* one or two sentences for a person */
};

/* Judges count (at most NP_PROBE_SERVERS_MAX) servers. *out_result is written whole. */
void np_probe_judge(const struct np_probe_facts *facts, const struct np_probe_server *servers, size_t count,
                    struct np_probe_result *out_result);

/* "filtered" and so on; stable. Never NULL; static storage. */
const char *np_probe_verdict_word(enum np_probe_verdict verdict);

/* "dnsmasq" and so on; stable. Never NULL; static storage. */
const char *np_probe_signature_word(enum np_probe_signature signature);

/* "zone", "offered", "gateway", "self". Static storage. */
const char *np_probe_role_word(enum np_probe_role role);

#endif
