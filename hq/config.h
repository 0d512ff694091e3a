/* config: the keys of nameplate-hq.conf, and the values that the server itself uses. The zone's and the issuance's own
 * keys stand in the same table and are read by np_zone_config_load and np_issuance_config_load. */
#ifndef HQ_CONFIG_H
#define HQ_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/proto/message.h"
#include "resolver/base/address.h"
#include "resolver/base/config.h"
#include "resolver/base/log.h"

#define NP_HQ_LISTEN_MAX 16
#define NP_HQ_PATH_MAX   512
#define NP_HQ_USER_MAX   64
#define NP_HQ_ADMIN_PORT 9180
#define NP_HQ_SOCKET_MAX 107 /* bytes of a Unix socket's path: struct sockaddr_un */

/* The server's settings; a plain value. */
struct np_hq_config {
    char zone[NP_NAME_MAX + 1];
    char url[NP_URL_MAX + 1];                    /* "https://host" or "https://host:port", without a final slash */
    char host[NP_NAME_MAX + 1];                  /* of url */
    struct np_endpoint listen[NP_HQ_LISTEN_MAX]; /* TLS */
    size_t listen_count;
    char sockets[NP_HQ_LISTEN_MAX][NP_HQ_SOCKET_MAX + 1]; /* Unix sockets for plain HTTP, from a proxy */
    size_t socket_count;
    unsigned socket_mode;
    char socket_owner[NP_HQ_USER_MAX], socket_group[NP_HQ_USER_MAX]; /* empty: those of `user` */
    char nameservers[NP_NAMESERVERS_MAX][NP_NAME_MAX + 1];           /* each name once: what devices are told */
    size_t nameserver_count;
    char database[NP_HQ_PATH_MAX];
    char ledger[NP_HQ_PATH_MAX + 8]; /* empty: none */
    char secrets[NP_HQ_PATH_MAX];
    char tls_certificate[NP_HQ_PATH_MAX]; /* empty, as the key, where nothing listens for TLS */
    char tls_key[NP_HQ_PATH_MAX];
    char user[NP_HQ_USER_MAX];        /* empty: none */
    struct np_endpoint admin_listen;  /* the operator's; AF_UNSPEC: none */
    char admin_token[NP_HQ_PATH_MAX]; /* its token's file */
    char factory_ca[NP_HQ_PATH_MAX];  /* empty: none */
    bool factory_dates;               /* factory certificates are judged by their dates */
    bool enrol[NP_CREDENTIAL_TYPES];  /* by enum np_credential_type */
    bool listed_only, publish_shared, publish_global;
    int64_t serial_names, serial_enrolments, open_enrolments;
    bool vanity;
    int64_t vanity_least, vanity_greatest, vanity_days, vanity_per_device, vanity_per_network;
    char vanity_reserved[NP_HQ_PATH_MAX], vanity_banned[NP_HQ_PATH_MAX]; /* files; empty: none */
    int64_t silent_days;
    int64_t ttl_s, poll_s, checkin_s, boot_jitter_s;
    int64_t connections, connections_per_address;
    enum np_log_level log_level;
};

/* The table of all keys, for np_config_load. Static storage. */
const struct np_config_key *np_hq_config_keys(void);

/* Reads the server's values. Returns 0, or NP_E_CONFIG with a text in error. */
int np_hq_config_read(const struct np_config *config, struct np_hq_config *out_config, char error[NP_CONFIG_ERROR_MAX]);

/* Splits an URL "https://HOST[:PORT]" with an optional final slash. host has NP_NAME_MAX + 1 bytes. Returns 0, or
 * NP_E_MALFORMED for anything else: another scheme, a path, an IP address as the host. */
int np_hq_url_split(const char *url, char out_host[NP_NAME_MAX + 1], uint16_t *out_port);

#endif
