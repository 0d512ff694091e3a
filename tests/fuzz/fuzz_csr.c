/* A CSR as a device may send it, checked against one name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hq/csr.h"
#include "resolver/base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct np_csr_expect expect = {.names = {"nifty-babbage.devices.example"}, .name_count = 1};
    struct np_public_key key;
    struct np_refusal refusal;
    int rc = np_csr_check(data, size, &expect, &key, &refusal);
    if (rc != 0 && (rc != NP_E_REFUSED || refusal.problem.status < 400))
        abort();
    return 0;
}
