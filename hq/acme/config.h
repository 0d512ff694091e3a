/* config: the keys of nameplate-hq.conf that issuance reads. */
#ifndef HQ_ACME_CONFIG_H
#define HQ_ACME_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "hq/acme/limits.h"
#include "hq/acme/resource.h"
#include "hq/proto/message.h"
#include "resolver/base/config.h"

#define NP_ISSUANCE_PATH_MAX 512
#define NP_ISSUANCE_TEXT_MAX 256
#define NP_CA_MAX            2
#define NP_CA_CHALLENGES_MAX 4 /* ways of proof: there are two or three in the world */

struct np_challenge_method;

/* How to reach a CA and as whom. A plain value. The keys are named as for the first CA; the second one's begin with
 * "acme2-". */
struct np_ca_config {
    const char *prefix;                 /* "acme", "acme2": of its keys, and of its account's file */
    char directory[NP_URL_MAX + 1];     /* acme-directory */
    char anchors[NP_ISSUANCE_PATH_MAX]; /* acme-anchors: PEM file; empty: the system's */
    char contact[NP_ISSUANCE_TEXT_MAX]; /* acme-contact: "mailto:..." or empty */
    bool terms_agreed;                  /* acme-terms-agreed */
    char profile[NP_ACME_PROFILE_LEN +
                 1]; /* acme-profile: of certificates, where the CA offers it; empty: its default */
    char preferred_chain[NP_ISSUANCE_TEXT_MAX]; /* acme-preferred-chain: common name of the root; empty: any */
    const struct np_challenge_method *challenges[NP_CA_CHALLENGES_MAX]; /* acme-challenges: the first that fits */
    size_t challenge_count;
    char eab_kid[NP_ISSUANCE_TEXT_MAX];      /* acme-eab-kid; empty: no external account binding */
    char eab_hmac_key[NP_ISSUANCE_PATH_MAX]; /* acme-eab-key-file: file with the base64url HMAC key */
    struct np_limits
        limits; /* acme-limits, acme-limit-*, acme-renewals-exempt, and acme-headroom, public-suffix for both */
};

/* A plain value. */
struct np_issuance_config {
    char secrets[NP_ISSUANCE_PATH_MAX]; /* secrets: the folder where acme-account.pem and acme2-account.pem live */
    struct np_ca_config cas[NP_CA_MAX];
    size_t ca_count;
    int64_t switch_after_ms; /* acme-switch-after: a CA that has failed for so long is down */
    bool overflow;           /* acme2-when = full: the second CA also takes what the first one's limits hold up */
};

/* Reads the keys named above. Returns 0, or NP_E_CONFIG with a text in error. */
int np_issuance_config_load(const struct np_config *config, struct np_issuance_config *out_issuance,
                            char error[NP_CONFIG_ERROR_MAX]);

#endif
