#include <stdio.h>
#include <string.h>

#include "hq/acme/issuance.h"
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

int np_issuance_config_load(const struct np_config *config, struct np_issuance_config *out_issuance,
                            char error[NP_CONFIG_ERROR_MAX])
{
    struct np_issuance_config issuance = {.terms_agreed = np_config_bool(config, "acme-terms-agreed")};
    char contact[NP_ISSUANCE_TEXT_MAX - 8] = "";
    int rc = read_text(config, "acme-directory", issuance.directory, sizeof issuance.directory, error);
    if (rc == 0)
        rc = read_text(config, "acme-anchors", issuance.anchors, sizeof issuance.anchors, error);
    if (rc == 0)
        rc = read_text(config, "secrets", issuance.secrets, sizeof issuance.secrets, error);
    if (rc == 0)
        rc = read_text(config, "acme-contact", contact, sizeof contact, error);
    if (rc == 0)
        rc = read_text(config, "acme-eab-kid", issuance.eab_kid, sizeof issuance.eab_kid, error);
    if (rc == 0)
        rc = read_text(config, "acme-eab-key-file", issuance.eab_hmac_key, sizeof issuance.eab_hmac_key, error);
    if (rc)
        return rc;
    if (!np_acme_is_url(issuance.directory))
        return np_config_fail(config, "acme-directory", error, "acme-directory must be an https URL");
    if (issuance.eab_kid[0] && !issuance.eab_hmac_key[0])
        return np_config_fail(config, "acme-eab-kid", error, "acme-eab-kid needs acme-eab-key-file");
    if (contact[0])
        snprintf(issuance.contact, sizeof issuance.contact, "%s%s", strchr(contact, ':') ? "" : "mailto:", contact);
    *out_issuance = issuance;
    return 0;
}
