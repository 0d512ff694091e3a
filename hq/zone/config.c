#include <stdlib.h>
#include <string.h>

#include "hq/zone/zone.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define DNS_PORT 53

/* Where a key's value goes, and what is wrong with it. */
struct reader {
    const struct np_config *config;
    char *error;
    int rc;
};

static void fail(struct reader *r, const char *key, const char *value, const char *what)
{
    if (r->rc == 0)
        r->rc = np_config_fail(r->config, key, r->error, "%s '%s': %s", key, value, what);
}

/* A lower-case host name without final dot. */
static void read_name(struct reader *r, const char *key, const char *text, size_t len, char out[NP_NAME_MAX + 1])
{
    if (len > NP_NAME_MAX) {
        fail(r, key, text, "too long for a name");
        return;
    }
    for (size_t i = 0; i < len; i++)
        out[i] = text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] + 'a' - 'A') : text[i];
    out[len] = 0;
    if (!np_is_hostname(out))
        fail(r, key, text, "not a host name, such as devices.example");
}

static void read_nameservers(struct reader *r, const char *key, struct np_zone_nameserver *out, size_t *out_count)
{
    size_t count = np_config_list_count(r->config, key);
    for (size_t i = 0; i < count && r->rc == 0; i++) {
        const char *text = np_config_list(r->config, key, i), *equals = strchr(text, '=');
        if (*out_count == NP_ZONE_NAMESERVERS_MAX) {
            fail(r, key, text, "more than 8 entries");
            return;
        }
        struct np_zone_nameserver *nameserver = &out[(*out_count)++];
        if (!equals || np_endpoint_parse(equals + 1, DNS_PORT, &nameserver->address))
            fail(r, key, text, "not NAME=ADDRESS");
        else
            read_name(r, key, text, (size_t)(equals - text), nameserver->name);
    }
}

static void read_addresses(struct reader *r, const char *key, struct np_addr *out, size_t max, size_t *out_count)
{
    size_t count = np_config_list_count(r->config, key);
    for (size_t i = 0; i < count && r->rc == 0; i++) {
        const char *text = np_config_list(r->config, key, i);
        if (*out_count == max)
            fail(r, key, text, "too many addresses");
        else if (np_addr_parse(text, &out[*out_count]))
            fail(r, key, text, "not an address");
        else
            ++*out_count;
    }
}

/* The host of "https://hq.devices.example:8443/..." */
static void read_host(struct reader *r, struct np_zone_config *zone)
{
    static const char scheme[] = "https://";
    const char *url = np_config_string(r->config, "url");
    if (!url || strncmp(url, scheme, sizeof scheme - 1) != 0) {
        fail(r, "url", url ? url : "", "not an https URL");
        return;
    }
    const char *host = url + sizeof scheme - 1;
    size_t len = strcspn(host, ":/"), origin_len = strlen(zone->origin);
    struct np_addr addr;
    if (host[0] == '[' || len > NP_NAME_MAX)
        return;
    char name[NP_NAME_MAX + 1] = "";
    memcpy(name, host, len);
    if (np_addr_parse(name, &addr) == 0)
        return;
    read_name(r, "url", host, len, name);
    if (r->rc)
        return;
    size_t name_len = strlen(name);
    if (name_len >= origin_len && strcmp(name + name_len - origin_len, zone->origin) == 0 &&
        (name_len == origin_len || name[name_len - origin_len - 1] == '.'))
        memcpy(zone->host, name, name_len + 1);
}

static void read_caa(struct reader *r, struct np_zone_config *zone)
{
    static const char key[] = "caa";
    size_t count = np_config_list_count(r->config, key);
    for (size_t i = 0; i < count && r->rc == 0; i++) {
        const char *text = np_config_list(r->config, key, i);
        size_t len = strlen(text);
        if (zone->caa_count == NP_ZONE_CAA_MAX)
            fail(r, key, text, "more than 4 issuers");
        else if (len > NP_ZONE_CAA_LEN || !np_is_hostname(text))
            fail(r, key, text, "not an issuer's domain, such as letsencrypt.org");
        else
            memcpy(zone->caa[zone->caa_count++], text, len + 1);
    }
}

static void read_listen(struct reader *r, struct np_zone_config *zone)
{
    static const char key[] = "dns-listen";
    size_t count = np_config_list_count(r->config, key);
    for (size_t i = 0; i < count && r->rc == 0; i++) {
        const char *text = np_config_list(r->config, key, i);
        if (zone->listen_count == NP_ZONE_LISTEN_MAX)
            fail(r, key, text, "more than 16 endpoints");
        else if (np_endpoint_parse(text, DNS_PORT, &zone->listen[zone->listen_count]))
            fail(r, key, text, "not ADDRESS or ADDRESS:PORT");
        else
            zone->listen_count++;
    }
}

static void read_servers(struct reader *r, const char *servers_key, const char *file_key, struct np_zone_servers *out)
{
    size_t count = np_config_list_count(r->config, servers_key);
    const char *path = np_config_string(r->config, file_key);
    for (size_t i = 0; i < count && r->rc == 0; i++) {
        const char *text = np_config_list(r->config, servers_key, i);
        if (out->count == NP_ZONE_SERVERS_MAX)
            fail(r, servers_key, text, "more than 4 servers");
        else if (np_endpoint_parse(text, DNS_PORT, &out->servers[out->count]))
            fail(r, servers_key, text, "not ADDRESS or ADDRESS:PORT");
        else
            out->count++;
    }
    if (path && strlen(path) >= sizeof out->key_path)
        fail(r, file_key, path, "too long a path");
    else if (path)
        memcpy(out->key_path, path, strlen(path) + 1);
}

/* The challenge zone is the device zone's servers' matter, too, with the same key, unless others are named. */
static void read_backend(struct reader *r, struct np_zone_config *zone)
{
    const char *backend = np_config_string(r->config, "zone-backend");
    zone->backend = strcmp(backend, "rfc2136") == 0 ? NP_ZONE_RFC2136 : NP_ZONE_BUILTIN;
    read_nameservers(r, "acme-nameservers", zone->challenge_nameservers, &zone->challenge_nameserver_count);
    if (zone->backend == NP_ZONE_BUILTIN) {
        if (zone->challenge_nameserver_count)
            fail(r, "acme-nameservers", "", "only zone-backend = rfc2136 has name servers of its own for acme.<zone>");
        return;
    }
    read_servers(r, "update-servers", "update-key", &zone->update);
    read_servers(r, "acme-update-servers", "acme-update-key", &zone->challenge);
    if (zone->update.count == 0)
        fail(r, "update-servers", "", "zone-backend = rfc2136 needs at least one server to update");
    if (!zone->update.key_path[0])
        fail(r, "update-key", "", "zone-backend = rfc2136 needs the file of a TSIG key; 'tsig-keygen NAME' makes one");
    if (zone->challenge.count == 0) {
        zone->challenge.count = zone->update.count;
        memcpy(zone->challenge.servers, zone->update.servers, sizeof zone->challenge.servers);
    }
    if (!zone->challenge.key_path[0])
        memcpy(zone->challenge.key_path, zone->update.key_path, sizeof zone->challenge.key_path);
}

int np_zone_config_load(const struct np_config *config, struct np_zone_config *out_zone,
                        char error[NP_CONFIG_ERROR_MAX])
{
    struct reader r = {config, error, 0};
    struct np_zone_config *zone = calloc(1, sizeof *zone);
    const char *origin = np_config_string(config, "zone");
    if (!zone)
        return np_config_fail(config, "zone", error, "out of memory");
    if (origin)
        read_name(&r, "zone", origin, strlen(origin), zone->origin);
    else
        fail(&r, "zone", "", "must be set");
    if (r.rc == 0)
        read_host(&r, zone);
    read_nameservers(&r, "nameservers", zone->nameservers, &zone->nameserver_count);
    if (zone->nameserver_count == 0)
        fail(&r, "nameservers", "", "the zone needs at least one, such as \"ns1.devices.example=192.0.2.53\"");
    read_backend(&r, zone);
    read_addresses(&r, "hq-address", zone->host_addresses, NP_ZONE_HOST_MAX, &zone->host_address_count);
    read_addresses(&r, "probe-private", zone->probe_private, NP_ZONE_PROBE_MAX, &zone->probe_private_count);
    read_addresses(&r, "probe-public", zone->probe_public, NP_ZONE_PROBE_MAX, &zone->probe_public_count);
    read_caa(&r, zone);
    read_listen(&r, zone);
    zone->ttl_s = (uint32_t)np_config_int(config, "ttl");
    zone->skip_ms = np_config_int(config, "nameserver-skip-after") * 1000;
    zone->rate_limit = (unsigned)np_config_int(config, "dns-rate-limit");
    if (r.rc == 0)
        *out_zone = *zone;
    free(zone);
    return r.rc;
}
