/* rebind: the filter against DNS rebinding on forwarded answers (DESIGN "The resolver's rules" 6). Pure.
 *
 * An answer from outside that names an address inside the home lets a web page reach into it. Every private form counts
 * (np_addr_is_private_form), in A and AAAA records of whatever class (some stub resolvers look at the type alone) and
 * in the ipv4hint and ipv6hint of SVCB and HTTPS (RFC 9460), alone or mixed with public ones, whatever CNAMEs stand
 * before it. */
#ifndef RESOLVER_REBIND_H
#define RESOLVER_REBIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/message.h"
#include "resolver/view.h"

enum np_rebind {
    NP_REBIND_PASS,
    NP_REBIND_STRIP, /* only the additional section names a private address: pass the answer without that section */
    NP_REBIND_BLOCK  /* NODATA with EDE 15 */
};

/* Judges a whole response (well-formed: np_walk goes through it, else BLOCK). Passed are names under the view's device
 * zone whose address lies in a connected LAN subnet: another nameplate box in this home. Both the question and the
 * record's owner must lie in that zone, so that a CNAME from elsewhere does not profit. Answers to the view's
 * exceptions (rebind_allow) pass whole; where the filter is off, everything does. out_addr (may be NULL) is the address
 * that was found unless PASS; AF_UNSPEC where the answer is malformed. */
enum np_rebind np_rebind_check(const struct np_view *view, const uint8_t *message, size_t len,
                               struct np_addr *out_addr);

/* Would both views judge every message alike? False also where that is merely not certain. */
bool np_rebind_same(const struct np_view *a, const struct np_view *b);

#endif
