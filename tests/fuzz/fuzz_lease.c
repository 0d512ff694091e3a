/* The file of a lease: whatever is in it, at most so many servers come out, each once, none that cannot be one. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "agent/lease.h"

#define MAX 8

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
    struct np_endpoint servers[MAX];
    size_t count = np_lease_parse((const char *)data, size, servers, 0, MAX);
    require(count <= MAX, "count");
    for (size_t i = 0; i < count; i++) {
        enum np_addr_class class = np_addr_classify(&servers[i].addr);
        require(class != NP_ADDR_UNSPECIFIED && class != NP_ADDR_MULTICAST && class != NP_ADDR_NONE, "class");
        require(servers[i].port > 0, "port");
        for (size_t k = 0; k < i; k++)
            require(servers[i].port != servers[k].port || !np_addr_equal(&servers[i].addr, &servers[k].addr), "once");
    }
    require(np_lease_parse((const char *)data, size, servers, count, count) == count, "no more");
    return 0;
}
