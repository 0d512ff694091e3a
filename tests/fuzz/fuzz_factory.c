/* The factory's files on the box: a key and a chain in PEM, a zero byte between them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/identity/factory.h"
#include "resolver/base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct np_factory factory;
    char error[NP_FACTORY_ERROR_MAX] = "";
    char *text = calloc(1, size + 2); /* two texts, whatever comes */
    if (!text)
        return 0;
    memcpy(text, data, size);
    int rc = np_factory_parse_certificate(text, text + strlen(text) + (strlen(text) < size ? 1 : 0), &factory, error);
    if (rc != 0 && (rc != NP_E_CONFIG || !error[0]))
        abort();
    if (rc == 0 && (factory.certificate_count == 0 || factory.certificate_count > NP_CREDENTIAL_CERTS_MAX))
        abort();
    free(text);
    return 0;
}
