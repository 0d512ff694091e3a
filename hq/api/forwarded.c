#include "hq/api/forwarded.h"

#include <string.h>

#include "resolver/base/error.h"

#define BLANK " \t"

int np_forwarded_client(const char *value, struct np_addr *out_client)
{
    char text[NP_ADDR_TEXT_MAX];
    struct np_addr addr, inner;
    struct np_endpoint endpoint;
    if (!value || !*value)
        return NP_E_NOT_FOUND;
    const char *comma = strrchr(value, ','), *start = comma ? comma + 1 : value;
    start += strspn(start, BLANK);
    size_t len = strlen(start);
    while (len > 0 && strchr(BLANK, start[len - 1]))
        len--;
    if (len == 0 || len >= sizeof text || memchr(start, '%', len))
        return NP_E_MALFORMED;
    memcpy(text, start, len);
    text[len] = 0;
    if (np_addr_parse(text, &addr)) {
        if (np_endpoint_parse(text, 0, &endpoint))
            return NP_E_MALFORMED;
        addr = endpoint.addr;
    }
    if (np_addr_classify(&addr) == NP_ADDR_MAPPED && np_addr_embedded_v4(&addr, &inner))
        addr = inner;
    *out_client = addr;
    return 0;
}
