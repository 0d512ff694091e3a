/* test_ca: certificates for tests, made on the spot: P-256 chains with any names, dates and flaws. */
#ifndef TESTS_SUPPORT_TEST_CA_H
#define TESTS_SUPPORT_TEST_CA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/identity/keys.h"

#define TEST_CA_PEM_MAX 4096

/* What goes into a certificate. Names are CNs; sans may be NULL. */
struct test_certificate {
    const char *subject, *issuer;
    const struct np_public_key *key;
    const struct np_private_key *signer;
    const char *const *sans;
    size_t san_count;
    bool ca;
    int64_t not_before_s, not_after_s;
};

/* A key from a number: the same number gives the same key. */
struct np_private_key test_ca_key(uint8_t number);

/* Writes the certificate's DER; returns its length. Fails the test when it does not fit. */
size_t test_ca_der(const struct test_certificate *certificate, uint8_t *out, size_t size);

/* Appends the certificate as PEM to text (a NUL-terminated string with size bytes of room). */
void test_ca_pem(const struct test_certificate *certificate, char *text, size_t size);

#endif
