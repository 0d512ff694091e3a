/* addresses: which of the box's addresses are answered, which are published, who is a LAN client, and why the others
 * are not. Pure: a policy and a snapshot of the network go in, a choice comes out. No clock, no memory of the past: the
 * same snapshot always gives the same choice in the same order, so nothing flaps.
 *
 * LAN interfaces: role router: exactly the interfaces named by `lan =`. Role host: those named; where none is named,
 * the interfaces that carry a default route (tunnels excepted); where there is none, any that is up and is not
 * loopback, tunnel, container bridge; and where there is none of these either, a container's own card (veth).
 *
 * Answered, by interface: private (RFC 1918), shared (100.64/10), ULA and global addresses. Never answered: link-local,
 * tentative, dad-failed and temporary ones, loopback, multicast. Deprecated ones are answered, last in order: as long
 * as the kernel holds an old address it is in the set (make before break).
 *
 * Published: RFC 1918 and ULA (100.64/10 where policy says so), at most NP_PUBLISH_V4_MAX and NP_PUBLISH_V6_MAX; a
 * deprecated one only where the family has no preferred one.
 *
 * A link without carrier (cable pulled) keeps its addresses in its own set and in the admit subnets: the kernel still
 * answers for them, and a switch that restarts must not withdraw a name. For a host with several LAN interfaces they
 * leave the primary and published sets as long as another LAN interface with carrier offers that family; a router's
 * addresses are reachable from every LAN whatever the carrier, so there it is not looked at. A link that is switched
 * off (not up) offers nothing. */
#ifndef AGENT_NETWORK_ADDRESSES_H
#define AGENT_NETWORK_ADDRESSES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/network/network.h"
#include "hq/proto/message.h"
#include "resolver/base/admit.h"
#include "resolver/view.h" /* enum np_role */
#include "resolver/view.h"

#define NP_LAN_MAX               16 /* `lan =` entries */
#define NP_PUBLISH_V4_MAX        2  /* DESIGN: what HQ publishes */
#define NP_PUBLISH_V6_MAX        4
#define NP_CHOICE_INTERFACES_MAX NP_NETWORK_LINKS_MAX
#define NP_CHOICE_V4_MAX         8 /* answered addresses of one interface: the published 2, and room for old ones */
#define NP_CHOICE_V6_MAX         8

/* What the configuration says. Zero-initialised: a host whose LAN is found by its default route. */
struct np_address_policy {
    enum np_role role;
    char lan[NP_LAN_MAX][NP_LINK_NAME_MAX];
    size_t lan_count;
    bool publish_shared; /* 100.64/10 is offered to HQ too */
    bool local_only;     /* publish = local-only: nothing is offered to HQ */
    bool no_global;      /* global addresses are not answered on the LAN either */
};

/* Why an address is not answered, or not published. Text: np_address_reason_text. */
#define NP_ADDRESS_REASON_MAP(X)                                                                                       \
    X(NP_ADDRESS_USED, "used", "used")                                                                                 \
    X(NP_ADDRESS_NOT_LAN, "not-lan", "its interface is not a LAN interface")                                           \
    X(NP_ADDRESS_LINK_DOWN, "link-down", "its interface is switched off")                                              \
    X(NP_ADDRESS_LOOPBACK, "loopback", "loopback")                                                                     \
    X(NP_ADDRESS_LINK_LOCAL, "link-local", "link-local: good on one link only")                                        \
    X(NP_ADDRESS_UNUSABLE, "unusable", "not an address that clients can use")                                          \
    X(NP_ADDRESS_TENTATIVE, "tentative", "duplicate address detection has not ended")                                  \
    X(NP_ADDRESS_DAD_FAILED, "dad-failed", "another machine on the link has this address")                             \
    X(NP_ADDRESS_TEMPORARY, "temporary", "temporary (privacy) address")                                                \
    X(NP_ADDRESS_GLOBAL_OFF, "global-off", "global addresses are switched off")                                        \
    X(NP_ADDRESS_GLOBAL, "global", "global: answered on its own interface, not published")                             \
    X(NP_ADDRESS_SHARED, "shared", "100.64.0.0/10: not published")                                                     \
    X(NP_ADDRESS_DEPRECATED, "deprecated", "deprecated, and a preferred one exists")                                   \
    X(NP_ADDRESS_NO_CARRIER, "no-carrier", "no carrier, and another LAN interface has one")                            \
    X(NP_ADDRESS_OVER_LIMIT, "over-limit", "more addresses than are used")                                             \
    X(NP_ADDRESS_LOCAL_ONLY, "local-only", "publish is local-only")

/* The reasons. */
enum np_address_reason {
#define NP_ADDRESS_REASON_ENUM(name, word, text) name,
    NP_ADDRESS_REASON_MAP(NP_ADDRESS_REASON_ENUM)
#undef NP_ADDRESS_REASON_ENUM
};

/* Why an interface is a LAN interface (those before NP_PICK_LOOPBACK), or why not. Text: np_pick_reason_text. */
#define NP_PICK_REASON_MAP(X)                                                                                          \
    X(NP_PICK_NAMED, "named", "lan = names it")                                                                        \
    X(NP_PICK_ROUTE, "route", "it carries a default route")                                                            \
    X(NP_PICK_PLAIN, "plain", "there is no default route, and it is an ordinary interface with an address")            \
    X(NP_PICK_CARD, "card", "there is nothing else: a container's own card")                                           \
    X(NP_PICK_LOOPBACK, "loopback", "loopback")                                                                        \
    X(NP_PICK_DOWN, "down", "it is switched off")                                                                      \
    X(NP_PICK_PORT, "port", "it is a port of a bridge: the addresses are the bridge's")                                \
    X(NP_PICK_TUNNEL, "tunnel", "a tunnel or a dial-up line")                                                          \
    X(NP_PICK_CONTAINER, "container", "made by a container or VM program for its own guests")                          \
    X(NP_PICK_NOT_NAMED, "not-named", "lan = does not name it")                                                        \
    X(NP_PICK_UNNAMED, "unnamed", "lan = names none, and a router's LAN is never guessed")                             \
    X(NP_PICK_NO_ROUTE, "no-route", "another interface carries the default route")                                     \
    X(NP_PICK_NO_ADDRESS, "no-address", "it has no address that clients can use")

/* The reasons. */
enum np_pick_reason {
#define NP_PICK_REASON_ENUM(name, word, text) name,
    NP_PICK_REASON_MAP(NP_PICK_REASON_ENUM)
#undef NP_PICK_REASON_ENUM
};

/* What became of one address of the snapshot. */
struct np_address_verdict {
    uint8_t answered;  /* enum np_address_reason: NP_ADDRESS_USED, or why not */
    uint8_t published; /* likewise */
};

/* One LAN interface and what is answered to a client on it, best first, with the subnets' lengths. */
struct np_choice_interface {
    uint32_t index;
    char name[NP_LINK_NAME_MAX];
    bool running;
    struct np_prefix v4[NP_CHOICE_V4_MAX]; /* the address itself, host bits kept */
    size_t v4_count;
    struct np_prefix v6[NP_CHOICE_V6_MAX];
    size_t v6_count;
    struct np_prefix link_local; /* fe80::/10 address for the listeners; family AF_UNSPEC: none. Never answered */
};

/* The choice. */
struct np_address_choice {
    struct np_choice_interface interfaces[NP_CHOICE_INTERFACES_MAX]; /* LAN interfaces, best first */
    size_t interface_count;
    struct np_addresses primary; /* answered where the ingress interface has no usable address: like publish, with
                                  * shared addresses, and with global ones only where there is nothing else */
    struct np_addresses publish; /* offered to HQ; empty is possible and means: nothing to say, not "withdraw" */
    struct np_admit_subnet subnets[NP_ADMIT_SUBNETS_MAX]; /* connected LAN subnets */
    size_t subnet_count;
    struct np_address_verdict verdicts[NP_NETWORK_ADDRESSES_MAX]; /* one for each address of the snapshot, in order */
    uint8_t links[NP_NETWORK_LINKS_MAX];                          /* enum np_pick_reason, likewise for each link */
    char missing_lan[NP_LAN_MAX][NP_LINK_NAME_MAX];               /* `lan =` names that no interface has now */
    size_t missing_lan_count;
};

/* Chooses. *out_choice is written whole. */
void np_addresses_choose(const struct np_address_policy *policy, const struct np_network *network,
                         struct np_address_choice *out_choice);

/* Puts the choice into a view: interfaces (answered addresses, and the link-local one for admit) and primary set, which
 * are replaced; everything else in the view is left as it is. */
void np_address_choice_to_view(const struct np_address_choice *choice, struct np_view *view);

/* The reason as a phrase for a person. Never NULL; static storage. */
const char *np_address_reason_text(enum np_address_reason reason);

/* Likewise for an interface. */
const char *np_pick_reason_text(enum np_pick_reason reason);

/* The reason as a word for programs: "not-lan", "dad-failed". Never NULL; static storage; stable. */
const char *np_address_reason_word(enum np_address_reason reason);

/* Likewise for an interface: "named", "tunnel". */
const char *np_pick_reason_word(enum np_pick_reason reason);

/* Would a resolver or a listener see a difference (interfaces, answers, primary set, subnets)? Carrier alone is none.
 */
bool np_address_choice_equal(const struct np_address_choice *a, const struct np_address_choice *b);

#endif
