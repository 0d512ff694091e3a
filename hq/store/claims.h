/* claims: what the vendor has told HQ about its production: serial numbers with their models, and claim codes. Part of
 * hq/store, with its rules (see hq/store/store.h).
 *
 * A claim code is kept as a keyed hash (np_hq_claim_hash): who reads the database cannot enrol with it. It is free, or
 * held by one device; holding ends when that device leaves or is retired, or by the operator. */
#ifndef HQ_STORE_CLAIMS_H
#define HQ_STORE_CLAIMS_H

#include "hq/store/store.h"

/* A claim code. serial and model: empty where the list names none. */
struct np_claim {
    uint8_t hash[32];
    char serial[NP_SERIAL_MAX + 1];
    char model[NP_MODEL_MAX + 1];
    int64_t added_s;
    char device[NP_DEVICE_ID_MAX + 1]; /* who holds it; empty: free */
    int64_t claimed_s;                 /* since when; 0: free */
};

/* Adds a free code (device and claimed_s are not looked at). Returns 0, -EEXIST when it is there with the same serial
 * and model (nothing changes), NP_E_CONFLICT when it is there with others, or a database error. */
int np_store_claim_add(struct np_store *store, const struct np_claim *claim);

/* By hash. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_claim_get(struct np_store *store, const uint8_t hash[32], struct np_claim *out_claim);

/* Gives a free code to device, in one conditional write: of any number that try at once, through however many HQs, one
 * wins. Returns 0, NP_E_CONFLICT when it is not free (or not there), or a database error. */
int np_store_claim_take(struct np_store *store, const uint8_t hash[32], const char *device, int64_t now_s);

/* np_store_device_add and np_store_claim_take as one step: both happen or neither. Returns 0, NP_E_STALE when the code
 * is not free, what np_store_device_add returns, or a database error. */
int np_store_device_add_claimed(struct np_store *store, const struct np_device *device, const uint8_t hash[32]);

/* Frees a code, whoever holds it. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_claim_release(struct np_store *store, const uint8_t hash[32]);

/* Frees the codes that device holds. Returns 0 or a database error. Part of np_store_device_retire. */
int np_store_claims_release_of(struct np_store *store, const char *device);

/* Adds a serial number that was made. model empty: any. Returns as np_store_claim_add. */
int np_store_serial_add(struct np_store *store, const char *serial, const char *model, int64_t now_s);

/* The model of a listed serial number. Returns 0, NP_E_NOT_FOUND, or a database error. */
int np_store_serial_get(struct np_store *store, const char *serial, char out_model[NP_MODEL_MAX + 1]);

#endif
