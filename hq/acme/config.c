#include "hq/acme/config.h"

#include <stdio.h>
#include <string.h>

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

/* The preset, and what the other keys change of it. */
static int read_limits(const struct np_config *config, const char *directory, struct np_limits *out_limits,
                       char error[NP_CONFIG_ERROR_MAX])
{
    static const char *const keys[NP_LIMIT_RULES] = {"acme-limit-orders", "acme-limit-domain", "acme-limit-names",
                                                     "acme-limit-failures"};
    const char *preset = np_config_string(config, "acme-limits"), *exempt;
    struct np_limits limits = {.public_suffix = np_config_bool(config, "public-suffix")};
    np_limits_preset(strcmp(preset, "auto") == 0 ? np_limits_preset_of(directory) : preset, &limits);
    for (size_t i = 0; i < NP_LIMIT_RULES; i++) {
        const char *text = np_config_string(config, keys[i]);
        if (text && np_limit_rule_parse(text, &limits.rules[i]))
            return np_config_fail(config, keys[i], error,
                                  "%s = %s: must be a count and a period, such as 50/7d (s, m, h, d, w), or none",
                                  keys[i], text);
    }
    exempt = np_config_string(config, "acme-renewals-exempt");
    if (strcmp(exempt, "auto") != 0)
        limits.renewals_exempt = strcmp(exempt, "yes") == 0;
    np_limits_headroom(&limits, np_config_int(config, "acme-headroom"));
    *out_limits = limits;
    return 0;
}

static int read_ca(const struct np_config *config, struct np_ca_config *out_ca, char error[NP_CONFIG_ERROR_MAX])
{
    struct np_ca_config ca = {.terms_agreed = np_config_bool(config, "acme-terms-agreed")};
    char contact[NP_ISSUANCE_TEXT_MAX - 8] = "";
    int rc = read_text(config, "acme-directory", ca.directory, sizeof ca.directory, error);
    if (rc == 0)
        rc = read_text(config, "acme-anchors", ca.anchors, sizeof ca.anchors, error);
    if (rc == 0)
        rc = read_text(config, "acme-contact", contact, sizeof contact, error);
    if (rc == 0)
        rc = read_text(config, "acme-eab-kid", ca.eab_kid, sizeof ca.eab_kid, error);
    if (rc == 0)
        rc = read_text(config, "acme-eab-key-file", ca.eab_hmac_key, sizeof ca.eab_hmac_key, error);
    if (rc == 0)
        rc = read_limits(config, ca.directory, &ca.limits, error);
    if (rc)
        return rc;
    if (!np_acme_is_url(ca.directory))
        return np_config_fail(config, "acme-directory", error, "acme-directory must be an https URL");
    if (ca.eab_kid[0] && !ca.eab_hmac_key[0])
        return np_config_fail(config, "acme-eab-kid", error, "acme-eab-kid needs acme-eab-key-file");
    if (contact[0])
        snprintf(ca.contact, sizeof ca.contact, "%s%s", strchr(contact, ':') ? "" : "mailto:", contact);
    *out_ca = ca;
    return 0;
}

int np_issuance_config_load(const struct np_config *config, struct np_issuance_config *out_issuance,
                            char error[NP_CONFIG_ERROR_MAX])
{
    struct np_issuance_config issuance = {0};
    int rc = read_text(config, "secrets", issuance.secrets, sizeof issuance.secrets, error);
    if (rc == 0)
        rc = read_ca(config, &issuance.ca, error);
    if (rc == 0)
        *out_issuance = issuance;
    return rc;
}
