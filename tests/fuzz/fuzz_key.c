#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/identity/keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever reads as a key is written as one that reads as the same key. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct np_private_key key, again;
    uint8_t der[NP_KEY_SEC1_LEN];
    struct np_public_key public;
    uint8_t point[65];
    if (np_public_key_parse(data, size, &public) == 0) {
        np_public_key_encode(&public, point);
        if (memcmp(point, data + size - sizeof point, sizeof point) != 0)
            abort();
    }
    if (np_key_parse(data, size, &key))
        return 0;
    np_key_encode_sec1(&key, der);
    if (np_key_parse(der, sizeof der, &again) || memcmp(&key, &again, sizeof key) != 0)
        abort();
    return 0;
}
