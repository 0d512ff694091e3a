#include "hq/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/store/store.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define UNIX "unix:" /* how a Unix socket begins in `listen` */

/* The keys of a CA; whose begins their explanations. */
#define CA_KEYS(prefix, whose)                                                                                           \
    {prefix "-directory", NP_CONFIG_STRING, NULL, whose " ACME directory", NULL, 0, 0},                                  \
        {prefix "-anchors", NP_CONFIG_STRING, NULL, "PEM anchors for " whose " HTTPS; unset: the system's", NULL, 0, 0}, \
        {prefix "-contact", NP_CONFIG_STRING, NULL, "mailto: URL for " whose " messages", NULL, 0, 0},                   \
        {prefix "-terms-agreed", NP_CONFIG_BOOL, "false", "you agree to " whose " terms of service", NULL, 0, 0},        \
        {prefix "-eab-kid", NP_CONFIG_STRING, NULL, whose " external account binding: key id", NULL, 0, 0},              \
        {prefix "-eab-key-file",                                                                                         \
         NP_CONFIG_STRING,                                                                                               \
         NULL,                                                                                                           \
         whose " external account binding: file of the HMAC key",                                                        \
         NULL,                                                                                                           \
         0,                                                                                                              \
         0},                                                                                                             \
        {prefix "-profile", NP_CONFIG_STRING, NULL, whose " profile of certificates; unset: its default", NULL, 0, 0},   \
        {prefix "-challenges",                                                                                           \
         NP_CONFIG_LIST,                                                                                                 \
         "dns-01",                                                                                                       \
         "proofs for " whose " authorizations, the first that it offers",                                                \
         NULL,                                                                                                           \
         0,                                                                                                              \
         0},                                                                                                             \
        {prefix "-preferred-chain",                                                                                      \
         NP_CONFIG_STRING,                                                                                               \
         NULL,                                                                                                           \
         whose " chain: common name of its root; unset: the one it prefers",                                             \
         NULL,                                                                                                           \
         0,                                                                                                              \
         0},                                                                                                             \
        {prefix "-limits",                                                                                               \
         NP_CONFIG_STRING,                                                                                               \
         "auto",                                                                                                         \
         whose " rate limits, by name; auto: by its directory",                                                          \
         presets,                                                                                                        \
         0,                                                                                                              \
         0},                                                                                                             \
        {prefix "-limit-orders",                                                                                         \
         NP_CONFIG_STRING,                                                                                               \
         NULL,                                                                                                           \
         whose " limit, COUNT/PERIOD: new orders of the account",                                                        \
         NULL,                                                                                                           \
         0,                                                                                                              \
         0},                                                                                                             \
        {prefix "-limit-domain",                                                                                         \
         NP_CONFIG_STRING,                                                                                               \
         NULL,                                                                                                           \
         whose " limit, COUNT/PERIOD: certificates of a registered domain",                                              \
         NULL,                                                                                                           \
         0,                                                                                                              \
         0},                                                                                                             \
        {prefix "-limit-names",                                                                                          \
         NP_CONFIG_STRING,                                                                                               \
         NULL,                                                                                                           \
         whose " limit, COUNT/PERIOD: certificates for the same names",                                                  \
         NULL,                                                                                                           \
         0,                                                                                                              \
         0},                                                                                                             \
        {prefix "-limit-failures",                                                                                       \
         NP_CONFIG_STRING,                                                                                               \
         NULL,                                                                                                           \
         whose " limit, COUNT/PERIOD: failed authorizations of a device",                                                \
         NULL,                                                                                                           \
         0,                                                                                                              \
         0},                                                                                                             \
    {                                                                                                                    \
        prefix "-renewals-exempt", NP_CONFIG_STRING, "auto",                                                             \
            "renewals count in neither of " whose " first two limits", exempt, 0, 0                                      \
    }

const struct np_config_key *np_hq_config_keys(void)
{
    static const char *const backends[] = {"builtin", "rfc2136", NULL};
    static const char *const presets[] = {"auto", "letsencrypt", "letsencrypt-staging", "none", NULL};
    static const char *const exempt[] = {"auto", "yes", "no", NULL};
    static const char *const dates[] = {"check", "ignore", NULL};
    static const char *const lists[] = {"optional", "required", NULL};
    static const char *const when[] = {"down", "full", NULL};
    static const char *const levels[] = {"error", "warning", "notice", "info", "debug", NULL};
    static const struct np_config_key keys[] = {
        {"zone", NP_CONFIG_STRING, NULL, "the DNS zone whose names devices get", NULL, 0, 0},
        {"url", NP_CONFIG_STRING, NULL, "HQ's public URL, as devices have it", NULL, 0, 0},
        {"listen", NP_CONFIG_LIST, "0.0.0.0:443",
         "addresses for the devices' HTTPS; unix:PATH: plain HTTP from a proxy", NULL, 0, 0},
        {"listen-mode", NP_CONFIG_STRING, "0660", "mode of the sockets unix:PATH, octal", NULL, 0, 0},
        {"listen-owner", NP_CONFIG_STRING, NULL, "their owner; unset: user", NULL, 0, 0},
        {"listen-group", NP_CONFIG_STRING, NULL, "their group (a proxy's, as www-data); unset: user's", NULL, 0, 0},
        {"tls-certificate", NP_CONFIG_STRING, NULL, "PEM chain of HQ's own TLS, leaf first", NULL, 0, 0},
        {"tls-key", NP_CONFIG_STRING, NULL, "PEM key of HQ's own TLS", NULL, 0, 0},
        {"zone-backend", NP_CONFIG_STRING, "builtin", "who serves the zone: builtin, or rfc2136 (other name servers)",
         backends, 0, 0},
        {"update-servers", NP_CONFIG_LIST, NULL, "rfc2136: name servers that HQ updates, ADDRESS or ADDRESS:PORT", NULL,
         0, 0},
        {"update-key", NP_CONFIG_STRING, NULL, "rfc2136: file of the TSIG key, as tsig-keygen writes it", NULL, 0, 0},
        {"acme-update-servers", NP_CONFIG_LIST, NULL, "rfc2136: those of acme.<zone>; unset: update-servers", NULL, 0,
         0},
        {"acme-update-key", NP_CONFIG_STRING, NULL, "rfc2136: the key for acme.<zone>; unset: update-key", NULL, 0, 0},
        {"acme-nameservers", NP_CONFIG_LIST, NULL, "rfc2136: NAME=ADDRESS of acme.<zone>; unset: nameservers", NULL, 0,
         0},
        {"dns-listen", NP_CONFIG_LIST, "0.0.0.0:53", "addresses for the zone's DNS", NULL, 0, 0},
        {"dns-rate-limit", NP_CONFIG_INT, "20", "equal DNS responses a second to one network (/24, /56); 0: any", NULL,
         0, 100000},
        {"nameservers", NP_CONFIG_LIST, NULL, "NAME=ADDRESS of the zone's name servers", NULL, 0, 0},
        {"nameserver-skip-after", NP_CONFIG_INT, "60", "seconds after which a name server that fails is not waited for",
         NULL, 1, 86400},
        {"hq-address", NP_CONFIG_LIST, NULL, "addresses of the URL's host, where it lies in the zone", NULL, 0, 0},
        {"database", NP_CONFIG_STRING, NULL, "SQLite file, or postgresql://USER@HOST/NAME", NULL, 0, 0},
        {"ledger", NP_CONFIG_STRING, NULL,
         "file of what must outlive the database; unset: the SQLite file's name and '.ledger'", NULL, 0, 0},
        {"secrets", NP_CONFIG_STRING, NULL, "folder of the keys, readable for nobody else", NULL, 0, 0},
        CA_KEYS("acme", "the CA's"),
        CA_KEYS("acme2", "the second CA's"),
        {"acme-headroom", NP_CONFIG_INT, "10", "percent of each limit that is left unused", NULL, 0, 90},
        {"acme-switch-after", NP_CONFIG_INT, "600", "a CA that has not worked for so long is down, seconds", NULL, 1,
         86400},
        {"acme2-when", NP_CONFIG_STRING, "down", "when orders go to the second CA: down, full (and down)", when, 0, 0},
        {"public-suffix", NP_CONFIG_BOOL, "false", "the zone is on the Public Suffix List", NULL, 0, 0},
        {"caa", NP_CONFIG_LIST, NULL, "CAA issuer domains at the zone's apex", NULL, 0, 0},
        {"enrol", NP_CONFIG_LIST, "factory-secret",
         "credentials taken: factory-certificate, factory-secret, claim-code, open", NULL, 0, 0},
        {"factory-ca", NP_CONFIG_STRING, NULL, "factory-certificate: PEM file of the vendor's own CAs", NULL, 0, 0},
        {"factory-certificate-dates", NP_CONFIG_STRING, "check",
         "check: a factory certificate that has ended is refused; ignore: it is taken", dates, 0, 0},
        {"factory-list", NP_CONFIG_STRING, "optional",
         "required: serial numbers must be imported ('nameplate-hq import') before they may enrol", lists, 0, 0},
        {"serial-names", NP_CONFIG_INT, "3", "live names of one serial number", NULL, 1, 1000},
        {"serial-enrolments", NP_CONFIG_INT, "5", "enrolments of one serial number in 30 days", NULL, 1, 1000},
        {"open-enrolments", NP_CONFIG_INT, "10",
         "'open' enrolments of one network (/24, /64; 8 times as many of a /48) in a day", NULL, 1, 100000},
        {"vanity", NP_CONFIG_BOOL, "false", "owners may choose their boxes' names", NULL, 0, 0},
        {"vanity-least", NP_CONFIG_INT, "4", "characters that such a name has at least", NULL, 1, 63},
        {"vanity-greatest", NP_CONFIG_INT, "30", "characters that it has at most", NULL, 1, 63},
        {"vanity-days", NP_CONFIG_INT, "90", "between two chosen names of a device", NULL, 0, 3650},
        {"vanity-per-device", NP_CONFIG_INT, "5", "chosen names of a device in its life", NULL, 1, 1000},
        {"vanity-per-network", NP_CONFIG_INT, "5", "names chosen from one network (/24, /48 and /64) in a year", NULL,
         1, 100000},
        {"vanity-reserved", NP_CONFIG_STRING, NULL,
         "file of names that nobody gets, one a line, beside the built-in ones", NULL, 0, 0},
        {"vanity-banned", NP_CONFIG_STRING, NULL,
         "file of words that no name may have in it, one a line, beside the built-in ones", NULL, 0, 0},
        {"publish-shared", NP_CONFIG_BOOL, "false", "publish addresses of 100.64/10", NULL, 0, 0},
        {"publish-global", NP_CONFIG_BOOL, "false", "publish global IPv6 addresses of the connection's own /64", NULL,
         0, 0},
        {"silent-days", NP_CONFIG_INT, "14", "after which the records of a device that nobody has seen go", NULL, 1,
         3650},
        {"ttl", NP_CONFIG_INT, "60", "TTL of the zone's records, seconds", NULL, 1, 86400},
        {"poll-interval", NP_CONFIG_INT, "1", "between a device's polls while its certificate is made, seconds", NULL,
         1, 3600},
        {"checkin-interval", NP_CONFIG_INT, "86400", "between a device's check-ins, seconds", NULL, 60, 30 * 86400},
        {"boot-jitter", NP_CONFIG_INT, "600", "over which devices spread their check-in at boot, seconds", NULL, 0,
         86400},
        {"probe-private", NP_CONFIG_LIST, "192.168.0.1", "answers of *.rebind-test.<zone>", NULL, 0, 0},
        {"probe-public", NP_CONFIG_LIST, NULL, "answers of *.plain-test.<zone>", NULL, 0, 0},
        {"connections", NP_CONFIG_INT, "4096", "TLS connections at once", NULL, 1, 1000000},
        {"connections-per-address", NP_CONFIG_INT, "64", "of them from one address (IPv6: /64)", NULL, 1, 1000000},
        {"admin-listen", NP_CONFIG_STRING, NULL, "operator's HTTP: metrics and dashboard, ADDRESS:PORT; unset: none",
         NULL, 0, 0},
        {"admin-token", NP_CONFIG_STRING, NULL, "file of the operator's token; unset: admin-token beside the secrets",
         NULL, 0, 0},
        {"user", NP_CONFIG_STRING, NULL, "user to become after the ports are bound", NULL, 0, 0},
        {"log-level", NP_CONFIG_STRING, "info", "least important level shown", levels, 0, 0},
        {NULL, NP_CONFIG_STRING, NULL, NULL, NULL, 0, 0}};
    return keys;
}

int np_hq_url_split(const char *url, char out_host[NP_NAME_MAX + 1], uint16_t *out_port)
{
    char host[NP_NAME_MAX + 1];
    int64_t port = 443;
    if (strncmp(url, "https://", 8) != 0)
        return NP_E_MALFORMED;
    const char *start = url + 8;
    size_t len = strcspn(start, ":/");
    if (len == 0 || len >= sizeof host)
        return NP_E_MALFORMED;
    memcpy(host, start, len);
    host[len] = 0;
    const char *rest = start + len;
    if (*rest == ':') {
        char digits[8];
        size_t count = strspn(++rest, "0123456789");
        if (count == 0 || count >= sizeof digits)
            return NP_E_MALFORMED;
        memcpy(digits, rest, count);
        digits[count] = 0;
        if (np_parse_int(digits, 1, 65535, &port))
            return NP_E_MALFORMED;
        rest += count;
    }
    struct np_addr addr;
    if ((*rest && strcmp(rest, "/") != 0) || !np_is_hostname(host) || np_addr_parse(host, &addr) == 0)
        return NP_E_MALFORMED;
    memcpy(out_host, host, sizeof host);
    *out_port = (uint16_t)port;
    return 0;
}

/* A required string of at most size - 1 bytes. */
static int read_text(const struct np_config *config, const char *key, char *out, size_t size,
                     char error[NP_CONFIG_ERROR_MAX])
{
    const char *value = np_config_string(config, key);
    if (!value || !*value)
        return np_config_fail(config, key, error, "'%s' is missing", key);
    if ((size_t)snprintf(out, size, "%s", value) >= size)
        return np_config_fail(config, key, error, "%s is longer than %zu characters", key, size - 1);
    return 0;
}

static int read_url(const struct np_config *config, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    uint16_t port;
    int rc = read_text(config, "url", out->url, sizeof out->url - 32, error); /* room for the paths below it */
    if (rc)
        return rc;
    if (np_hq_url_split(out->url, out->host, &port))
        return np_config_fail(config, "url", error,
                              "url = %s: must be https://HOST or https://HOST:PORT, with a host name", out->url);
    size_t len = strlen(out->url);
    if (out->url[len - 1] == '/')
        out->url[len - 1] = 0;
    return 0;
}

static int read_zone(const struct np_config *config, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    int rc = read_text(config, "zone", out->zone, sizeof out->zone, error);
    if (rc)
        return rc;
    if (!np_is_hostname(out->zone) || strpbrk(out->zone, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        return np_config_fail(config, "zone", error,
                              "zone = %s: must be a domain name in lower case, without a final dot", out->zone);
    return 0;
}

/* A Unix socket's path. */
static int take_socket(const char *path, struct np_hq_config *out)
{
    if (path[0] != '/' || strlen(path) > NP_HQ_SOCKET_MAX)
        return NP_E_MALFORMED;
    memcpy(out->sockets[out->socket_count++], path, strlen(path) + 1);
    return 0;
}

static int read_socket_rights(const struct np_config *config, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    const char *mode = np_config_string(config, "listen-mode");
    int rc = 0;
    if (strlen(mode) > 4 || mode[strspn(mode, "01234567")] || !*mode)
        return np_config_fail(config, "listen-mode", error, "listen-mode = %s: must be octal, as 0660", mode);
    out->socket_mode = (unsigned)strtoul(mode, NULL, 8);
    if (out->socket_mode > 0777)
        return np_config_fail(config, "listen-mode", error, "listen-mode = %s: must be from 0000 to 0777", mode);
    if (np_config_string(config, "listen-owner"))
        rc = read_text(config, "listen-owner", out->socket_owner, sizeof out->socket_owner, error);
    if (rc == 0 && np_config_string(config, "listen-group"))
        rc = read_text(config, "listen-group", out->socket_group, sizeof out->socket_group, error);
    return rc;
}

static int read_listen(const struct np_config *config, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    size_t count = np_config_list_count(config, "listen");
    if (count == 0 || count > NP_HQ_LISTEN_MAX)
        return np_config_fail(config, "listen", error, "listen needs 1 to %d addresses", NP_HQ_LISTEN_MAX);
    for (size_t i = 0; i < count; i++) {
        const char *text = np_config_list(config, "listen", i);
        if (strncmp(text, UNIX, strlen(UNIX)) == 0) {
            if (take_socket(text + strlen(UNIX), out))
                return np_config_fail(config, "listen", error,
                                      "listen = %s: must be " UNIX "/PATH, with at most %d characters of path", text,
                                      NP_HQ_SOCKET_MAX);
        } else if (np_endpoint_parse(text, 443, &out->listen[out->listen_count++])) {
            return np_config_fail(config, "listen", error,
                                  "listen = %s: must be ADDRESS:PORT, [ADDRESS]:PORT or " UNIX "/PATH", text);
        }
    }
    return out->socket_count > 0 ? read_socket_rights(config, out, error) : 0;
}

/* Without a token's path of its own it lies where `init` makes it: in the folder that holds the secrets folder. */
static int read_admin(const struct np_config *config, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    const char *text = np_config_string(config, "admin-listen");
    if (!text)
        return 0;
    if (np_endpoint_parse(text, NP_HQ_ADMIN_PORT, &out->admin_listen))
        return np_config_fail(config, "admin-listen", error,
                              "admin-listen = %s: must be ADDRESS:PORT or [ADDRESS]:PORT", text);
    if (np_config_string(config, "admin-token"))
        return read_text(config, "admin-token", out->admin_token, sizeof out->admin_token, error);
    const char *slash = strrchr(out->secrets, '/');
    snprintf(out->admin_token, sizeof out->admin_token, "%.*sadmin-token", slash ? (int)(slash - out->secrets) + 1 : 0,
             out->secrets);
    return 0;
}

/* The names of "NAME=ADDRESS"; what is behind the sign is the zone's. */
static int read_nameservers(const struct np_config *config, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    for (size_t i = 0; i < np_config_list_count(config, "nameservers"); i++) {
        const char *text = np_config_list(config, "nameservers", i);
        char name[NP_NAME_MAX + 1];
        size_t len = strcspn(text, "="), seen = 0;
        if (!text[len] || len >= sizeof name)
            return np_config_fail(config, "nameservers", error, "nameservers = %s: must be NAME=ADDRESS", text);
        memcpy(name, text, len);
        name[len] = 0;
        if (!np_is_hostname(name))
            return np_config_fail(config, "nameservers", error, "nameservers = %s: %s is no host name", text, name);
        while (seen < out->nameserver_count && strcmp(out->nameservers[seen], name) != 0)
            seen++;
        if (seen < out->nameserver_count)
            continue;
        if (seen == NP_NAMESERVERS_MAX)
            return np_config_fail(config, "nameservers", error, "more than %d name servers", NP_NAMESERVERS_MAX);
        memcpy(out->nameservers[out->nameserver_count++], name, len + 1);
    }
    return 0;
}

static int read_enrol(const struct np_config *config, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    for (size_t i = 0; i < np_config_list_count(config, "enrol"); i++) {
        const char *text = np_config_list(config, "enrol", i);
        enum np_credential_type type;
        if (np_credential_parse(text, &type))
            return np_config_fail(config, "enrol", error,
                                  "enrol = %s: must be factory-certificate, factory-secret, claim-code or open", text);
        out->enrol[type] = true;
    }
    return 0;
}

static int read_ledger(const struct np_config *config, struct np_hq_config *c, char error[NP_CONFIG_ERROR_MAX])
{
    if (np_config_string(config, "ledger"))
        return read_text(config, "ledger", c->ledger, sizeof c->ledger, error);
    if (!np_store_is_server(c->database))
        memcpy(stpcpy(c->ledger, c->database), ".ledger", sizeof ".ledger");
    return 0;
}

/* What belongs to the credentials. */
static int read_factory(const struct np_config *config, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    int rc = read_enrol(config, out, error);
    if (rc)
        return rc;
    out->factory_dates = strcmp(np_config_string(config, "factory-certificate-dates"), "check") == 0;
    out->listed_only = strcmp(np_config_string(config, "factory-list"), "required") == 0;
    if (!out->enrol[NP_CREDENTIAL_FACTORY_CERTIFICATE])
        return 0;
    if (!np_config_string(config, "factory-ca"))
        return np_config_fail(config, "enrol", error,
                              "enrol has factory-certificate: factory-ca must name the PEM file of the vendor's CAs");
    return read_text(config, "factory-ca", out->factory_ca, sizeof out->factory_ca, error);
}

static int read_vanity(const struct np_config *config, struct np_hq_config *out, char error[NP_CONFIG_ERROR_MAX])
{
    int rc = 0;
    out->vanity = np_config_bool(config, "vanity");
    out->vanity_least = np_config_int(config, "vanity-least");
    out->vanity_greatest = np_config_int(config, "vanity-greatest");
    out->vanity_days = np_config_int(config, "vanity-days");
    out->vanity_per_device = np_config_int(config, "vanity-per-device");
    out->vanity_per_network = np_config_int(config, "vanity-per-network");
    if (out->vanity_least > out->vanity_greatest)
        return np_config_fail(config, "vanity-least", error, "vanity-least is more than vanity-greatest (%lld)",
                              (long long)out->vanity_greatest);
    if (np_config_string(config, "vanity-reserved"))
        rc = read_text(config, "vanity-reserved", out->vanity_reserved, sizeof out->vanity_reserved, error);
    if (rc == 0 && np_config_string(config, "vanity-banned"))
        rc = read_text(config, "vanity-banned", out->vanity_banned, sizeof out->vanity_banned, error);
    return rc;
}

int np_hq_config_read(const struct np_config *config, struct np_hq_config *out_config, char error[NP_CONFIG_ERROR_MAX])
{
    struct np_hq_config c = {0};
    int rc = read_zone(config, &c, error);
    if (rc == 0)
        rc = read_url(config, &c, error);
    if (rc == 0)
        rc = read_listen(config, &c, error);
    if (rc == 0)
        rc = read_nameservers(config, &c, error);
    if (rc == 0)
        rc = read_factory(config, &c, error);
    if (rc == 0)
        rc = read_vanity(config, &c, error);
    if (rc == 0)
        rc = read_text(config, "database", c.database, sizeof c.database, error);
    if (rc == 0)
        rc = read_ledger(config, &c, error);
    if (rc == 0)
        rc = read_text(config, "secrets", c.secrets, sizeof c.secrets - 32, error); /* room for the files' names */
    if (rc == 0 && c.listen_count > 0)
        rc = read_text(config, "tls-certificate", c.tls_certificate, sizeof c.tls_certificate, error);
    if (rc == 0 && c.listen_count > 0)
        rc = read_text(config, "tls-key", c.tls_key, sizeof c.tls_key, error);
    if (rc)
        return rc;
    if (np_config_string(config, "user"))
        rc = read_text(config, "user", c.user, sizeof c.user, error);
    if (rc == 0)
        rc = read_admin(config, &c, error);
    if (rc)
        return rc;
    c.publish_shared = np_config_bool(config, "publish-shared");
    c.publish_global = np_config_bool(config, "publish-global");
    c.serial_names = np_config_int(config, "serial-names");
    c.serial_enrolments = np_config_int(config, "serial-enrolments");
    c.open_enrolments = np_config_int(config, "open-enrolments");
    c.silent_days = np_config_int(config, "silent-days");
    c.ttl_s = np_config_int(config, "ttl");
    c.poll_s = np_config_int(config, "poll-interval");
    c.checkin_s = np_config_int(config, "checkin-interval");
    c.boot_jitter_s = np_config_int(config, "boot-jitter");
    c.connections = np_config_int(config, "connections");
    c.connections_per_address = np_config_int(config, "connections-per-address");
    if (np_log_level_parse(np_config_string(config, "log-level"), &c.log_level))
        return np_config_fail(config, "log-level", error, "unknown log level");
    *out_config = c;
    return 0;
}
