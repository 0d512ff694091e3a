/* own_names: the names that the box answers for, in the view's form: its own from HQ, what else HQ lets its certificate
 * carry, and the owner's aliases. Pure. */
#ifndef AGENT_OWN_NAMES_H
#define AGENT_OWN_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/certificate/x509.h"
#include "hq/proto/message.h"
#include "resolver/view.h"

#define NP_ALIAS_MAX (NP_VIEW_OWN_MAX - NP_SAN_MAX) /* so that HQ's names and the aliases always fit together */

/* What the names come from. Borrowed. */
struct np_own_names {
    const char *name; /* HQ's name for the device; "": not enrolled */
    const char (*san)[NP_NAME_MAX + 1];
    size_t san_count;
    const struct np_name *aliases;
    size_t alias_count;
    const struct np_x509 *leaf; /* of the certificate that is served; NULL: none */
    bool leaf_valid;            /* it is valid at this moment */
    bool https, dot;            /* https and DNS over TLS are served at all */
};

/* Fills view->own and view->zone. The device's own name comes first, then the other names of san, then the aliases; a
 * name that is there already is not repeated. wildcard is set where san or the leaf has "*.NAME", https and dot
 * where these are served with a valid leaf that covers the name (RFC 6125 section 6.4.3). */
void np_own_names_to_view(const struct np_own_names *names, struct np_view *view);

#endif
