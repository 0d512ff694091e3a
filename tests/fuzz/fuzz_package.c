#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/certificate/package.h"
#include "agent/certificate/pem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct np_package package, again;

/* A PEM text as HQ sends it, and each certificate's DER by itself. The expectations are the leaf's own words, so that
 * an input can get as far as the signatures. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char none[1][NP_NAME_MAX + 1] = {"nifty-babbage.devices.example"};
    uint8_t der[NP_PACKAGE_DER_MAX];
    char why[NP_PACKAGE_WHY_MAX];
    struct np_x509 leaf = {0};
    struct np_pem pem = {(const char *)data, size, 0};
    np_x509_parse(data, size, &leaf);
    long n = np_pem_next(&pem, "CERTIFICATE", der, sizeof der);
    if (n <= 0 || np_x509_parse(der, (size_t)n, &leaf))
        memset(&leaf, 0, sizeof leaf);
    struct np_package_wanted wanted = {.key = &leaf.key,
                                       .names = leaf.name_count ? (const char(*)[NP_NAME_MAX + 1]) leaf.names : none,
                                       .name_count = leaf.name_count ? leaf.name_count : 1,
                                       .now_s = leaf.not_after_s > 0 ? leaf.not_after_s : 1795320000};
    if (np_package_check((const char *)data, size, &wanted, &package, why))
        return 0;
    /* What is kept passes again, and is the same. */
    if (np_package_check(package.chain, strlen(package.chain), &wanted, &again, why) ||
        strcmp(package.chain, again.chain) != 0)
        abort();
    return 0;
}
