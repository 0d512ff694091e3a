#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"
#include "resolver/view.h"

static const struct scheme {
    const char *text;
    enum np_tls_mode tls;
} schemes[] = {
    {"tls://", NP_TLS_STRICT},
    {"opportunistic://", NP_TLS_OPPORTUNISTIC},
};

#define SCHEME_COUNT (sizeof schemes / sizeof *schemes)

static const char trust_word[] = " trust-ad";

/* Takes " trust-ad" off the end of the text. */
static size_t without_trust(const char *text, size_t len, bool *out_trusted)
{
    const size_t word = sizeof trust_word - 1;
    *out_trusted = len > word && memcmp(text + len - word, trust_word, word) == 0;
    return *out_trusted ? len - word : len;
}

static int take_name(const char *text, size_t len, struct np_view_upstream *upstream, const char **out_why)
{
    if (len <= NP_VIEW_AUTH_MAX) {
        for (size_t i = 0; i < len; i++)
            upstream->name[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
    }
    if (np_is_hostname(upstream->name))
        return 0;
    *out_why = "what stands after '#' must be the server's host name";
    return NP_E_MALFORMED;
}

static int take_address(const char *text, size_t len, struct np_view_upstream *upstream, const char **out_why)
{
    char address[NP_ADDR_TEXT_MAX] = "";
    uint16_t port = upstream->tls ? NP_VIEW_UPSTREAM_TLS_PORT : NP_VIEW_UPSTREAM_PORT;
    if (len < sizeof address)
        memcpy(address, text, len);
    int rc = np_endpoint_parse(address, port, &upstream->endpoint);
    enum np_addr_class class = rc ? NP_ADDR_NONE : np_addr_classify(&upstream->endpoint.addr);
    if (!rc && class != NP_ADDR_UNSPECIFIED && class != NP_ADDR_MULTICAST)
        return 0;
    *out_why = "not an address such as 192.0.2.53, [2001:db8::53]:53 or tls://192.0.2.53#dns.example";
    return NP_E_MALFORMED;
}

int np_view_upstream_parse(const char *text, struct np_view_upstream *out_upstream, const char **out_why)
{
    struct np_view_upstream upstream;
    memset(&upstream, 0, sizeof upstream); /* between the members too, so that equal ones have equal bytes */
    size_t len = without_trust(text, strlen(text), &upstream.trusted);
    for (size_t i = 0; i < SCHEME_COUNT; i++) {
        size_t scheme_len = strlen(schemes[i].text);
        if (strncmp(text, schemes[i].text, scheme_len) != 0)
            continue;
        upstream.tls = schemes[i].tls;
        text += scheme_len;
        len -= scheme_len;
        break;
    }
    const char *hash = memchr(text, '#', len);
    size_t address_len = hash ? (size_t)(hash - text) : len;
    int rc = take_address(text, address_len, &upstream, out_why);
    if (!rc && hash && !upstream.tls) {
        *out_why = "a server's name is checked over TLS alone: tls://ADDRESS#NAME";
        rc = NP_E_MALFORMED;
    }
    if (!rc && hash)
        rc = take_name(hash + 1, len - address_len - 1, &upstream, out_why);
    if (!rc && !hash && upstream.tls == NP_TLS_STRICT) {
        *out_why = "tls:// needs the name that the server's certificate carries, as in tls://9.9.9.9#dns.quad9.net; "
                   "opportunistic://ADDRESS encrypts where the server can, and checks nothing";
        rc = NP_E_MISSING;
    }
    if (!rc)
        *out_upstream = upstream;
    return rc;
}

const char *np_view_upstream_format(const struct np_view_upstream *upstream, char buffer[NP_VIEW_UPSTREAM_TEXT_MAX])
{
    char address[NP_ADDR_TEXT_MAX];
    const char *scheme = "";
    for (size_t i = 0; i < SCHEME_COUNT; i++)
        scheme = schemes[i].tls == upstream->tls ? schemes[i].text : scheme;
    snprintf(buffer, NP_VIEW_UPSTREAM_TEXT_MAX, "%s%s%s%s%s", scheme, np_endpoint_format(&upstream->endpoint, address),
             upstream->name[0] ? "#" : "", upstream->name, upstream->trusted ? trust_word : "");
    return buffer;
}

bool np_view_upstream_equal(const struct np_view_upstream *a, const struct np_view_upstream *b)
{
    return a->endpoint.port == b->endpoint.port && np_addr_equal(&a->endpoint.addr, &b->endpoint.addr) &&
           a->tls == b->tls && a->trusted == b->trusted && strcmp(a->name, b->name) == 0;
}

bool np_view_upstream_clear(const struct np_view_upstream *upstream, struct np_endpoint *out_endpoint)
{
    if (upstream->tls == NP_TLS_STRICT)
        return false;
    *out_endpoint = upstream->endpoint;
    if (upstream->tls == NP_TLS_OPPORTUNISTIC)
        out_endpoint->port = NP_VIEW_UPSTREAM_PORT;
    return true;
}
