#include "resolver/view.h"

#include <string.h>

#include "resolver/base/error.h"
#include "resolver/cache.h"

void np_view_init(struct np_view *view)
{
    memset(view, 0, sizeof *view);
    view->ttl = NP_VIEW_TTL_DEFAULT;
    view->canary = true;
    view->inflight_limit = NP_VIEW_INFLIGHT;
    view->https_port = NP_VIEW_HTTPS_PORT;
    view->dot_port = NP_VIEW_DOT_PORT;
    view->cache = NP_CACHE_SIZE_DEFAULT;
}

const struct np_view_interface *np_view_interface(const struct np_view *view, uint32_t index)
{
    for (size_t i = 0; i < view->interface_count; i++) {
        if (view->interfaces[i].index == index)
            return &view->interfaces[i];
    }
    return NULL;
}

static bool same_forward(const struct np_view_forward *a, const struct np_view_forward *b)
{
    if (a->to_count != b->to_count || !np_name_equal(&a->zone, &b->zone))
        return false;
    for (size_t i = 0; i < a->to_count; i++) {
        if (!np_view_upstream_equal(&a->to[i], &b->to[i]))
            return false;
    }
    return true;
}

bool np_view_same_forwards(const struct np_view *a, const struct np_view *b)
{
    if (a->forward_count != b->forward_count)
        return false;
    for (size_t i = 0; i < a->forward_count; i++) {
        if (!same_forward(&a->forwards[i], &b->forwards[i]))
            return false;
    }
    return true;
}

bool np_view_usable(const struct np_addr *addr)
{
    switch (np_addr_classify(addr)) {
    case NP_ADDR_NONE:
    case NP_ADDR_UNSPECIFIED:
    case NP_ADDR_LOOPBACK:
    case NP_ADDR_LINK_LOCAL:
    case NP_ADDR_MULTICAST:
        return false;
    default:
        return true;
    }
}

int np_view_pattern_parse(const char *text, struct np_view_pattern *out_pattern)
{
    struct np_view_pattern pattern;
    memset(&pattern, 0, sizeof pattern);
    pattern.below = strncmp(text, "*.", 2) == 0;
    if (np_name_parse(text + (pattern.below ? 2 : 0), &pattern.name) || pattern.name.len <= 1)
        return NP_E_MALFORMED;
    *out_pattern = pattern;
    return 0;
}

const char *np_view_pattern_format(const struct np_view_pattern *pattern, char buffer[NP_NAME_TEXT_MAX + 2])
{
    size_t at = 0;
    if (pattern->below) {
        memcpy(buffer, "*.", 2);
        at = 2;
    }
    np_name_format(&pattern->name, buffer + at);
    return buffer;
}

bool np_view_pattern_matches(const struct np_view_pattern *pattern, const struct np_name *name)
{
    if (!pattern->below)
        return np_name_equal(name, &pattern->name);
    return name->len > pattern->name.len && np_name_within(name, &pattern->name);
}

bool np_view_filters(const struct np_view *view)
{
    return view->rebind_filter == NP_FILTER_AUTO ? view->role == NP_ROLE_ROUTER : view->rebind_filter == NP_FILTER_ON;
}

static int admit_subnet(struct np_admit *admit, const struct np_prefix *address, uint32_t index)
{
    struct np_prefix subnet = np_prefix_of(&address->addr, address->length);
    for (size_t i = 0; i < admit->subnet_count; i++) {
        const struct np_admit_subnet *have = &admit->subnets[i];
        if (have->ifindex == index && have->prefix.length == subnet.length &&
            np_addr_equal(&have->prefix.addr, &subnet.addr))
            return 0;
    }
    return np_admit_add_subnet(admit, &subnet, index);
}

/* np_admit serves fe80::/10 on every interface it knows, so a link-local subnet takes no place beside another. */
static int admit_interface(struct np_admit *admit, const struct np_view_interface *interface)
{
    const struct np_prefix *link_local = NULL;
    size_t before = admit->subnet_count;
    int rc = 0;
    for (size_t i = 0; i < interface->v4_count + interface->v6_count && !rc; i++) {
        const struct np_prefix *address =
            i < interface->v4_count ? &interface->v4[i] : &interface->v6[i - interface->v4_count];
        if (address->addr.family == AF_INET6 && np_addr_classify(&address->addr) == NP_ADDR_LINK_LOCAL)
            link_local = address;
        else
            rc = admit_subnet(admit, address, interface->index);
    }
    if (!rc && link_local && admit->subnet_count == before)
        rc = admit_subnet(admit, link_local, interface->index);
    return rc;
}

int np_view_admit(const struct np_view *view, struct np_admit *out_admit)
{
    struct np_admit admit = {0};
    int rc = 0;
    for (size_t i = 0; i < view->interface_count && !rc; i++) {
        if (view->interfaces[i].lan)
            rc = admit_interface(&admit, &view->interfaces[i]);
    }
    for (size_t i = 0; i < view->allow_count; i++) {
        if (np_admit_add_allow(&admit, &view->allow[i]))
            rc = NP_E_LIMIT;
    }
    *out_admit = admit;
    return rc;
}
