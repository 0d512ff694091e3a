/* dnr: the options by which a home's DHCP server and router tell its devices of the box's DNS over TLS (RFC 9463,
 * Discovery of Network-designated Resolvers). Pure.
 *
 * Each encoder writes one instance: the name that the certificate carries, the addresses of one LAN interface,
 * alpn=dot, and the port where it is not 853 (SvcParams as in RFC 9460 section 2.2, without address hints as RFC 9463
 * section 3.1.8 wants it). */
#ifndef AGENT_DNR_H
#define AGENT_DNR_H

#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/name.h"

#define NP_DNR_V4_CODE       162  /* DHCPv4 */
#define NP_DNR_V6_CODE       144  /* DHCPv6, and the type in a router advertisement */
#define NP_DNR_ADDRESSES_MAX 12   /* of one family on one interface, as the view has it */
#define NP_DNR_PRIORITY      1    /* of one resolver there is only one (RFC 9463 section 3.1.1; 0 would be an alias) */
#define NP_DNR_RA_LIFETIME_S 1800 /* three times the longest pause between advertisements (RFC 9463 section 6.1) */
#define NP_DNR_OPTION_MAX    512  /* bytes of an option; in DHCPv4 255 without RFC 3396 */
#define NP_DNR_TEXT_MAX      (NP_DNR_OPTION_MAX * 3) /* as hex with colons, with its NUL */

/* What is told. */
struct np_dnr {
    struct np_name name;
    uint16_t port;
    struct np_addr v4[NP_DNR_ADDRESSES_MAX], v6[NP_DNR_ADDRESSES_MAX];
    size_t v4_count, v6_count;
};

/* The value of DHCPv4 option 162 (RFC 9463 section 5.1). Returns its length, NP_E_MISSING without an IPv4 address, or
 * NP_E_LIMIT over 255 bytes. */
long np_dnr_dhcp4(const struct np_dnr *dnr, uint8_t out[NP_DNR_OPTION_MAX]);

/* The value of DHCPv6 option 144 (RFC 9463 section 4.1). Returns its length, NP_E_MISSING without an IPv6 address, or
 * NP_E_LIMIT. */
long np_dnr_dhcp6(const struct np_dnr *dnr, uint8_t out[NP_DNR_OPTION_MAX]);

/* The whole option of a router advertisement (RFC 9463 section 6.1), type and length included, filled up to 8 bytes.
 * Returns its length, NP_E_MISSING without an IPv6 address, or NP_E_LIMIT. */
long np_dnr_ra(const struct np_dnr *dnr, uint8_t out[NP_DNR_OPTION_MAX]);

/* Writes bytes as "00:2c:0a", which is how dnsmasq, Kea and udhcpd read them. Returns buffer. */
const char *np_dnr_hex(const uint8_t *data, size_t len, char buffer[NP_DNR_TEXT_MAX]);

#endif
