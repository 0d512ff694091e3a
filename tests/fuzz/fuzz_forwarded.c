/* X-Forwarded-For: whatever a client and a proxy have put together, one address without a scope comes out, or none. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/api/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct np_addr client, longer;
    char text[NP_ADDR_TEXT_MAX];
    char *value = malloc(size + 16);
    if (!value)
        return 0;
    memcpy(value, data, size);
    value[size] = 0;
    if (np_forwarded_client(value, &client) == 0) {
        require(client.family == AF_INET || client.family == AF_INET6, "family");
        require(client.scope == 0, "scope");
        require(np_addr_classify(&client) != NP_ADDR_MAPPED, "mapped");
        require(np_forwarded_client(np_addr_format(&client, text), &longer) == 0 && np_addr_equal(&client, &longer),
                "printed and read again");
    }
    /* What the proxy appends is what counts. */
    memcpy(value + strlen(value), ",192.0.2.1", 11);
    require(np_forwarded_client(value, &client) == 0 && client.family == AF_INET && client.bytes[0] == 192, "appended");
    free(value);
    return 0;
}
