/* listeners: the agent's listening sockets: one for each service on each LAN address, and DNS on 127.0.0.1 too where it
 * has another port than 53. The agent opens them (it alone
 * may bind to ports under 1024) and keeps them, so that a child that starts anew gets the same ones.
 *
 * A change of addresses goes in the order make before break: np_listeners_want marks, np_listeners_open opens what is
 * new, the owner hands out LSTN for the fresh ones, the new view, DROP for the ones that are gone, and
 * np_listeners_sweep closes them. An address that cannot be bound (in use, not there yet) is no failure of the whole:
 * it is tried again with growing pauses, and its error is shown by the status. */
#ifndef AGENT_LISTENERS_H
#define AGENT_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/config.h"
#include "agent/network/addresses.h"
#include "resolver/base/address.h"
#include "resolver/base/channel.h"
#include "resolver/listen.h"

#define NP_LISTENERS_MAX         240 /* 5 sockets on 48 addresses */
#define NP_LISTENER_RETRY_MS     20  /* first: a child may not have closed the old socket yet; doubles to the cap */
#define NP_LISTENER_RETRY_CAP_MS 30000

/* Who gets the socket. */
enum np_listener_owner { NP_LISTEN_FOR_RESOLVER, NP_LISTEN_FOR_FRONT };

/* One socket, open or to be opened. */
struct np_listener {
    struct np_endpoint local;
    enum np_listen_kind kind;
    uint32_t ifindex; /* of the interface that has the address now */
    int fd;           /* -1: not open */
    int error;        /* why not: -errno; 0: open, or not tried yet */
    int reported;     /* the error that was logged last; the owner's */
    bool fresh;       /* opened since the last np_listeners_settle */
    bool wanted;
    int64_t retry_ms;
    unsigned failures;
};

/* All of them. Zero-initialised it is empty. */
struct np_listeners {
    struct np_listener items[NP_LISTENERS_MAX];
    size_t count;
    bool over; /* some addresses have no listener: over the limit */
};

/* "dns-udp" and so on, as LSTN has it. Static storage. */
const char *np_listener_kind_name(enum np_listen_kind kind);

/* Whose it is. */
enum np_listener_owner np_listener_owner(enum np_listen_kind kind);

/* Marks what the choice and the configuration want; opens and closes nothing. */
void np_listeners_want(struct np_listeners *listeners, const struct np_agent_config *config,
                       const struct np_address_choice *choice);

/* Opens what is wanted, not open and due at now_ms. Returns when to call it again, NP_JOB_NEVER: not needed. */
int64_t np_listeners_open(struct np_listeners *listeners, int64_t now_ms);

/* Which listeners np_listeners_encode takes. */
enum np_listener_filter { NP_LISTENERS_OPEN, NP_LISTENERS_FRESH, NP_LISTENERS_GONE };

/* The JSON of a LSTN or DROP frame for the owner's listeners, and their descriptors in the same order. *out_json is
 * malloc'd, NULL when there are none. At most NP_CHANNEL_FDS_MAX are taken. Returns 0 or -ENOMEM. */
int np_listeners_encode(const struct np_listeners *listeners, enum np_listener_owner owner,
                        enum np_listener_filter filter, char **out_json, int out_fds[NP_CHANNEL_FDS_MAX],
                        size_t *out_fd_count);

/* The fresh ones have been handed out. */
void np_listeners_settle(struct np_listeners *listeners);

/* Closes and forgets what is not wanted any more. */
void np_listeners_sweep(struct np_listeners *listeners);

/* Closes all. */
void np_listeners_close(struct np_listeners *listeners);

#endif
