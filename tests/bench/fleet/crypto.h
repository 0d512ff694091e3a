/* crypto: keys for thousands of boxes. See crypto.c for their signatures. */
#ifndef TESTS_BENCH_FLEET_CRYPTO_H
#define TESTS_BENCH_FLEET_CRYPTO_H

#include "agent/identity/keys.h"

/* A P-256 key pair, 20 us. Returns 0 or NP_E_KEY. */
int fleet_make_key(struct np_private_key *out_key);

/* Reads the master of HQ's factory secrets from its file. Returns 0, NP_E_MALFORMED, NP_E_LIMIT or -errno. */
int fleet_read_master(const char *path, uint8_t out_master[32]);

/* The secret that the factory gives the device with this serial number. */
void fleet_factory_secret(const uint8_t master[32], const char *serial, uint8_t out_secret[32]);

#endif
