/* address: IPv4 and IPv6 addresses and prefixes as plain values: parsing, printing, classes, and what may be published.
 *
 * struct np_addr is a value: copied freely, compared with np_addr_equal. IPv4 sits in the first 4 of its 16 bytes. */
#ifndef RESOLVER_BASE_ADDRESS_H
#define RESOLVER_BASE_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define NP_ADDR_TEXT_MAX 64 /* an IPv6 address, "%ifname", "/128" or "]:65535", and the final NUL */

/* An address. family is AF_INET, AF_INET6 or AF_UNSPEC (no address). scope is an interface index for fe80::/10, else 0.
 */
struct np_addr {
    uint8_t family;
    uint8_t bytes[16];
    uint32_t scope;
};

/* An address with a prefix length: a connected subnet or an allow entry. */
struct np_prefix {
    struct np_addr addr;
    uint8_t length; /* 0..32 or 0..128 */
};

/* An address and a port (host byte order). */
struct np_endpoint {
    struct np_addr addr;
    uint16_t port;
};

/* What kind of address it is, by the IANA special-purpose registries (RFC 6890) and RFC 4193. The forms that carry an
 * IPv4 address inside (mapped, NAT64, 6to4, compatible) are classes of their own; np_addr_embedded_v4 gets the inner
 * one. */
enum np_addr_class {
    NP_ADDR_NONE,        /* AF_UNSPEC */
    NP_ADDR_UNSPECIFIED, /* 0.0.0.0/8, :: */
    NP_ADDR_LOOPBACK,    /* 127/8, ::1 */
    NP_ADDR_LINK_LOCAL,  /* 169.254/16, fe80::/10 */
    NP_ADDR_PRIVATE,     /* RFC 1918 */
    NP_ADDR_SHARED,      /* 100.64/10, RFC 6598 (carrier-grade NAT) */
    NP_ADDR_ULA,         /* fc00::/7 */
    NP_ADDR_MAPPED,      /* ::ffff:0:0/96 */
    NP_ADDR_COMPATIBLE,  /* ::/96 other than :: and ::1; ::ffff:0:0:0/96 (IPv4-translated) */
    NP_ADDR_NAT64,       /* 64:ff9b::/96 and 64:ff9b:1::/48 */
    NP_ADDR_6TO4,        /* 2002::/16 */
    NP_ADDR_MULTICAST,   /* 224/4, ff00::/8 */
    NP_ADDR_RESERVED,    /* 240/4, documentation and benchmarking ranges, 2001:db8::/32, 3fff::/20, 100::/64 */
    NP_ADDR_GLOBAL       /* everything else */
};

/* Parses "192.0.2.1", "2001:db8::1" or "fe80::1%3" / "fe80::1%eth0". Returns 0 or NP_E_MALFORMED. */
int np_addr_parse(const char *text, struct np_addr *out_addr);

/* Parses "ADDR/LEN"; without "/LEN" the whole address. Host bits must be zero. Returns 0 or NP_E_MALFORMED. */
int np_prefix_parse(const char *text, struct np_prefix *out_prefix);

/* Parses "ADDR", "ADDR:PORT" (IPv4) or "[ADDR]:PORT"; default_port where none is given. Returns 0 or NP_E_MALFORMED. */
int np_endpoint_parse(const char *text, uint16_t default_port, struct np_endpoint *out_endpoint);

/* Writes the address ("fe80::1%3" with a scope) to buffer of NP_ADDR_TEXT_MAX bytes and returns buffer. "-" when unset.
 */
const char *np_addr_format(const struct np_addr *addr, char buffer[NP_ADDR_TEXT_MAX]);

/* Writes "ADDR/LEN" to buffer of NP_ADDR_TEXT_MAX bytes and returns buffer. */
const char *np_prefix_format(const struct np_prefix *prefix, char buffer[NP_ADDR_TEXT_MAX]);

/* Writes "ADDR:PORT" or "[ADDR]:PORT" to buffer of NP_ADDR_TEXT_MAX bytes and returns buffer. */
const char *np_endpoint_format(const struct np_endpoint *endpoint, char buffer[NP_ADDR_TEXT_MAX]);

/* An address from raw network-order bytes: 4 for AF_INET, 16 for AF_INET6; any other length gives AF_UNSPEC. */
struct np_addr np_addr_from_bytes(const void *bytes, size_t len);

/* Number of bytes of the address: 4, 16, or 0 for AF_UNSPEC. */
size_t np_addr_len(const struct np_addr *addr);

/* Address and port of a socket address; AF_UNSPEC for other families. A v4-mapped IPv6 address is given as IPv4. */
struct np_endpoint np_endpoint_from_sockaddr(const struct sockaddr *sa);

/* Fills out and returns its length, 0 for AF_UNSPEC. */
socklen_t np_endpoint_to_sockaddr(const struct np_endpoint *endpoint, struct sockaddr_storage *out);

/* Equal in family, bytes and scope. */
bool np_addr_equal(const struct np_addr *a, const struct np_addr *b);

/* Are both IPv6 addresses of one /64, which may all be one host's? Never for IPv4. */
bool np_addr_same_network(const struct np_addr *a, const struct np_addr *b);

/* Order by family, bytes, scope: <0, 0, >0. */
int np_addr_compare(const struct np_addr *a, const struct np_addr *b);

/* Is addr inside prefix? Never across families. Scope is not looked at. */
bool np_prefix_contains(const struct np_prefix *prefix, const struct np_addr *addr);

/* The network of addr with its host bits cleared. length is cut to the family's maximum. */
struct np_prefix np_prefix_of(const struct np_addr *addr, uint8_t length);

/* The class; see enum np_addr_class. */
enum np_addr_class np_addr_classify(const struct np_addr *addr);

/* A word for the class ("private", "loopback", ...). Static storage. */
const char *np_addr_class_name(enum np_addr_class class);

/* The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address. Returns false for any other. */
bool np_addr_embedded_v4(const struct np_addr *addr, struct np_addr *out_v4);

/* Would an answer with this address reach into a home (the rebinding filter's list, DESIGN "resolver's rules" 6)? True
 * for unspecified, loopback, link-local, private, shared, ULA, and every embedding form whatever it embeds, but for one:
 * 64:ff9b::/96 counts as the IPv4 address in it, since behind a DNS64 every IPv4 server has such an address (RFC 6147),
 * and RFC 6052 section 3.1 keeps private ones out of it. */
bool np_addr_is_private_form(const struct np_addr *addr);

#endif
