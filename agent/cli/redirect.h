/* redirect: `nameplate config redirect`: nftables rules by which a router leads clients that ask a DNS server of their
 * own choice to this box. */
#ifndef AGENT_CLI_REDIRECT_H
#define AGENT_CLI_REDIRECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "resolver/base/address.h"

#define NP_REDIRECT_EXCEPT_MAX 16 /* machines that may ask whom they like */

/* What the rules are about. Borrowed. */
struct np_redirect {
    const char *const *lan; /* interfaces; no quotes in their names */
    size_t lan_count;       /* at least 1 */
    uint16_t port;          /* where the box answers DNS */
    struct np_prefix except[NP_REDIRECT_EXCEPT_MAX];
    size_t except_count;
    bool reject_dot; /* DNS over TLS and over QUIC to others */
};

/* Writes the rules as a file for nft -f: it makes the table anew each time it is read. */
void np_redirect_write(FILE *out, const struct np_redirect *what);

/* Runs `nameplate config redirect`: argv[0] is "redirect". Returns the exit code of cli.h. */
int np_redirect_verb_main(int argc, char **argv);

#endif
