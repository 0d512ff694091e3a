#include "hq/policy.h"

#include <stdio.h>
#include <string.h>

#include "hq/crypto.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

static int check_factory_secret(const struct np_policy *policy, const struct np_credential *credential,
                                const uint8_t thumbprint[32], const char *nonce, const char *url,
                                struct np_refusal *out_refusal)
{
    uint8_t secret[32], input[NP_FACTORY_MAC_INPUT_MAX], mac[32];
    np_hq_factory_secret(policy->master, credential->serial, secret);
    size_t len = np_factory_mac_input(thumbprint, nonce, url, input);
    np_hq_hmac(secret, sizeof secret, input, len, mac);
    np_wipe(secret, sizeof secret);
    if (np_equal_constant_time(mac, credential->mac, sizeof mac))
        return 0;
    return np_refuse(out_refusal, NP_REFUSE_BAD_CREDENTIAL,
                     "the factory secret of serial %.64s does not match; make its file anew with "
                     "'nameplate-hq factory-secret'",
                     credential->serial);
}

static int read_claim_code(struct np_credential *credential, struct np_refusal *out_refusal)
{
    char code[NP_CLAIM_LEN + 1];
    switch (np_claim_parse(credential->code, code)) {
    case 0:
        memcpy(credential->code, code, sizeof code);
        return 0;
    case NP_E_CHECKSUM:
        return np_refuse(out_refusal, NP_REFUSE_BAD_CREDENTIAL,
                         "the claim code has a wrong character; compare it with the label");
    default:
        return np_refuse(out_refusal, NP_REFUSE_BAD_CREDENTIAL,
                         "a claim code has %d letters and digits, as XXXX-XXXX-XXXX-XXXX; compare it with the label",
                         NP_CLAIM_LEN);
    }
}

static bool accepts(const struct np_policy *policy, enum np_credential_type type)
{
    switch (type) {
    case NP_CREDENTIAL_OPEN:
        return policy->open;
    case NP_CREDENTIAL_FACTORY_SECRET:
        return policy->factory_secret;
    case NP_CREDENTIAL_CLAIM_CODE:
        return policy->claim_code;
    case NP_CREDENTIAL_FACTORY_CERTIFICATE:
        return policy->factory_certificate != NULL;
    }
    return false;
}

int np_policy_credential(const struct np_policy *policy, struct np_credential *credential, const uint8_t thumbprint[32],
                         const char *nonce, const char *url, int64_t now_s, struct np_refusal *out_refusal)
{
    uint8_t input[NP_FACTORY_MAC_INPUT_MAX];
    if (!accepts(policy, credential->type)) {
        if (credential->type == NP_CREDENTIAL_OPEN)
            return np_refuse(out_refusal, NP_REFUSE_CREDENTIAL_UNSUPPORTED,
                             "this HQ enrols no device without a credential; give the device its factory identity");
        return np_refuse(out_refusal, NP_REFUSE_CREDENTIAL_UNSUPPORTED,
                         "this HQ takes no %s credentials ('enrol' in nameplate-hq.conf)",
                         np_credential_name(credential->type));
    }
    switch (credential->type) {
    case NP_CREDENTIAL_FACTORY_SECRET:
        return check_factory_secret(policy, credential, thumbprint, nonce, url, out_refusal);
    case NP_CREDENTIAL_CLAIM_CODE:
        return read_claim_code(credential, out_refusal);
    case NP_CREDENTIAL_FACTORY_CERTIFICATE:
        return np_factorycert_check(policy->factory_certificate, credential, input,
                                    np_factory_mac_input(thumbprint, nonce, url, input), now_s, out_refusal);
    default:
        return 0;
    }
}

int np_policy_listed(const struct np_policy *policy, const struct np_credential *credential,
                     const struct np_policy_listing *listing, const char *model, struct np_refusal *out_refusal)
{
    if (credential->type == NP_CREDENTIAL_OPEN)
        return 0; /* it has proved no serial number that could be looked up */
    if (!listing->listed && policy->listed_only)
        return np_refuse(out_refusal, NP_REFUSE_BAD_CREDENTIAL,
                         "serial %.64s is on no factory list of this HQ ('nameplate-hq import')", credential->serial);
    if (listing->listed && listing->model && listing->model[0] && strcmp(listing->model, model) != 0)
        return np_refuse(out_refusal, NP_REFUSE_BAD_CREDENTIAL,
                         "the factory list has model '%.64s' for this device, which says it is '%.64s'", listing->model,
                         model);
    return 0;
}

int np_policy_quota(const struct np_policy *policy, const struct np_credential *credential,
                    const struct np_store_counts *counts, struct np_refusal *out_refusal)
{
    if (credential->type == NP_CREDENTIAL_OPEN) {
        if (counts->recent < policy->network_recent && counts->site < policy->network_recent * NP_POLICY_SITE_NETWORKS)
            return 0;
        return np_refuse_for(out_refusal, NP_REFUSE_RATE_LIMITED, 3600,
                             "%lld devices have enrolled from this network within a day; try again later",
                             (long long)(counts->recent > counts->site ? counts->recent : counts->site));
    }
    if (!credential->serial[0])
        return 0; /* a claim code without a serial number is its own limit */
    if (counts->live >= policy->serial_live)
        return np_refuse_for(out_refusal, NP_REFUSE_RATE_LIMITED, 86400,
                             "serial %.64s already has %lld live names; the operator can retire one",
                             credential->serial, (long long)counts->live);
    if (counts->recent >= policy->serial_recent)
        return np_refuse_for(out_refusal, NP_REFUSE_RATE_LIMITED, 86400,
                             "serial %.64s has enrolled %lld times within 30 days; try again later", credential->serial,
                             (long long)counts->recent);
    return 0;
}

void np_policy_network(const struct np_addr *client, char out[NP_STORE_NETWORK_MAX])
{
    char text[NP_ADDR_TEXT_MAX];
    if (client->family != AF_INET && client->family != AF_INET6) {
        snprintf(out, NP_STORE_NETWORK_MAX, "-");
        return;
    }
    struct np_addr plain = *client;
    plain.scope = 0;
    if (client->family == AF_INET) {
        const struct np_prefix network = np_prefix_of(&plain, 24);
        snprintf(out, NP_STORE_NETWORK_MAX, "%s", np_prefix_format(&network, text));
        return;
    }
    const struct np_prefix site = np_prefix_of(&plain, 48), network = np_prefix_of(&plain, 64);
    size_t used = (size_t)snprintf(out, NP_STORE_NETWORK_MAX, "%s ", np_prefix_format(&site, text));
    snprintf(out + used, NP_STORE_NETWORK_MAX - used, "%s", np_prefix_format(&network, text));
}

static bool contains(const struct np_addr *list, size_t count, const struct np_addr *addr)
{
    for (size_t i = 0; i < count; i++) {
        if (np_addr_equal(&list[i], addr))
            return true;
    }
    return false;
}

/* A name that leads to a global address sends people to a machine on the Internet: it must be the device's own. */
static const char *why_not_global(const struct np_policy *policy, const struct np_policy_statement *statement,
                                  const struct np_addr *addr)
{
    const struct np_addresses *before = statement->published;
    if (!policy->publish_global || addr->family != AF_INET6)
        return "global addresses are not published";
    if (statement->credential == NP_CREDENTIAL_OPEN)
        return "global, and 'open' devices publish none";
    if (before && contains(before->v6, before->v6_count, addr))
        return NULL;
    if (statement->client && statement->client->family == AF_INET6) {
        const struct np_prefix network = np_prefix_of(statement->client, 64);
        if (np_prefix_contains(&network, addr))
            return NULL;
    }
    return "global, and not of the connection's /64";
}

/* NULL when the address may be published. */
static const char *why_not(const struct np_policy *policy, const struct np_policy_statement *statement,
                           const struct np_addr *addr)
{
    if (statement->publish == NP_PUBLISH_LOCAL_ONLY)
        return "the device publishes nothing (local-only)";
    switch (np_addr_classify(addr)) {
    case NP_ADDR_PRIVATE:
    case NP_ADDR_ULA:
        return NULL;
    case NP_ADDR_SHARED:
        return policy->publish_shared ? NULL : "shared address space (100.64/10) is not published by this HQ";
    case NP_ADDR_GLOBAL:
        return why_not_global(policy, statement, addr);
    case NP_ADDR_LOOPBACK:
        return "loopback addresses are never published";
    case NP_ADDR_LINK_LOCAL:
        return "link-local addresses are never published";
    default:
        return "only RFC 1918 and RFC 4193 addresses are published";
    }
}

static void reject(struct np_rejections *rejections, const struct np_addr *addr, const char *why)
{
    char text[NP_ADDR_TEXT_MAX];
    snprintf(rejections->why[rejections->count], sizeof rejections->why[0], "%s: %s", np_addr_format(addr, text), why);
    rejections->count++;
}

static void choose(const struct np_policy *policy, const struct np_policy_statement *statement,
                   const struct np_addr *stated, size_t count, struct np_addr *published, size_t max, size_t *out_count,
                   struct np_rejections *rejections)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        const char *why = why_not(policy, statement, &stated[i]);
        if (why)
            reject(rejections, &stated[i], why);
        else if (contains(published, n, &stated[i]))
            continue;
        else if (n == max)
            reject(rejections, &stated[i], "one more than a name may show");
        else
            published[n++] = stated[i];
    }
    *out_count = n;
}

void np_policy_publish(const struct np_policy *policy, const struct np_policy_statement *statement,
                       struct np_addresses *out_published, struct np_rejections *out_rejections)
{
    const struct np_addresses *stated = statement->stated;
    struct np_addresses published = {0};
    struct np_rejections rejections = {0};
    choose(policy, statement, stated->v4, stated->v4_count, published.v4, NP_STORE_V4_MAX, &published.v4_count,
           &rejections);
    choose(policy, statement, stated->v6, stated->v6_count, published.v6, NP_STORE_V6_MAX, &published.v6_count,
           &rejections);
    *out_published = published;
    *out_rejections = rejections;
}
