/* config: the agent's configuration file (nameplate.conf) as plain values, checked before anything starts.
 *
 * Every error names file, line and what to write instead. Paths, names and addresses are copied: nothing points into
 * the file. What each key means is in the key table (np_agent_config_keys), which sample files and manuals are made
 * from. */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/front/settings.h"
#include "agent/identity/factory.h"
#include "agent/network/addresses.h"
#include "agent/own_names.h"
#include "hq/proto/message.h"
#include "resolver/base/address.h"
#include "resolver/base/config.h"
#include "resolver/base/log.h"
#include "resolver/view.h"

#define NP_CONFIG_PATH_MAX    400 /* leaves room under a socket's 107 only for `run`, which is checked on its own */
#define NP_UPSTREAM_FILES_MAX 4   /* two uplinks, IPv4 and IPv6 of each */
#define NP_CONFIG_RUN_MAX     90  /* sockaddr_un has 108 bytes, "/control.sock" takes 13 */

/* Where HQ is. */
struct np_hq_url {
    char text[NP_NAME_MAX + 24]; /* "https://host" or "https://host:port", without a final slash */
    char host[NP_NAME_MAX + 1];
    uint16_t port;
};

/* The configuration. */
struct np_agent_config {
    struct np_hq_url hq, hq_second; /* hq_second: text is empty where there is none */
    char hq_anchors[NP_CONFIG_PATH_MAX + 1];
    struct np_address_policy policy; /* role, lan, local_only */
    char state[NP_CONFIG_PATH_MAX + 1];
    char run[NP_CONFIG_RUN_MAX + 1];
    char factory[NP_CONFIG_PATH_MAX + 1]; /* folder of the factory identity; empty: none, or the one below */
    struct np_factory secret;             /* from factory-secret; type open: none */
    char model[NP_MODEL_MAX + 1];
    enum np_publish publish;
    struct np_name aliases[NP_ALIAS_MAX];
    size_t alias_count;
    struct np_prefix allow[NP_ADMIT_ALLOW_MAX];
    size_t allow_count;
    struct np_view_upstream upstreams[NP_VIEW_UPSTREAMS_MAX]; /* none: from upstream_files */
    size_t upstream_count;
    char upstream_files[NP_UPSTREAM_FILES_MAX][NP_CONFIG_PATH_MAX + 1]; /* upstreams-from, or else resolv-conf */
    size_t upstream_file_count;                                         /* at least 1 */
    char dot_anchors[NP_CONFIG_PATH_MAX + 1];
    struct np_view_forward forwards[NP_VIEW_FORWARDS_MAX];
    size_t forward_count;
    uint32_t rate_limit, inflight_limit; /* as the view has them */
    enum np_filter rebind_filter;
    struct np_view_pattern rebind_allow[NP_VIEW_REBIND_MAX];
    size_t rebind_count;
    uint32_t cache;             /* bytes; 0: none */
    bool dns, dot, http, https; /* dot: never without dns, nor unasked beside another resolver */
    uint16_t dns_port, dot_port, http_port, https_port;
    bool dns_loopback; /* dns-port is not 53, so this is beside another resolver: it finds us at 127.0.0.1 */
    char deploy_report[NP_CONFIG_PATH_MAX + 1]; /* empty: no other server gets the certificate */
    bool canary;
    enum np_mode mode;
    struct np_front_settings front; /* as the front gets it */
    enum np_log_level log_level;
};

/* The key table, for np_config and for whoever makes a sample file. */
extern const struct np_config_key np_agent_config_keys[];

/* Reads and checks the file, and the factory secret's file that it names. Returns 0, -ENOMEM, or NP_E_CONFIG with a
 * text for a person in error. */
int np_agent_config_load(const char *path, struct np_agent_config *out_config, char error[NP_CONFIG_ERROR_MAX]);

/* Checks a text as np_agent_config_load does; path names it in errors. */
int np_agent_config_parse(const char *text, size_t len, const char *path, struct np_agent_config *out_config,
                          char error[NP_CONFIG_ERROR_MAX]);

/* Is there an upstream, or a server of a forwarded zone, of that TLS mode? Only the configuration has such. */
bool np_agent_config_has_tls(const struct np_agent_config *config, enum np_tls_mode mode);

/* Reads "https://HOST[:PORT]" with or without a final slash. Returns 0 or NP_E_MALFORMED. */
int np_hq_url_parse(const char *text, struct np_hq_url *out_url);

#endif
