#include "agent/config.h"

#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"
#include "resolver/cache.h"
#include "resolver/limit.h"

static const char *const role_choices[] = {"host", "router", NULL};
static const char *const publish_choices[] = {"public", "local-only", NULL};
static const char *const mode_choices[] = {"full", "own-name-only", NULL};
static const char *const proxy_choices[] = {"none", "v1", "v2", NULL};
static const char *const filter_choices[] = {"auto", "on", "off", NULL};
static const char *const level_choices[] = {"error", "warning", "notice", "info", "debug", NULL};

const struct np_config_key np_agent_config_keys[] = {
    {"hq", NP_CONFIG_STRING, NULL, "HQ's URL: https://HOST[:PORT] (required)", NULL, 0, 0},
    {"hq-anchors", NP_CONFIG_STRING, NULL, "PEM file with the CA that HQ's certificate comes from (required)", NULL, 0,
     0},
    {"hq-second", NP_CONFIG_STRING, NULL, "another URL of the same HQ, asked when the first does not answer", NULL, 0,
     0},
    {"role", NP_CONFIG_STRING, "host", "router: this box is the LAN's gateway; host: it is one of its machines",
     role_choices, 0, 0},
    {"lan", NP_CONFIG_LIST, NULL, "LAN interfaces, for example {\"br-lan\"}; required for a router", NULL, 0, 0},
    {"state", NP_CONFIG_STRING, "/var/lib/nameplate", "folder that survives a reboot: keys, name, certificate", NULL, 0,
     0},
    {"run", NP_CONFIG_STRING, "/run/nameplate", "folder of control.sock", NULL, 0, 0},
    {"factory-secret", NP_CONFIG_STRING, NULL, "file with serial = and secret =, from nameplate-hq factory-secret",
     NULL, 0, 0},
    {"factory", NP_CONFIG_STRING, NULL,
     "folder of the factory identity, read when the box enrols: certificate.pem with key.pem, or secret, or claim-code",
     NULL, 0, 0},
    {"model", NP_CONFIG_STRING, "generic", "model name told to HQ", NULL, 0, 0},
    {"alias", NP_CONFIG_LIST, NULL, "further names of this box on the LAN, for example {\"nas.home.arpa\"}", NULL, 0,
     0},
    {"publish", NP_CONFIG_STRING, "public", "local-only keeps every address out of public DNS", publish_choices, 0, 0},
    {"allow", NP_CONFIG_LIST, NULL, "further networks that are served, for example {\"10.9.0.0/16\"}", NULL, 0, 0},
    {"upstream", NP_CONFIG_LIST, NULL,
     "DNS servers to forward to, as ADDRESS[:PORT], over TLS as tls://ADDRESS#NAME (strict) or "
     "opportunistic://ADDRESS; "
     "' trust-ad' after it believes its AD bit; none: those of upstreams-from",
     NULL, 0, 0},
    {"upstreams-from", NP_CONFIG_LIST, NULL,
     "files that name the DNS servers of the lease, for example {\"/tmp/resolv.conf.d/resolv.conf.auto\"}: as "
     "resolv.conf, dnsmasq's servers-file, networkd's and dhclient's leases, or KEY=VALUE; none: resolv-conf",
     NULL, 0, 0},
    {"resolv-conf", NP_CONFIG_STRING, "/etc/resolv.conf", "where DNS servers are read from otherwise", NULL, 0, 0},
    {"dot-anchors", NP_CONFIG_STRING, "/etc/ssl/certs/ca-certificates.crt",
     "PEM file with the CAs that tls:// servers are checked by", NULL, 0, 0},
    {"forward", NP_CONFIG_LIST, NULL,
     "zones that go elsewhere, for example {\"home.arpa=127.0.0.1:5353\"}; servers are written as for upstream", NULL,
     0, 0},
    {"rebind-filter", NP_CONFIG_STRING, "auto",
     "auto: filter private addresses out of DNS where role = router; on; off", filter_choices, 0, 0},
    {"rebind-allow", NP_CONFIG_LIST, NULL,
     "names that pass the filter: {\"router.example\"}, or all below one: {\"*.plex.direct\"}", NULL, 0, 0},
    {"canary", NP_CONFIG_BOOL, "true", "deny use-application-dns.net, so that browsers keep asking this box", NULL, 0,
     0},
    {"cache", NP_CONFIG_STRING, "4M", "memory for answers from other servers, 256K to 1G; 0: none are kept", NULL, 0,
     0},
    {"mode", NP_CONFIG_STRING, "full",
     "full: answer DNS for everything; own-name-only: refuse all but the own names, beside another resolver",
     mode_choices, 0, 0},
    {"dns", NP_CONFIG_BOOL, "true", "answer DNS on the LAN addresses", NULL, 0, 0},
    {"rate-limit", NP_CONFIG_INT, "1000",
     "DNS queries a second of one client over UDP, above it must come over TCP; 0: no limit", NULL, 0,
     NP_LIMIT_RATE_MAX},
    {"inflight-limit", NP_CONFIG_INT, "512", "DNS queries of one client that may wait for upstreams at once", NULL, 1,
     NP_VIEW_INFLIGHT_MAX},
    {"dot", NP_CONFIG_BOOL, "true",
     "answer DNS over TLS on the LAN addresses, with the box's certificate, where dns does; beside another resolver "
     "(mode, dns-port) only where this is set",
     NULL, 0, 0},
    {"http", NP_CONFIG_BOOL, "true", "redirect http to https on the LAN addresses", NULL, 0, 0},
    {"https", NP_CONFIG_BOOL, "true", "serve https on the LAN addresses", NULL, 0, 0},
    {"dns-port", NP_CONFIG_INT, "53", "port of DNS", NULL, 1, 65535},
    {"dot-port", NP_CONFIG_INT, "853", "port of DNS over TLS", NULL, 1, 65535},
    {"http-port", NP_CONFIG_INT, "80", "port of http", NULL, 1, 65535},
    {"https-port", NP_CONFIG_INT, "443", "port of https", NULL, 1, 65535},
    {"backend", NP_CONFIG_STRING, "", "where https goes, for example 127.0.0.1:8080; empty: a status page", NULL, 0, 0},
    {"backends", NP_CONFIG_LIST, NULL,
     "where single names go instead, for example {\"files=127.0.0.1:9000\"}: a label below the box's name (with a "
     "wildcard certificate), or a whole name of alias",
     NULL, 0, 0},
    {"backend-proxy", NP_CONFIG_STRING, "none",
     "v1 or v2: tell backends who the client is by the PROXY protocol, which they must then expect", proxy_choices, 0,
     0},
    {"address-access", NP_CONFIG_BOOL, "true",
     "the backend can also be used over http at the box's addresses, where the name does not open or has no "
     "certificate",
     NULL, 0, 0},
    {"handshake-limit", NP_CONFIG_INT, "0",
     "TLS handshakes a second, of which one client may have a quarter; others wait; 0: what half of a core does", NULL,
     0, NP_FRONT_HANDSHAKES_MAX},
    {"deploy-report", NP_CONFIG_STRING, "",
     "report of `nameplate deploy`, which gives the certificate to other servers of this machine; empty: none is asked",
     NULL, 0, 0},
    {"log-level", NP_CONFIG_STRING, "info", "error, warning, notice, info or debug", level_choices, 0, 0},
    {NULL, NP_CONFIG_STRING, NULL, NULL, NULL, 0, 0},
};

int np_hq_url_parse(const char *text, struct np_hq_url *out_url)
{
    struct np_hq_url url = {.port = 443};
    static const char scheme[] = "https://";
    if (strncmp(text, scheme, sizeof scheme - 1) != 0)
        return NP_E_MALFORMED;
    const char *host = text + sizeof scheme - 1;
    size_t len = strcspn(host, ":/");
    int64_t port = 443;
    char port_text[8] = "";
    if (len == 0 || len > NP_NAME_MAX)
        return NP_E_MALFORMED;
    memcpy(url.host, host, len);
    const char *rest = host + len;
    if (*rest == ':') {
        size_t port_len = strcspn(++rest, "/");
        if (port_len == 0 || port_len >= sizeof port_text)
            return NP_E_MALFORMED;
        memcpy(port_text, rest, port_len);
        if (np_parse_int(port_text, 1, 65535, &port))
            return NP_E_MALFORMED;
        rest += port_len;
    }
    if ((rest[0] == '/' && rest[1]) || !np_is_hostname(url.host))
        return NP_E_MALFORMED;
    url.port = (uint16_t)port;
    snprintf(url.text, sizeof url.text, "%s%s%s%s", scheme, url.host, port_text[0] ? ":" : "", port_text);
    *out_url = url;
    return 0;
}

static int copy_path(const struct np_config *file, const char *key, char *out, size_t size, char *error)
{
    const char *value = np_config_string(file, key);
    if (!value || !value[0] || strlen(value) >= size)
        return np_config_fail(file, key, error, "%s: a path of 1 to %zu characters is needed", key, size - 1);
    memcpy(out, value, strlen(value) + 1);
    return 0;
}

static int read_upstream_files(const struct np_config *file, struct np_agent_config *c, char *error)
{
    size_t count = np_config_list_count(file, "upstreams-from");
    if (count > NP_UPSTREAM_FILES_MAX)
        return np_config_fail(file, "upstreams-from", error, "upstreams-from has more than %d files",
                              NP_UPSTREAM_FILES_MAX);
    c->upstream_file_count = count ? count : 1;
    if (count == 0)
        return copy_path(file, "resolv-conf", c->upstream_files[0], sizeof c->upstream_files[0], error);
    for (size_t i = 0; i < count; i++) {
        const char *path = np_config_list(file, "upstreams-from", i);
        if (!path[0] || strlen(path) > NP_CONFIG_PATH_MAX)
            return np_config_fail(file, "upstreams-from", error, "upstreams-from: a path has 1 to %d characters",
                                  NP_CONFIG_PATH_MAX);
        memcpy(c->upstream_files[i], path, strlen(path) + 1);
    }
    return 0;
}

static int read_hq(const struct np_config *file, struct np_agent_config *c, char *error)
{
    const char *url = np_config_string(file, "hq");
    if (!url)
        return np_config_fail(file, "hq", error,
                              "hq is missing: the URL of the manufacturer's server, for example hq = "
                              "\"https://hq.devices.example\"");
    if (np_hq_url_parse(url, &c->hq))
        return np_config_fail(file, "hq", error, "hq = %.100s: must be https://HOST or https://HOST:PORT", url);
    const char *second = np_config_string(file, "hq-second");
    if (second && np_hq_url_parse(second, &c->hq_second))
        return np_config_fail(file, "hq-second", error, "hq-second = %.100s: must be https://HOST or https://HOST:PORT",
                              second);
    if (!np_config_string(file, "hq-anchors"))
        return np_config_fail(file, "hq-anchors", error,
                              "hq-anchors is missing: the PEM file of the CA that HQ's certificate comes from "
                              "(nameplate-hq init writes it)");
    return copy_path(file, "hq-anchors", c->hq_anchors, sizeof c->hq_anchors, error);
}

static int read_lan(const struct np_config *file, struct np_agent_config *c, char *error)
{
    struct np_address_policy *policy = &c->policy;
    policy->role = strcmp(np_config_string(file, "role"), "router") == 0 ? NP_ROLE_ROUTER : NP_ROLE_HOST;
    size_t count = np_config_list_count(file, "lan");
    if (count > NP_LAN_MAX)
        return np_config_fail(file, "lan", error, "lan has more than %d interfaces", NP_LAN_MAX);
    if (count == 0 && policy->role == NP_ROLE_ROUTER)
        return np_config_fail(file, "lan", error,
                              "role = router needs the LAN interfaces, for example lan = {\"br-lan\"}");
    for (size_t i = 0; i < count; i++) {
        const char *name = np_config_list(file, "lan", i);
        if (!np_is_token(name, NP_LINK_NAME_MAX - 1) || strchr(name, '/'))
            return np_config_fail(file, "lan", error, "lan: '%.40s' is not an interface name", name);
        memcpy(policy->lan[i], name, strlen(name) + 1);
    }
    policy->lan_count = count;
    c->publish = strcmp(np_config_string(file, "publish"), "public") == 0 ? NP_PUBLISH_PUBLIC : NP_PUBLISH_LOCAL_ONLY;
    policy->local_only = c->publish == NP_PUBLISH_LOCAL_ONLY;
    return 0;
}

static int read_aliases(const struct np_config *file, struct np_agent_config *c, char *error)
{
    size_t count = np_config_list_count(file, "alias");
    if (count > NP_ALIAS_MAX)
        return np_config_fail(file, "alias", error, "alias has more than %d names", NP_ALIAS_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *text = np_config_list(file, "alias", i);
        if (!np_is_hostname(text) || np_name_parse(text, &c->aliases[i]))
            return np_config_fail(file, "alias", error, "alias: '%.80s' is not a host name such as nas.home.arpa",
                                  text);
    }
    c->alias_count = count;
    return 0;
}

static int read_lists(const struct np_config *file, struct np_agent_config *c, char *error)
{
    size_t count = np_config_list_count(file, "allow");
    const char *why;
    if (count > NP_ADMIT_ALLOW_MAX)
        return np_config_fail(file, "allow", error, "allow has more than %d networks", NP_ADMIT_ALLOW_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *text = np_config_list(file, "allow", i);
        if (np_prefix_parse(text, &c->allow[i]))
            return np_config_fail(file, "allow", error, "allow: '%.60s' is not a network such as 10.9.0.0/16", text);
    }
    c->allow_count = count;
    count = np_config_list_count(file, "upstream");
    if (count > NP_VIEW_UPSTREAMS_MAX)
        return np_config_fail(file, "upstream", error, "upstream has more than %d servers", NP_VIEW_UPSTREAMS_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *text = np_config_list(file, "upstream", i);
        if (np_view_upstream_parse(text, &c->upstreams[i], &why))
            return np_config_fail(file, "upstream", error, "upstream: '%.80s': %s", text, why);
    }
    c->upstream_count = count;
    return 0;
}

/* "zone=server"; the same zone again adds a server. */
static int read_forward(const char *text, struct np_agent_config *c, const char **out_why)
{
    char zone[NP_NAME_MAX + 1];
    const char *equals = strchr(text, '=');
    struct np_view_forward entry;
    memset(&entry, 0, sizeof entry);
    entry.to_count = 1;
    *out_why = "is not ZONE=ADDRESS[:PORT], as in home.arpa=127.0.0.1:5353";
    if (!equals || (size_t)(equals - text) > NP_NAME_MAX)
        return NP_E_MALFORMED;
    memcpy(zone, text, (size_t)(equals - text));
    zone[equals - text] = 0;
    if (np_name_parse(zone, &entry.zone))
        return NP_E_MALFORMED;
    int rc = np_view_upstream_parse(equals + 1, &entry.to[0], out_why);
    if (rc)
        return rc;
    *out_why = "is one too many: there is room for 32 zones with 4 servers each";
    for (size_t i = 0; i < c->forward_count; i++) {
        struct np_view_forward *known = &c->forwards[i];
        if (!np_name_equal(&known->zone, &entry.zone))
            continue;
        if (known->to_count == NP_VIEW_FORWARD_TO_MAX)
            return NP_E_LIMIT;
        known->to[known->to_count++] = entry.to[0];
        return 0;
    }
    if (c->forward_count == NP_VIEW_FORWARDS_MAX)
        return NP_E_LIMIT;
    c->forwards[c->forward_count++] = entry;
    return 0;
}

static int read_forwards(const struct np_config *file, struct np_agent_config *c, char *error)
{
    for (size_t i = 0; i < np_config_list_count(file, "forward"); i++) {
        const char *text = np_config_list(file, "forward", i), *why;
        if (read_forward(text, c, &why))
            return np_config_fail(file, "forward", error, "forward: '%.80s': %s", text, why);
    }
    return 0;
}

static int read_filter(const struct np_config *file, struct np_agent_config *c, char *error)
{
    const char *filter = np_config_string(file, "rebind-filter");
    size_t count = np_config_list_count(file, "rebind-allow");
    c->rebind_filter = strcmp(filter, "on") == 0    ? NP_FILTER_ON
                       : strcmp(filter, "off") == 0 ? NP_FILTER_OFF
                                                    : NP_FILTER_AUTO;
    if (count > NP_VIEW_REBIND_MAX)
        return np_config_fail(file, "rebind-allow", error, "rebind-allow has more than %d names", NP_VIEW_REBIND_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *text = np_config_list(file, "rebind-allow", i);
        if (np_view_pattern_parse(text, &c->rebind_allow[i]))
            return np_config_fail(file, "rebind-allow", error,
                                  "rebind-allow: '%.80s' is not a name such as router.example, or *.plex.direct for "
                                  "all below one",
                                  text);
    }
    c->rebind_count = count;
    c->canary = np_config_bool(file, "canary");
    c->mode = strcmp(np_config_string(file, "mode"), "full") == 0 ? NP_MODE_FULL : NP_MODE_OWN_NAME_ONLY;
    return 0;
}

/* Returns 0, or NP_E_CONFLICT where two services have one port. */
static int read_ports(const struct np_config *file, struct np_agent_config *c)
{
    struct {
        const char *key;
        uint16_t *port;
    } ports[] = {{"dns-port", &c->dns_port},
                 {"dot-port", &c->dot_port},
                 {"http-port", &c->http_port},
                 {"https-port", &c->https_port}};
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        *ports[i].port = (uint16_t)np_config_int(file, ports[i].key);
        for (size_t k = 0; k < i; k++) {
            if (*ports[k].port == *ports[i].port)
                return NP_E_CONFLICT;
        }
    }
    return 0;
}

/* Devices that find DNS over TLS at the address of their resolver ask there from then on. Where that resolver is
 * another program (a filter, one that knows the DHCP names), they would pass it by unasked: there it takes a word of
 * the owner. */
static bool wants_dot(const struct np_config *file, const struct np_agent_config *c)
{
    bool beside = c->dns_loopback || c->mode == NP_MODE_OWN_NAME_ONLY;
    return c->dns && np_config_bool(file, "dot") && (!beside || np_config_line(file, "dot") > 0);
}

static int read_backends(const struct np_config *file, struct np_front_settings *front, char *error)
{
    const char *backend = np_config_string(file, "backend");
    size_t count = np_config_list_count(file, "backends");
    front->has_backend = backend && backend[0];
    if (front->has_backend && np_endpoint_parse(backend, 0, &front->backend))
        return np_config_fail(file, "backend", error, "backend: '%.60s' is not ADDRESS:PORT", backend);
    if (front->has_backend && front->backend.port == 0)
        return np_config_fail(file, "backend", error, "backend: '%.60s' has no port", backend);
    if (count > NP_FRONT_BACKENDS_MAX)
        return np_config_fail(file, "backends", error, "backends has more than %d names", NP_FRONT_BACKENDS_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *text = np_config_list(file, "backends", i);
        if (np_front_backend_parse(text, &front->backends[i]))
            return np_config_fail(file, "backends", error,
                                  "backends: '%.80s' is not NAME=ADDRESS:PORT, as in files=127.0.0.1:9000", text);
    }
    front->backend_count = count;
    front->address_access = np_config_bool(file, "address-access");
    front->handshakes = (uint32_t)np_config_int(file, "handshake-limit");
    return np_proxy_parse(np_config_string(file, "backend-proxy"), &front->proxy);
}

static int read_services(const struct np_config *file, struct np_agent_config *c, char *error)
{
    const char *model = np_config_string(file, "model");
    c->rate_limit = (uint32_t)np_config_int(file, "rate-limit");
    c->inflight_limit = (uint32_t)np_config_int(file, "inflight-limit");
    if (np_cache_parse_size(np_config_string(file, "cache"), &c->cache))
        return np_config_fail(file, "cache", error,
                              "cache = %.40s: must be a size such as 4M, from 256K to 1G, or 0 for no cache",
                              np_config_string(file, "cache"));
    c->dns = np_config_bool(file, "dns");
    c->http = np_config_bool(file, "http");
    c->https = np_config_bool(file, "https");
    if (read_ports(file, c))
        return np_config_fail(file, "https-port", error, "dns-port, dot-port, http-port and https-port must differ");
    c->dns_loopback = c->dns && c->dns_port != NP_VIEW_UPSTREAM_PORT;
    c->dot = wants_dot(file, c);
    int rc = read_backends(file, &c->front, error);
    if (rc)
        return rc;
    if (!np_is_token(model, NP_MODEL_MAX))
        return np_config_fail(file, "model", error, "model: 1 to %d printable characters without spaces", NP_MODEL_MAX);
    memcpy(c->model, model, strlen(model) + 1);
    return np_log_level_parse(np_config_string(file, "log-level"), &c->log_level);
}

static bool has_mode(const struct np_view_upstream *servers, size_t count, enum np_tls_mode mode)
{
    for (size_t i = 0; i < count; i++) {
        if (servers[i].tls == mode)
            return true;
    }
    return false;
}

bool np_agent_config_has_tls(const struct np_agent_config *c, enum np_tls_mode mode)
{
    bool found = has_mode(c->upstreams, c->upstream_count, mode);
    for (size_t i = 0; i < c->forward_count && !found; i++)
        found = has_mode(c->forwards[i].to, c->forwards[i].to_count, mode);
    return found;
}

/* The resolver is what asks upstreams over TLS; without it tls:// would be a promise that nobody keeps. */
static int check_tls(const struct np_config *file, const struct np_agent_config *c, char *error)
{
    if ((c->dns && c->mode == NP_MODE_FULL) || !np_agent_config_has_tls(c, NP_TLS_STRICT))
        return 0;
    return np_config_fail(file, "upstream", error,
                          "upstream and forward with tls:// need a resolver that asks them, which %s turns off",
                          c->dns ? "mode = own-name-only" : "dns = false");
}

/* The folder is read when the box is to enrol: a box that is enrolled works without it. */
static int read_factory(const struct np_config *file, struct np_agent_config *c, char *error)
{
    const char *path = np_config_string(file, "factory-secret");
    char why[NP_FACTORY_ERROR_MAX];
    if (np_config_string(file, "factory")) {
        if (path)
            return np_config_fail(file, "factory", error,
                                  "factory and factory-secret name a factory identity each: leave one out");
        return copy_path(file, "factory", c->factory, sizeof c->factory, error);
    }
    if (!path)
        return 0;
    int rc = np_factory_read_secret(path, &c->secret, why);
    if (rc)
        snprintf(error, NP_CONFIG_ERROR_MAX, "%.500s", why);
    return rc;
}

static int read_all(const struct np_config *file, struct np_agent_config *c, char *error)
{
    int rc = read_hq(file, c, error);
    if (rc == 0)
        rc = read_lan(file, c, error);
    if (rc == 0)
        rc = copy_path(file, "state", c->state, sizeof c->state, error);
    if (rc == 0)
        rc = copy_path(file, "run", c->run, sizeof c->run, error);
    if (rc == 0 && np_config_string(file, "deploy-report")[0])
        rc = copy_path(file, "deploy-report", c->deploy_report, sizeof c->deploy_report, error);
    if (rc == 0)
        rc = read_upstream_files(file, c, error);
    if (rc == 0)
        rc = copy_path(file, "dot-anchors", c->dot_anchors, sizeof c->dot_anchors, error);
    if (rc == 0)
        rc = read_aliases(file, c, error);
    if (rc == 0)
        rc = read_lists(file, c, error);
    if (rc == 0)
        rc = read_forwards(file, c, error);
    if (rc == 0)
        rc = read_filter(file, c, error);
    if (rc == 0)
        rc = read_services(file, c, error);
    if (rc == 0)
        rc = check_tls(file, c, error);
    return rc ? rc : read_factory(file, c, error);
}

static int finish_take(struct np_config *file, struct np_agent_config *out_config, char *error)
{
    memset(out_config, 0, sizeof *out_config);
    int rc = read_all(file, out_config, error);
    np_config_free(file);
    return rc;
}

int np_agent_config_parse(const char *text, size_t len, const char *path, struct np_agent_config *out_config,
                          char error[NP_CONFIG_ERROR_MAX])
{
    struct np_config *file;
    int rc = np_config_parse(text, len, path, np_agent_config_keys, &file, error);
    return rc ? rc : finish_take(file, out_config, error);
}

int np_agent_config_load(const char *path, struct np_agent_config *out_config, char error[NP_CONFIG_ERROR_MAX])
{
    struct np_config *file;
    int rc = np_config_load(path, np_agent_config_keys, &file, error);
    return rc ? rc : finish_take(file, out_config, error);
}
