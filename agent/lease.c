#include "agent/lease.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "resolver/base/text.h"

/* A piece of the text. */
struct span {
    const char *at;
    size_t len;
};

/* The servers found. */
struct found {
    struct np_endpoint *servers;
    size_t count, max;
    size_t first; /* of this file's */
};

static bool is_one_of(char c, const char *set)
{
    return c != 0 && strchr(set, c) != NULL;
}

/* Takes the longest beginning without those characters off the span, and one of them behind it. */
static struct span take(struct span *from, const char *separators)
{
    struct span word = {from->at, 0};
    while (word.len < from->len && !is_one_of(from->at[word.len], separators))
        word.len++;
    size_t used = word.len < from->len ? word.len + 1 : word.len;
    from->at += used;
    from->len -= used;
    return word;
}

static struct span trim(struct span span)
{
    while (span.len > 0 && is_one_of(span.at[0], " \t\r")) {
        span.at++;
        span.len--;
    }
    while (span.len > 0 && is_one_of(span.at[span.len - 1], " \t\r"))
        span.len--;
    return span;
}

static bool equals(struct span span, const char *text)
{
    return span.len == strlen(text) && strncasecmp(span.at, text, span.len) == 0;
}

static void add(struct found *found, struct span text)
{
    char buffer[NP_ADDR_TEXT_MAX];
    struct np_endpoint server;
    if (text.len == 0 || text.len >= sizeof buffer || memchr(text.at, 0, text.len) || found->count == found->max)
        return;
    memcpy(buffer, text.at, text.len);
    buffer[text.len] = 0;
    char *hash = strchr(buffer, '#'); /* dnsmasq's, networkd's */
    int64_t port = 53;
    if (hash)
        *hash = 0;
    if (np_addr_parse(buffer, &server.addr) || (hash && np_parse_int(hash + 1, 1, UINT16_MAX, &port)))
        return;
    server.port = (uint16_t)port;
    enum np_addr_class class = np_addr_classify(&server.addr);
    if (class == NP_ADDR_UNSPECIFIED || class == NP_ADDR_MULTICAST)
        return;
    for (size_t i = 0; i < found->count; i++) {
        if (found->servers[i].port == server.port && np_addr_equal(&found->servers[i].addr, &server.addr))
            return;
    }
    found->servers[found->count++] = server;
}

static void add_all(struct found *found, struct span list)
{
    while (list.len > 0)
        add(found, take(&list, " \t,;\"'"));
}

/* KEY=VALUE, as shells and networkd write it. */
static void parse_assignment(struct found *found, struct span key, struct span value)
{
    static const char *const keys[] = {
        "dns", "domain_name_servers", "dhcp6_name_servers", "dhcp6_dns", "rdnss", "name_servers", "nd_rdnss"};
    static const char prefix[] = "new_";
    size_t skip = sizeof prefix - 1;
    if (equals(key, "server")) {
        if (value.len > 0 && value.at[0] != '/')
            add(found, trim(value));
        return;
    }
    if (key.len > skip && strncasecmp(key.at, prefix, skip) == 0)
        key = (struct span){key.at + skip, key.len - skip};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (equals(key, keys[i]))
            add_all(found, value);
    }
}

static void parse_line(struct found *found, struct span line)
{
    struct span rest = line = trim(line), key;
    struct span word = take(&rest, " \t");
    rest = trim(rest);
    if (line.len == 0 || is_one_of(line.at[0], "#;"))
        return;
    if (equals(word, "nameserver")) {
        add(found, take(&rest, " \t#"));
    } else if (equals(word, "lease") || equals(word, "lease6")) {
        found->count = found->first; /* a newer one */
    } else if (equals(word, "option")) {
        word = take(&rest, " \t");
        if (equals(word, "domain-name-servers") || equals(word, "dhcp6.name-servers"))
            add_all(found, rest);
    } else {
        rest = equals(word, "export") ? rest : line;
        key = take(&rest, "=");
        parse_assignment(found, trim(key), rest);
    }
}

size_t np_lease_parse(const char *text, size_t len, struct np_endpoint *servers, size_t count, size_t max)
{
    struct found found = {servers, count, max, count};
    struct span rest = {text, len};
    while (rest.len > 0)
        parse_line(&found, take(&rest, "\n"));
    return found.count;
}
