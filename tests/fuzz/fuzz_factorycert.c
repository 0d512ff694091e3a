/* A device's factory certificates: each with its length in two bytes before it, checked against one CA, whose key
 * nobody has any more. Nothing here has a good signature: what comes through the path must end there. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hq/factorycert.h"
#include "resolver/base/error.h"

static const char anchor[] = "-----BEGIN CERTIFICATE-----\n"
                             "MIIBQzCB6aADAgECAhRHUyuvMr9BlbwTJBpJhrE8bnGQvTAKBggqhkjOPQQDAjAW\n"
                             "MRQwEgYDVQQDDAtWZW5kb3IgUm9vdDAgFw0xNjEyMDExOTAyMTVaGA85OTk5MTIz\n"
                             "MTIzNTk1OVowFjEUMBIGA1UEAwwLVmVuZG9yIFJvb3QwWTATBgcqhkjOPQIBBggq\n"
                             "hkjOPQMBBwNCAAQc6zqK6MkKjb8y/ExnDJ3c/wDDY+uQnn0h+UyFoXiSXAedkvUn\n"
                             "NyINaYEpbHvLGo3noHw3VC5SIEVH2fddYlGroxMwETAPBgNVHRMBAf8EBTADAQH/\n"
                             "MAoGCCqGSM49BAMCA0kAMEYCIQDwrFNfEeuqptghysOCEPHLR7H/W0In4EeF0oWg\n"
                             "z5FSVQIhAL1G1YC2YhVfdhnnfyL19vJHvPmRJVbwzdrMdMnbmeIy\n"
                             "-----END CERTIFICATE-----\n";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct np_credential credential;
    struct np_factorycert *check = NULL;
    struct np_refusal refusal;
    size_t used = 0;
    memset(&credential, 0, sizeof credential);
    if (np_factorycert_new(anchor, sizeof anchor - 1, false, &check))
        abort();
    while (size >= 2 && credential.certificate_count < NP_CREDENTIAL_CERTS_MAX) {
        size_t len = (size_t)(data[0] << 8 | data[1]);
        data += 2;
        size -= 2;
        if (len > size)
            len = size;
        if (len > sizeof credential.chain - used)
            break;
        memcpy(credential.chain + used, data, len);
        credential.certificate_len[credential.certificate_count++] = len;
        used += len;
        data += len;
        size -= len;
    }
    if (np_factorycert_check(check, &credential, (const uint8_t *)"x", 1, 0, &refusal) != NP_E_REFUSED)
        abort();
    np_factorycert_free(check);
    return 0;
}
