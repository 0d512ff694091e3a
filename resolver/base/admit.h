/* admit: the one decision "may this source talk to us at all?", asked by every listener (53, 80, 443, 853).
 *
 * Served are the subnets that are connected on LAN interfaces, routed prefixes named by `allow =`, fe80::/10 arriving
 * on a LAN interface, and loopback arriving on loopback. Everything else, the WAN above all, gets nothing. struct
 * np_admit is a plain value that is filled whole from a view snapshot. */
#ifndef RESOLVER_BASE_ADMIT_H
#define RESOLVER_BASE_ADMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"

#define NP_ADMIT_SUBNETS_MAX 64 /* connected LAN subnets: 32 interfaces with one of each family */
#define NP_ADMIT_ALLOW_MAX   32 /* `allow =` entries a person would write */

/* A subnet that is connected on one LAN interface. */
struct np_admit_subnet {
    struct np_prefix prefix;
    uint32_t ifindex;
};

/* Who is served. Zero-initialised it admits loopback alone. */
struct np_admit {
    struct np_admit_subnet subnets[NP_ADMIT_SUBNETS_MAX];
    size_t subnet_count;
    struct np_prefix allow[NP_ADMIT_ALLOW_MAX];
    size_t allow_count;
    uint32_t loopback_ifindex; /* 1 on Linux; 0 means 1 */
};

/* Adds a connected subnet. Returns 0 or NP_E_LIMIT. */
int np_admit_add_subnet(struct np_admit *admit, const struct np_prefix *prefix, uint32_t ifindex);

/* Adds an allow entry. Returns 0 or NP_E_LIMIT. */
int np_admit_add_allow(struct np_admit *admit, const struct np_prefix *prefix);

/* Is a packet or connection from source, arriving on interface ifindex, served? ifindex 0 (unknown) admits only `allow`
 * entries and loopback sources. A v4-mapped source is judged as its IPv4 address. A connected subnet counts only on its
 * own interface, so that a LAN source spoofed on the WAN gets nothing. */
bool np_admit(const struct np_admit *admit, const struct np_addr *source, uint32_t ifindex);

#endif
