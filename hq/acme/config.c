#include "hq/acme/config.h"

#include <stdio.h>
#include <string.h>

#include "hq/acme/challenge.h"
#include "hq/acme/resource.h"
#include "resolver/base/error.h"

/* A string of at most size - 1 characters; an unset key leaves out empty. */
static int read_text(const struct np_config *config, const char *key, char *out, size_t size,
                     char error[NP_CONFIG_ERROR_MAX])
{
    const char *text = np_config_string(config, key);
    size_t len = text ? strlen(text) : 0;
    if (len >= size)
        return np_config_fail(config, key, error, "%s is longer than %zu characters", key, size - 1);
    memcpy(out, text ? text : "", len + 1);
    return 0;
}

/* A CA's keys: prefix and suffix as one text. */
struct reader {
    const struct np_config *config;
    const char *prefix;
    char key[64];
};

static const char *key_of(struct reader *r, const char *suffix)
{
    snprintf(r->key, sizeof r->key, "%s-%s", r->prefix, suffix);
    return r->key;
}

/* The preset, and what the other keys change of it. */
static int read_limits(struct reader *r, const char *directory, struct np_limits *out_limits,
                       char error[NP_CONFIG_ERROR_MAX])
{
    static const char *const keys[NP_LIMIT_RULES] = {"limit-orders", "limit-domain", "limit-names", "limit-failures"};
    const char *preset = np_config_string(r->config, key_of(r, "limits")), *exempt;
    struct np_limits limits = {.public_suffix = np_config_bool(r->config, "public-suffix")};
    np_limits_preset(strcmp(preset, "auto") == 0 ? np_limits_preset_of(directory) : preset, &limits);
    for (size_t i = 0; i < NP_LIMIT_RULES; i++) {
        const char *text = np_config_string(r->config, key_of(r, keys[i]));
        if (text && np_limit_rule_parse(text, &limits.rules[i]))
            return np_config_fail(r->config, r->key, error,
                                  "%s = %s: must be a count and a period, such as 50/7d (s, m, h, d, w), or none",
                                  r->key, text);
    }
    exempt = np_config_string(r->config, key_of(r, "renewals-exempt"));
    if (strcmp(exempt, "auto") != 0)
        limits.renewals_exempt = strcmp(exempt, "yes") == 0;
    np_limits_headroom(&limits, np_config_int(r->config, "acme-headroom"));
    *out_limits = limits;
    return 0;
}

static int read_challenges(struct reader *r, struct np_ca_config *out_ca, char error[NP_CONFIG_ERROR_MAX])
{
    const char *key = key_of(r, "challenges");
    size_t count = np_config_list_count(r->config, key);
    if (count == 0 || count > NP_CA_CHALLENGES_MAX)
        return np_config_fail(r->config, key, error, "%s needs 1 to %d types: %s", key, NP_CA_CHALLENGES_MAX,
                              np_challenge_types());
    for (size_t i = 0; i < count; i++) {
        const char *type = np_config_list(r->config, key, i);
        out_ca->challenges[i] = np_challenge_find(type);
        if (!out_ca->challenges[i])
            return np_config_fail(r->config, key, error, "%s = %s: must be of: %s", key, type, np_challenge_types());
    }
    out_ca->challenge_count = count;
    return 0;
}

static int read_ca(const struct np_config *config, const char *prefix, struct np_ca_config *out_ca,
                   char error[NP_CONFIG_ERROR_MAX])
{
    struct reader r = {.config = config, .prefix = prefix};
    struct np_ca_config ca = {.prefix = prefix};
    char contact[NP_ISSUANCE_TEXT_MAX - 8] = "";
    int rc = read_text(config, key_of(&r, "directory"), ca.directory, sizeof ca.directory, error);
    if (rc == 0)
        rc = read_text(config, key_of(&r, "anchors"), ca.anchors, sizeof ca.anchors, error);
    if (rc == 0)
        rc = read_text(config, key_of(&r, "contact"), contact, sizeof contact, error);
    if (rc == 0)
        rc = read_text(config, key_of(&r, "eab-kid"), ca.eab_kid, sizeof ca.eab_kid, error);
    if (rc == 0)
        rc = read_text(config, key_of(&r, "eab-key-file"), ca.eab_hmac_key, sizeof ca.eab_hmac_key, error);
    if (rc == 0)
        rc = read_text(config, key_of(&r, "profile"), ca.profile, sizeof ca.profile, error);
    if (rc == 0)
        rc = read_text(config, key_of(&r, "preferred-chain"), ca.preferred_chain, sizeof ca.preferred_chain, error);
    if (rc == 0)
        rc = read_challenges(&r, &ca, error);
    if (rc == 0)
        rc = read_limits(&r, ca.directory, &ca.limits, error);
    if (rc)
        return rc;
    ca.terms_agreed = np_config_bool(config, key_of(&r, "terms-agreed"));
    if (!np_acme_is_url(ca.directory))
        return np_config_fail(config, key_of(&r, "directory"), error, "%s-directory must be an https URL", prefix);
    if (ca.eab_kid[0] && !ca.eab_hmac_key[0])
        return np_config_fail(config, key_of(&r, "eab-kid"), error, "%s-eab-kid needs %s-eab-key-file", prefix, prefix);
    if (contact[0])
        snprintf(ca.contact, sizeof ca.contact, "%s%s", strchr(contact, ':') ? "" : "mailto:", contact);
    *out_ca = ca;
    return 0;
}

int np_issuance_config_load(const struct np_config *config, struct np_issuance_config *out_issuance,
                            char error[NP_CONFIG_ERROR_MAX])
{
    static const char *const prefixes[NP_CA_MAX] = {"acme", "acme2"};
    struct np_issuance_config issuance = {.switch_after_ms = np_config_int(config, "acme-switch-after") * 1000,
                                          .overflow = strcmp(np_config_string(config, "acme2-when"), "full") == 0};
    int rc = read_text(config, "secrets", issuance.secrets, sizeof issuance.secrets, error);
    if (rc == 0)
        rc = read_ca(config, prefixes[issuance.ca_count++], &issuance.cas[0], error);
    if (rc == 0 && np_config_string(config, "acme2-directory")) {
        rc = read_ca(config, prefixes[issuance.ca_count++], &issuance.cas[1], error);
        if (rc == 0 && strcmp(issuance.cas[0].directory, issuance.cas[1].directory) == 0)
            rc = np_config_fail(config, "acme2-directory", error, "acme2-directory is the first CA's");
    }
    if (rc == 0)
        *out_issuance = issuance;
    return rc;
}
