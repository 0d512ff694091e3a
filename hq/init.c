#include "hq/init.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "hq/admin/auth.h"
#include "hq/config.h"
#include "hq/pki.h"
#include "hq/secrets.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/text.h"

#define PATH_LEN 512

/* ---- The configuration ---- */

/* A value in libconfuse's double quotes, where '\', '"' and "${" mean something. */
static void print_value(FILE *out, const char *value)
{
    fputc('"', out);
    for (; *value; value++) {
        if (*value == '"' || *value == '\\' || *value == '$')
            fputc('\\', out);
        fputc(*value, out);
    }
    fputc('"', out);
}

/* "key = value", commented out where there is none. */
static void print_key(FILE *out, const char *key, const char *value, const char *example)
{
    fprintf(out, "%s%s = ", value ? "" : "# ", key);
    print_value(out, value ? value : example);
    fputc('\n', out);
}

/* print_key for a file that the user has named from where he stood: serve starts somewhere else. */
static void print_file(FILE *out, const char *key, const char *given, const char *example)
{
    char resolved[PATH_MAX];
    print_key(out, key, given && realpath(given, resolved) ? resolved : given, example);
}

static void print_list(FILE *out, const char *key, const char *const *values, size_t count, const char *example)
{
    fprintf(out, "%s%s = {", count ? "" : "# ", key);
    for (size_t i = 0; i < count; i++) {
        fputs(i ? ", " : "", out);
        print_value(out, values[i]);
    }
    if (!count)
        print_value(out, example);
    fputs("}\n", out);
}

static void print_path(FILE *out, const char *key, const char *folder, const char *file)
{
    char path[PATH_LEN + 64];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    print_key(out, key, path, "");
}

static void print_config(FILE *out, const struct np_init_options *o, const char *folder, const char *host)
{
    bool in_zone = strlen(host) > strlen(o->zone) && strcmp(host + strlen(host) - strlen(o->zone), o->zone) == 0;
    fprintf(out,
            "# nameplate-hq, made by 'nameplate-hq init'. Lines that begin with # show other possible settings.\n\n"
            "# The DNS zone whose names the devices get. Its parent must delegate it to the name servers below.\n");
    print_key(out, "zone", o->zone, "");
    fprintf(out, "nameservers = {");
    for (size_t i = 0; i < o->nameserver_count; i++) {
        fputs(i ? ", " : "", out);
        print_value(out, o->nameservers[i]);
    }
    fputs("}\n", out);
    print_list(out, "dns-listen", o->dns_listen, o->dns_listen_count, "0.0.0.0:53");
    fprintf(out, "# HQ answers for the zone itself, unless other name servers are to do it (docs/operations.md):\n"
                 "# zone-backend = rfc2136\n# update-servers = {\"192.0.2.53\"}\n"
                 "# update-key = \"/etc/nameplate-hq/zone.key\"\n"
                 "# acme-update-key = \"/etc/nameplate-hq/acme.key\"\n");
    fprintf(out,
            "# ttl = 60\n# Who may issue certificates in the zone (CAA); yours is your CA's documentation to name.\n"
            "# caa = {\"letsencrypt.org\"}\n\n"
            "# What the devices have as their 'hq'. Where its host lies in the zone, this server answers for it.\n");
    print_key(out, "url", o->url, "");
    print_list(out, "hq-address", in_zone ? o->addresses : NULL, in_zone ? o->address_count : 0, "198.51.100.10");
    print_list(out, "listen", o->listen, o->listen_count, "0.0.0.0:443");
    fprintf(out, "# Plain HTTP from nginx or HAProxy instead (docs/operations.md):\n"
                 "# listen = {\"unix:/run/nameplate-hq/http.sock\"}\n# listen-group = www-data\n");
    fprintf(out,
            "\n# HQ's own TLS, signed by the private CA in the secrets folder and renewed by itself. The devices get\n"
            "# %s/hq-anchors.pem.\n",
            folder);
    print_path(out, "tls-certificate", folder, "hq-tls.pem");
    print_path(out, "tls-key", folder, "hq-tls-key.pem");
    fputs("\n", out);
    print_path(out, "database", folder, "data/hq.db");
    fprintf(out,
            "# Names that must never be given away again, and who is blocked: it outlives the database. Keep copies\n"
            "# of it elsewhere (docs/operations.md).\n");
    print_path(out, "ledger", folder, "data/ledger");
    print_path(out, "secrets", folder, "secrets");
    fprintf(out, "\n# Where the devices' certificates come from.\n");
    print_key(out, "acme-directory", o->directory ? o->directory : NP_INIT_ACME_DIRECTORY, "");
    print_file(out, "acme-anchors", o->acme_anchors, "/etc/ssl/private-ca.pem");
    print_key(out, "acme-contact", o->acme_contact, "mailto:certificates@manufacturer.example");
    fprintf(out, "# Rate limits: Let's Encrypt's are known; docs/operations.md says what the keys mean.\n"
                 "# public-suffix = true\n# acme-limit-orders = \"300/3h\"\n");
    fprintf(
        out,
        "# You have read and agree to the CA's terms of service. Nothing is issued before.\n"
        "acme-terms-agreed = %s\n\n"
        "# Which devices may enrol: factory-secret (made by 'nameplate-hq factory-secret'), claim-code (on labels,\n"
        "# made by 'nameplate-hq claim make'), factory-certificate (see docs/factory.md), open (anybody).\n",
        o->terms_agreed ? "true" : "false");
    print_list(out, "enrol", o->enrol, o->enrol_count, "factory-secret");
    print_file(out, "factory-ca", o->factory_ca, "/etc/nameplate-hq/factory-ca.pem");
    fprintf(out, "# factory-list = required\n");
    fprintf(out, "\n# Answers of *.rebind-test and *.plain-test, by which devices see who filters their names.\n");
    print_list(out, "probe-private", NULL, 0, "192.168.0.1");
    print_list(out, "probe-public", o->addresses, o->address_count ? 1 : 0, "198.51.100.10");
    bool admin = !o->admin_listen || strcmp(o->admin_listen, "none") != 0;
    fprintf(
        out,
        "\n# For you: metrics, and a dashboard behind the token in admin-token. Plain HTTP: keep it on loopback.\n");
    print_key(out, "admin-listen",
              !admin            ? NULL
              : o->admin_listen ? o->admin_listen
                                : NP_INIT_ADMIN_LISTEN,
              NP_INIT_ADMIN_LISTEN);
    print_path(out, "admin-token", folder, "admin-token");
    fprintf(out, "\n# The user to become once the ports are open. The database's folder must belong to that user.\n");
    print_key(out, "user", o->user, "nameplate-hq");
    fprintf(out, "# log-level = info\n");
}

/* ---- Files ---- */

static int write_new(const char *path, const char *text, mode_t mode, char error[NP_INIT_ERROR_MAX])
{
    if (access(path, F_OK) == 0)
        return np_explain(error, NP_INIT_ERROR_MAX, -EEXIST,
                          "%s is there already, and is not overwritten; choose another --dir", path);
    int rc = np_file_write_atomic(path, text, strlen(text), mode);
    return rc ? np_explain(error, NP_INIT_ERROR_MAX, rc, "%s: %s", path, np_strerror(rc)) : 0;
}

static int write_config(const struct np_init_options *options, const char *folder, const char *host,
                        char error[NP_INIT_ERROR_MAX])
{
    char path[PATH_LEN + 64], config_error[NP_CONFIG_ERROR_MAX], *text = NULL;
    size_t len = 0;
    struct np_config *config = NULL;
    struct np_hq_config *values = malloc(sizeof *values);
    FILE *out = open_memstream(&text, &len);
    int rc = -ENOMEM;
    snprintf(path, sizeof path, "%s/nameplate-hq.conf", folder);
    if (!values || !out) {
        np_explain(error, NP_INIT_ERROR_MAX, rc, "out of memory");
        goto out;
    }
    print_config(out, options, folder, host);
    fclose(out);
    out = NULL;
    /* What was asked for on the command line is checked as `serve` will read it, before anything is written. */
    rc = np_config_parse(text, len, path, np_hq_config_keys(), &config, config_error);
    if (rc == 0)
        rc = np_hq_config_read(config, values, config_error);
    if (rc)
        np_explain(error, NP_INIT_ERROR_MAX, rc, "the options do not fit together: %s", config_error);
    else
        rc = write_new(path, text, 0644, error);
out:
    np_config_free(config);
    if (out)
        fclose(out);
    free(text);
    free(values);
    return rc;
}

/* What devices check HQ with: the CA of its certificate, and the key that signs grants and the time. */
static int write_anchors(const char *path, const struct np_hq_secrets *secrets, char error[NP_INIT_ERROR_MAX])
{
    char *key = NULL, *both = NULL;
    int rc = np_hq_key_public_pem(secrets->grant_key, &key);
    if (rc == 0 && asprintf(&both, "%s%s", secrets->ca_pem, key) < 0) {
        both = NULL;
        rc = -ENOMEM;
    }
    rc = rc ? np_explain(error, NP_INIT_ERROR_MAX, rc, "%s: %s", path, np_strerror(rc))
            : write_new(path, both, 0644, error);
    free(both);
    free(key);
    return rc;
}
static int write_tls(const struct np_hq_secrets *secrets, const char *folder, const char *host,
                     char error[NP_INIT_ERROR_MAX])
{
    char path[PATH_LEN + 64], *leaf = NULL, *key_pem = NULL;
    struct np_hq_key *key = NULL;
    int rc = np_hq_key_make(&key);
    if (rc == 0)
        rc = np_hq_key_pem(key, &key_pem);
    if (rc == 0)
        rc = np_pki_make_leaf(secrets->ca_key, secrets->ca_pem, key, host, time(NULL), &leaf);
    if (rc) {
        np_explain(error, NP_INIT_ERROR_MAX, rc, "HQ's certificate cannot be made: %s", np_strerror(rc));
        goto out;
    }
    snprintf(path, sizeof path, "%s/hq-tls-key.pem", folder);
    rc = write_new(path, key_pem, 0600, error);
    if (rc)
        goto out;
    snprintf(path, sizeof path, "%s/hq-tls.pem", folder);
    rc = write_new(path, leaf, 0644, error);
    if (rc)
        goto out;
    snprintf(path, sizeof path, "%s/hq-anchors.pem", folder);
    rc = write_anchors(path, secrets, error);
out:
    if (key_pem)
        np_wipe(key_pem, strlen(key_pem));
    free(key_pem);
    free(leaf);
    np_hq_key_free(key);
    return rc;
}

/* The folder as an absolute path: the configuration is read from anywhere. */
static int make_folder(const char *given, char out_folder[PATH_LEN], char error[NP_INIT_ERROR_MAX])
{
    char resolved[PATH_MAX];
    int rc = np_folder_make(given, 0755);
    if (rc)
        return np_explain(error, NP_INIT_ERROR_MAX, rc, "%s: %s", given, np_strerror(rc));
    if (!realpath(given, resolved))
        return np_explain(error, NP_INIT_ERROR_MAX, -errno, "%s: %s", given, np_strerror(-errno));
    if (strlen(resolved) >= PATH_LEN - 64)
        return np_explain(error, NP_INIT_ERROR_MAX, -ENAMETOOLONG, "%s: the path is too long", given);
    memcpy(out_folder, resolved, strlen(resolved) + 1);
    return 0;
}

/* The database's folder, which belongs to the user that serve becomes: the rest stays the one's who ran init. */
static int make_data_folder(const struct np_init_options *options, const char *folder, char error[NP_INIT_ERROR_MAX])
{
    char path[PATH_LEN + 64];
    const struct passwd *entry = NULL;
    if (options->user && !(entry = getpwnam(options->user)))
        return np_explain(error, NP_INIT_ERROR_MAX, NP_E_UNKNOWN,
                          "--user %s: there is no such user; 'adduser --system %s' makes one", options->user,
                          options->user);
    snprintf(path, sizeof path, "%s/data", folder);
    int rc = np_folder_make(path, 0700);
    if (rc == 0 && entry && chown(path, entry->pw_uid, entry->pw_gid))
        rc = -errno;
    return rc ? np_explain(error, NP_INIT_ERROR_MAX, rc, "%s: %s", path, np_strerror(rc)) : 0;
}

int np_init(const struct np_init_options *options, char error[NP_INIT_ERROR_MAX])
{
    char folder[PATH_LEN], path[PATH_LEN + 64], host[NP_NAME_MAX + 1], secrets_error[NP_SECRETS_ERROR_MAX];
    struct np_hq_secrets secrets = {0};
    uint16_t port;
    if (np_hq_url_split(options->url, host, &port))
        return np_explain(error, NP_INIT_ERROR_MAX, NP_E_MALFORMED,
                          "--url %s: must be https://HOST or https://HOST:PORT; devices check HQ by its host name",
                          options->url);
    int rc = make_folder(options->folder, folder, error);
    if (rc)
        return rc;
    snprintf(path, sizeof path, "%s/secrets", folder);
    if (access(path, F_OK) == 0)
        return np_explain(error, NP_INIT_ERROR_MAX, -EEXIST,
                          "%s is there already, and is not overwritten; choose another --dir", path);
    rc = make_data_folder(options, folder, error);
    if (rc == 0)
        rc = write_config(options, folder, host, error);
    if (rc)
        return rc;
    rc = np_folder_make(path, 0700);
    if (rc)
        return np_explain(error, NP_INIT_ERROR_MAX, rc, "%s: %s", path, np_strerror(rc));
    rc = np_secrets_make(path, host, time(NULL), &secrets, secrets_error);
    if (rc)
        return np_explain(error, NP_INIT_ERROR_MAX, rc, "%s", secrets_error);
    rc = write_tls(&secrets, folder, host, error);
    np_secrets_deinit(&secrets);
    snprintf(path, sizeof path, "%s/admin-token", folder);
    if (rc == 0 && (rc = np_admin_token_make(path)))
        np_explain(error, NP_INIT_ERROR_MAX, rc, "%s: %s", path, np_strerror(rc));
    return rc;
}

void np_init_print_next(const struct np_init_options *options)
{
    const char *folder = options->folder;
    printf("Made in %s:\n"
           "  nameplate-hq.conf   the configuration: read it through once\n"
           "  secrets/            HQ's keys: back them up, show them to nobody\n"
           "  data/               where the database and its ledger will be: back them up\n"
           "  admin-token         opens the dashboard ('admin-listen'): show it to nobody\n"
           "  hq-anchors.pem      what devices check HQ with ('hq-anchors' in nameplate.conf)\n"
           "\nNext:\n",
           folder);
    int step = 1;
    if (!options->terms_agreed)
        printf("  %d. Read the CA's terms of service and set 'acme-terms-agreed = true'.\n", step++);
    if (options->nameserver_count == 0)
        printf("  %d. Name the zone's servers in 'nameservers', NAME=ADDRESS.\n", step++);
    printf("  %d. Delegate %s to its name servers at its parent zone.\n", step++, options->zone);
    printf("  %d. nameplate-hq serve --config %s/nameplate-hq.conf\n", step++, folder);
    printf("  %d. For each device: nameplate-hq factory-secret SERIAL --config %s/nameplate-hq.conf\n", step, folder);
}
