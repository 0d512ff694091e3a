/* integrate: `nameplate config integrate`: the exact lines that make another resolver of the home ask this box for its
 * own names, and for nothing else. */
#ifndef AGENT_CLI_INTEGRATE_H
#define AGENT_CLI_INTEGRATE_H

#include <stddef.h>
#include <stdio.h>

#include "resolver/base/address.h"

/* What the lines are about. Borrowed. */
struct np_integrate {
    const char *const *names; /* host names, the one that HQ gave first */
    size_t name_count;
    struct np_endpoint server; /* where the other resolver finds this box */
};

/* Writes the lines for a kind of resolver: "dnsmasq", "openwrt", "unbound", "adguard", "pihole",
 * "knot-resolver". What is not for
 * the program itself is in comments of its syntax. Returns 0 or NP_E_UNKNOWN for another kind. */
int np_integrate_write(FILE *out, const char *kind, const struct np_integrate *what);

/* The kinds, in the order in which they are shown; NULL after the last one. Static storage. */
const char *np_integrate_kind(size_t index);

/* Runs `nameplate config integrate`: argv[0] is "integrate". Returns the exit code of cli.h. */
int np_integrate_verb_main(int argc, char **argv);

#endif
