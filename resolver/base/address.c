#include "resolver/base/address.h"

#include <arpa/inet.h>
#include <endian.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

/* Addresses are compared as two numbers, the high and the low half, since this runs for every packet. An IPv4 address
 * is the top of the high half. */
struct halves {
    uint64_t high, low;
};

/* A row of the registries. Bits beyond its length are zero. */
struct class_net {
    struct halves net;
    uint8_t length;
    enum np_addr_class class;
};

#define V4(a, b, c)    ((uint64_t)(a) << 56 | (uint64_t)(b) << 48 | (uint64_t)(c) << 40)
#define V6(a, b, c, d) ((uint64_t)(a) << 48 | (uint64_t)(b) << 32 | (uint64_t)(c) << 16 | (uint64_t)(d))

/* No row lies in another, so those that a home sees most come first. */
static const struct class_net class_v4[] = {
    {{V4(192, 168, 0), 0}, 16, NP_ADDR_PRIVATE},   {{V4(10, 0, 0), 0}, 8, NP_ADDR_PRIVATE},
    {{V4(172, 16, 0), 0}, 12, NP_ADDR_PRIVATE},    {{V4(127, 0, 0), 0}, 8, NP_ADDR_LOOPBACK},
    {{V4(0, 0, 0), 0}, 8, NP_ADDR_UNSPECIFIED},    {{V4(169, 254, 0), 0}, 16, NP_ADDR_LINK_LOCAL},
    {{V4(100, 64, 0), 0}, 10, NP_ADDR_SHARED},     {{V4(192, 0, 0), 0}, 24, NP_ADDR_RESERVED},
    {{V4(192, 0, 2), 0}, 24, NP_ADDR_RESERVED},    {{V4(198, 18, 0), 0}, 15, NP_ADDR_RESERVED},
    {{V4(198, 51, 100), 0}, 24, NP_ADDR_RESERVED}, {{V4(203, 0, 113), 0}, 24, NP_ADDR_RESERVED},
    {{V4(224, 0, 0), 0}, 4, NP_ADDR_MULTICAST},    {{V4(240, 0, 0), 0}, 4, NP_ADDR_RESERVED},
};

/* The first row that fits decides. */
static const struct class_net class_v6[] = {
    {{V6(0xfc00, 0, 0, 0), 0}, 7, NP_ADDR_ULA},
    {{V6(0xfe80, 0, 0, 0), 0}, 10, NP_ADDR_LINK_LOCAL},
    {{V6(0xff00, 0, 0, 0), 0}, 8, NP_ADDR_MULTICAST},
    {{0, 0}, 128, NP_ADDR_UNSPECIFIED},
    {{0, 1}, 128, NP_ADDR_LOOPBACK},
    {{0, V6(0, 0xffff, 0, 0)}, 96, NP_ADDR_MAPPED},
    {{0, 0}, 96, NP_ADDR_COMPATIBLE},
    {{0, V6(0xffff, 0, 0, 0)}, 96, NP_ADDR_COMPATIBLE}, /* RFC 2765: IPv4-translated */
    {{V6(0x0064, 0xff9b, 0, 0), 0}, 96, NP_ADDR_NAT64},
    {{V6(0x0064, 0xff9b, 1, 0), 0}, 48, NP_ADDR_NAT64},
    {{V6(0x0100, 0, 0, 0), 0}, 64, NP_ADDR_RESERVED},
    {{V6(0x2001, 0x0002, 0, 0), 0}, 48, NP_ADDR_RESERVED},
    {{V6(0x2001, 0x0db8, 0, 0), 0}, 32, NP_ADDR_RESERVED},
    {{V6(0x3fff, 0, 0, 0), 0}, 20, NP_ADDR_RESERVED},
    {{V6(0x2002, 0, 0, 0), 0}, 16, NP_ADDR_6TO4},
};

static struct halves halves_of(const struct np_addr *addr)
{
    struct halves halves;
    memcpy(&halves, addr->bytes, sizeof halves);
    return (struct halves){be64toh(halves.high), be64toh(halves.low)};
}

/* Do the first bits of two addresses agree? */
static bool bits_equal(struct halves a, struct halves b, unsigned bits)
{
    if (bits == 0)
        return true;
    uint64_t differ = a.high ^ b.high;
    if (bits <= 64)
        return differ >> (64 - bits) == 0;
    return differ == 0 && (a.low ^ b.low) >> (128 - bits) == 0;
}

int np_addr_parse(const char *text, struct np_addr *out_addr)
{
    struct np_addr addr = {0};
    if (strchr(text, ':') == NULL) {
        if (inet_pton(AF_INET, text, addr.bytes) != 1)
            return NP_E_MALFORMED;
        addr.family = AF_INET;
        *out_addr = addr;
        return 0;
    }
    char plain[INET6_ADDRSTRLEN];
    const char *percent = strchr(text, '%');
    size_t len = percent ? (size_t)(percent - text) : strlen(text);
    if (len >= sizeof plain)
        return NP_E_MALFORMED;
    memcpy(plain, text, len);
    plain[len] = 0;
    if (inet_pton(AF_INET6, plain, addr.bytes) != 1)
        return NP_E_MALFORMED;
    addr.family = AF_INET6;
    if (percent) {
        char *end = NULL;
        bool digits = percent[1] >= '0' && percent[1] <= '9'; /* strtoull alone would take a space or a sign */
        unsigned long long index = digits ? strtoull(percent + 1, &end, 10) : 0; /* not strtoul: 32 bits saturate */
        if (!digits || *end != 0)
            index = if_nametoindex(percent + 1);
        if (index == 0 || index > UINT32_MAX)
            return NP_E_MALFORMED;
        addr.scope = (uint32_t)index;
    }
    *out_addr = addr;
    return 0;
}

int np_prefix_parse(const char *text, struct np_prefix *out_prefix)
{
    char plain[NP_ADDR_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    if (len >= sizeof plain)
        return NP_E_MALFORMED;
    memcpy(plain, text, len);
    plain[len] = 0;
    struct np_addr addr;
    if (np_addr_parse(plain, &addr) || addr.scope)
        return NP_E_MALFORMED;
    unsigned long max = np_addr_len(&addr) * 8, length = max;
    if (slash) {
        char *end;
        length = strtoul(slash + 1, &end, 10);
        if (slash[1] < '0' || slash[1] > '9' || *end != 0 || length > max)
            return NP_E_MALFORMED;
    }
    struct np_prefix prefix = np_prefix_of(&addr, (uint8_t)length);
    if (!np_addr_equal(&prefix.addr, &addr))
        return NP_E_MALFORMED;
    *out_prefix = prefix;
    return 0;
}

static int port_parse(const char *text, uint16_t *out_port)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != 0 || port == 0 || port > 65535)
        return NP_E_MALFORMED;
    *out_port = (uint16_t)port;
    return 0;
}

int np_endpoint_parse(const char *text, uint16_t default_port, struct np_endpoint *out_endpoint)
{
    struct np_endpoint endpoint = {.port = default_port};
    char plain[NP_ADDR_TEXT_MAX];
    const char *start = text, *stop, *port = NULL;
    if (text[0] == '[') {
        start = text + 1;
        stop = strchr(start, ']');
        if (!stop || (stop[1] != 0 && stop[1] != ':'))
            return NP_E_MALFORMED;
        if (stop[1] == ':')
            port = stop + 2;
    } else {
        const char *colon = strchr(text, ':');
        if (colon && strchr(colon + 1, ':') == NULL)
            port = colon + 1;
        stop = port ? colon : text + strlen(text);
    }
    size_t len = (size_t)(stop - start);
    if (len >= sizeof plain)
        return NP_E_MALFORMED;
    memcpy(plain, start, len);
    plain[len] = 0;
    if (np_addr_parse(plain, &endpoint.addr) || (port && port_parse(port, &endpoint.port)))
        return NP_E_MALFORMED;
    *out_endpoint = endpoint;
    return 0;
}

const char *np_addr_format(const struct np_addr *addr, char buffer[NP_ADDR_TEXT_MAX])
{
    if (addr->family == AF_UNSPEC || !inet_ntop(addr->family, addr->bytes, buffer, NP_ADDR_TEXT_MAX)) {
        memcpy(buffer, "-", 2);
        return buffer;
    }
    if (addr->scope) {
        size_t len = strlen(buffer);
        snprintf(buffer + len, NP_ADDR_TEXT_MAX - len, "%%%u", (unsigned)addr->scope);
    }
    return buffer;
}

const char *np_prefix_format(const struct np_prefix *prefix, char buffer[NP_ADDR_TEXT_MAX])
{
    np_addr_format(&prefix->addr, buffer);
    size_t len = strlen(buffer);
    snprintf(buffer + len, NP_ADDR_TEXT_MAX - len, "/%u", prefix->length);
    return buffer;
}

const char *np_endpoint_format(const struct np_endpoint *endpoint, char buffer[NP_ADDR_TEXT_MAX])
{
    char text[NP_ADDR_TEXT_MAX];
    np_addr_format(&endpoint->addr, text);
    bool v6 = endpoint->addr.family == AF_INET6;
    snprintf(buffer, NP_ADDR_TEXT_MAX, "%s%.55s%s:%u", v6 ? "[" : "", text, v6 ? "]" : "", (unsigned)endpoint->port);
    return buffer;
}

struct np_addr np_addr_from_bytes(const void *bytes, size_t len)
{
    struct np_addr addr = {0};
    if (len == 4 || len == 16) {
        addr.family = len == 4 ? AF_INET : AF_INET6;
        memcpy(addr.bytes, bytes, len);
    }
    return addr;
}

size_t np_addr_len(const struct np_addr *addr)
{
    return addr->family == AF_INET ? 4 : addr->family == AF_INET6 ? 16 : 0;
}

struct np_endpoint np_endpoint_from_sockaddr(const struct sockaddr *sa)
{
    struct np_endpoint endpoint = {0};
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        endpoint.addr = np_addr_from_bytes(&in->sin_addr, 4);
        endpoint.port = ntohs(in->sin_port);
    } else if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        endpoint.addr = np_addr_from_bytes(&in6->sin6_addr, 16);
        endpoint.port = ntohs(in6->sin6_port);
        enum np_addr_class class = np_addr_classify(&endpoint.addr);
        if (class == NP_ADDR_MAPPED)
            endpoint.addr = np_addr_from_bytes(endpoint.addr.bytes + 12, 4);
        else if (class == NP_ADDR_LINK_LOCAL)
            endpoint.addr.scope = in6->sin6_scope_id;
    }
    return endpoint;
}

socklen_t np_endpoint_to_sockaddr(const struct np_endpoint *endpoint, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (endpoint->addr.family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)(void *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(endpoint->port);
        memcpy(&in->sin_addr, endpoint->addr.bytes, 4);
        return sizeof *in;
    }
    if (endpoint->addr.family == AF_INET6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)(void *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(endpoint->port);
        in6->sin6_scope_id = endpoint->addr.scope;
        memcpy(&in6->sin6_addr, endpoint->addr.bytes, 16);
        return sizeof *in6;
    }
    return 0;
}

int np_addr_compare(const struct np_addr *a, const struct np_addr *b)
{
    if (a->family != b->family)
        return a->family < b->family ? -1 : 1;
    int order = memcmp(a->bytes, b->bytes, np_addr_len(a));
    if (order != 0)
        return order;
    return a->scope == b->scope ? 0 : a->scope < b->scope ? -1 : 1;
}

bool np_addr_equal(const struct np_addr *a, const struct np_addr *b)
{
    return np_addr_compare(a, b) == 0;
}

bool np_addr_same_network(const struct np_addr *a, const struct np_addr *b)
{
    return a->family == AF_INET6 && b->family == AF_INET6 && memcmp(a->bytes, b->bytes, 8) == 0;
}

bool np_prefix_contains(const struct np_prefix *prefix, const struct np_addr *addr)
{
    return prefix->addr.family != AF_UNSPEC && prefix->addr.family == addr->family &&
           bits_equal(halves_of(&prefix->addr), halves_of(addr), prefix->length);
}

struct np_prefix np_prefix_of(const struct np_addr *addr, uint8_t length)
{
    struct np_prefix prefix = {.addr = *addr, .length = length};
    size_t max = np_addr_len(addr) * 8;
    if (prefix.length > max)
        prefix.length = (uint8_t)max;
    for (size_t bit = prefix.length; bit < max; bit++)
        prefix.addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> (bit % 8));
    prefix.addr.scope = 0;
    return prefix;
}

enum np_addr_class np_addr_classify(const struct np_addr *addr)
{
    const struct class_net *rows = addr->family == AF_INET ? class_v4 : class_v6;
    size_t count = addr->family == AF_INET ? sizeof class_v4 / sizeof *class_v4 : sizeof class_v6 / sizeof *class_v6;
    if (addr->family != AF_INET && addr->family != AF_INET6)
        return NP_ADDR_NONE;
    struct halves halves = halves_of(addr);
    for (size_t i = 0; i < count; i++) {
        if (bits_equal(rows[i].net, halves, rows[i].length))
            return rows[i].class;
    }
    return NP_ADDR_GLOBAL;
}

const char *np_addr_class_name(enum np_addr_class class)
{
    static const char *const names[] = {
        [NP_ADDR_NONE] = "none",
        [NP_ADDR_UNSPECIFIED] = "unspecified",
        [NP_ADDR_LOOPBACK] = "loopback",
        [NP_ADDR_LINK_LOCAL] = "link-local",
        [NP_ADDR_PRIVATE] = "private",
        [NP_ADDR_SHARED] = "shared",
        [NP_ADDR_ULA] = "ula",
        [NP_ADDR_MAPPED] = "v4-mapped",
        [NP_ADDR_COMPATIBLE] = "v4-compatible",
        [NP_ADDR_NAT64] = "nat64",
        [NP_ADDR_6TO4] = "6to4",
        [NP_ADDR_MULTICAST] = "multicast",
        [NP_ADDR_RESERVED] = "reserved",
        [NP_ADDR_GLOBAL] = "global",
    };
    return (size_t) class < sizeof names / sizeof *names ? names[class] : "unknown";
}

bool np_addr_embedded_v4(const struct np_addr *addr, struct np_addr *out_v4)
{
    switch (np_addr_classify(addr)) {
    case NP_ADDR_MAPPED:
    case NP_ADDR_COMPATIBLE:
        *out_v4 = np_addr_from_bytes(addr->bytes + 12, 4);
        return true;
    case NP_ADDR_NAT64: {
        /* RFC 6052 section 2.2: the local-use /48 carries the address around the zero octet 8. */
        static const uint8_t local[6] = {0x00, 0x64, 0xff, 0x9b, 0x00, 0x01};
        uint8_t v4[4] = {addr->bytes[6], addr->bytes[7], addr->bytes[9], addr->bytes[10]};
        bool is_local = memcmp(addr->bytes, local, sizeof local) == 0;
        *out_v4 = np_addr_from_bytes(is_local ? v4 : addr->bytes + 12, 4);
        return true;
    }
    case NP_ADDR_6TO4:
        *out_v4 = np_addr_from_bytes(addr->bytes + 2, 4);
        return true;
    default:
        return false;
    }
}

bool np_addr_is_private_form(const struct np_addr *addr)
{
    static const uint8_t well_known[12] = {0x00, 0x64, 0xff, 0x9b};
    if (addr->family == AF_INET6 && memcmp(addr->bytes, well_known, sizeof well_known) == 0) {
        struct np_addr inner = np_addr_from_bytes(addr->bytes + sizeof well_known, 4);
        return np_addr_is_private_form(&inner);
    }
    switch (np_addr_classify(addr)) {
    case NP_ADDR_UNSPECIFIED:
    case NP_ADDR_LOOPBACK:
    case NP_ADDR_LINK_LOCAL:
    case NP_ADDR_PRIVATE:
    case NP_ADDR_SHARED:
    case NP_ADDR_ULA:
    case NP_ADDR_MAPPED:
    case NP_ADDR_COMPATIBLE:
    case NP_ADDR_NAT64:
    case NP_ADDR_6TO4:
        return true;
    default:
        return false;
    }
}
