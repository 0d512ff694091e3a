#include "agent/network/exceptions.h"

#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"

/* before, the name, after. dnsmasq and Unbound take the name with all below it: below the own name nobody else lives.
 */
static const struct {
    const char *kind, *title, *before, *after;
} kinds[] = {
    {"dnsmasq", "dnsmasq: a line in dnsmasq.conf (or a file in /etc/dnsmasq.d/), then restart dnsmasq",
     "rebind-domain-ok=/", "/\n"},
    {"unbound", "Unbound: lines in unbound.conf, then unbound-control reload", "server:\n    private-domain: \"",
     "\"\n"},
    {"openwrt", "OpenWrt: typed in its shell (or: Network, DHCP and DNS, Filter, Domain whitelist)",
     "uci add_list dhcp.@dnsmasq[0].rebind_domain='", "'\nuci commit dhcp\n/etc/init.d/dnsmasq restart\n"},
    {"pfsense", "pfSense and OPNsense: Services, DNS Resolver, General Settings, Custom options",
     "server:\n    private-domain: \"", "\"\n"},
    {"adguard",
     "AdGuard Home lets private addresses pass; where a list blocks the name: Filters, Custom filtering rules", "@@||",
     "^$important\n"},
    {"knot-resolver", "Knot Resolver 5: a line in kresd.conf before other policies, then restart kresd",
     "policy.add(policy.suffix(policy.FLAGS('ALLOW_LOCAL'), policy.todnames({'", ".'})))\n"},
    {"nameplate", "another box with nameplate as router: a line in its nameplate.conf, then restart it",
     "rebind-allow = {\"", "\"}\n"},
    {"fritzbox", "FRITZ!Box: Home Network, Network, Network Settings, DNS Rebind Protection, Host name exceptions", "",
     "\n"},
};

#define KIND_COUNT (sizeof kinds / sizeof kinds[0])

const char *np_exception_kind(size_t index)
{
    return index < KIND_COUNT ? kinds[index].kind : NULL;
}

int np_exception_text(const char *kind, const char *name, char *out, size_t size)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kinds[i].kind, kind) != 0)
            continue;
        return snprintf(out, size, "%s%s%s", kinds[i].before, name, kinds[i].after);
    }
    return NP_E_UNKNOWN;
}

const char *np_exception_title(const char *kind)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kinds[i].kind, kind) == 0)
            return kinds[i].title;
    }
    return NULL;
}
