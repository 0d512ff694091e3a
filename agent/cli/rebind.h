/* rebind: `nameplate config rebind`: the exact lines that let the own name, and nothing else, pass a router's DNS
 * rebinding protection. */
#ifndef AGENT_CLI_REBIND_H
#define AGENT_CLI_REBIND_H

#include <stddef.h>

/* The text for a kind of router: "dnsmasq", "unbound", "openwrt", "pfsense", "adguard",
 * "knot-resolver", "fritzbox", with name (checked
 * by the caller) in it. What is not to be pasted is in comments of that router's syntax. Returns the length, as
 * snprintf does, or NP_E_UNKNOWN for another kind. Pure. */
int np_rebind_text(const char *kind, const char *name, char *out, size_t size);

/* The kinds, in the order in which they are shown; NULL after the last one. Static storage. */
const char *np_rebind_kind(size_t index);

/* Runs `nameplate config rebind`: argv[0] is "rebind". Returns the exit code of cli.h. */
int np_rebind_verb_main(int argc, char **argv);

#endif
