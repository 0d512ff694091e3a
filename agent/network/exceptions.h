/* exceptions: what lets exactly one name pass the DNS rebinding protection of the home's router, by the kind of router:
 * lines to paste, or the menu's path. Pure. `nameplate config rebind` prints them, the doctor chooses among them. */
#ifndef AGENT_NETWORK_EXCEPTIONS_H
#define AGENT_NETWORK_EXCEPTIONS_H

#include <stddef.h>

#define NP_EXCEPTION_MAX 1024 /* bytes of a text: the longest has some 200 and a name of 253 */

/* The text for a kind of router: "dnsmasq", "unbound", "openwrt", "pfsense", "adguard", "knot-resolver", "fritzbox",
 * "nameplate", with name (checked by the caller) in it. What is not to be pasted is in comments of that router's
 * syntax. Returns the length, as snprintf does, or NP_E_UNKNOWN for another kind. */
int np_exception_text(const char *kind, const char *name, char *out, size_t size);

/* The kinds, in the order in which they are shown; NULL after the last one. Static storage. */
const char *np_exception_kind(size_t index);

/* Where the text goes, for a person: "dnsmasq: a line in dnsmasq.conf ..."; NULL for an unknown kind. Static storage.
 */
const char *np_exception_title(const char *kind);

#endif
