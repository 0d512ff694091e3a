#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent/certificate/deploy.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/text.h"

#define SUFFIX      ".conf"
#define MODE_MOST   0777
#define KEY_FOR_ALL (S_IRWXO | S_IWGRP)

const struct np_config_key np_deploy_keys[] = {
    {"certificate", NP_CONFIG_STRING, NULL, "file for the certificate chain (PEM, leaf first)", NULL, 0, 0},
    {"key", NP_CONFIG_STRING, NULL, "file for the private key (PEM, PKCS#8)", NULL, 0, 0},
    {"combined", NP_CONFIG_STRING, NULL, "file for both in one, as HAProxy and lighttpd like it", NULL, 0, 0},
    {"owner", NP_CONFIG_STRING, "root:root", "USER:GROUP of the files", NULL, 0, 0},
    {"mode", NP_CONFIG_STRING, "0600", "mode of the files that hold the key", NULL, 0, 0},
    {"certificate-mode", NP_CONFIG_STRING, "0644", "mode of the certificate's file", NULL, 0, 0},
    {"reload", NP_CONFIG_LIST, NULL,
     "program with its arguments, for example {\"/usr/bin/systemctl\", \"reload\", \"nginx\"}; no shell is used", NULL,
     0, 0},
    {"reload-timeout", NP_CONFIG_INT, "30", "seconds that it may take", NULL, 1, 600},
    {"check", NP_CONFIG_LIST, NULL, "addresses that must present the certificate, for example {\"127.0.0.1:443\"}",
     NULL, 0, 0},
    {"check-name", NP_CONFIG_STRING, "", "server name to ask with; empty: the box's own name", NULL, 0, 0},
    {"check-timeout", NP_CONFIG_INT, "20", "seconds after a reload within which they must", NULL, 1, 600},
    {"attempts", NP_CONFIG_INT, "3", "reloads before it is given up", NULL, 1, 10},
    {NULL, NP_CONFIG_STRING, NULL, NULL, NULL, 0, 0},
};

static int read_files(const struct np_config *file, struct np_deploy_target *target, char *error)
{
    static const char *const keys[NP_DEPLOY_KINDS] = {"certificate", "key", "combined"};
    for (enum np_deploy_file_kind kind = 0; kind < NP_DEPLOY_KINDS; kind++) {
        const char *path = np_config_string(file, keys[kind]);
        if (!path)
            continue;
        size_t len = strlen(path);
        if (path[0] != '/' || path[len - 1] == '/' || len > NP_DEPLOY_PATH_MAX)
            return np_config_fail(file, keys[kind], error, "%s = must be a file's whole path, of at most %d bytes",
                                  keys[kind], NP_DEPLOY_PATH_MAX);
        memcpy(target->files[kind], path, len + 1);
    }
    bool certificate = target->files[NP_DEPLOY_CERTIFICATE][0], key = target->files[NP_DEPLOY_KEY][0];
    if (certificate != key || (!certificate && !target->files[NP_DEPLOY_COMBINED][0]))
        return np_config_fail(file, certificate ? "certificate" : "key", error,
                              "give certificate = and key =, or combined =");
    return 0;
}

static int read_owner(const struct np_config *file, struct np_deploy_target *target, char *error)
{
    const char *text = np_config_string(file, "owner"), *colon = strchr(text, ':');
    char user[64];
    if (!colon || colon == text || !colon[1] || (size_t)(colon - text) >= sizeof user)
        return np_config_fail(file, "owner", error, "owner = must be USER:GROUP, not '%.60s'", text);
    snprintf(user, sizeof user, "%.*s", (int)(colon - text), text);
    const struct passwd *passwd = getpwnam(user);
    if (!passwd)
        return np_config_fail(file, "owner", error, "there is no user '%s' on this machine", user);
    const struct group *group = getgrnam(colon + 1);
    if (!group)
        return np_config_fail(file, "owner", error, "there is no group '%.60s' on this machine", colon + 1);
    target->uid = passwd->pw_uid;
    target->gid = group->gr_gid;
    return 0;
}

static int read_mode(const struct np_config *file, const char *key, mode_t forbidden, mode_t *out_mode, char *error)
{
    const char *text = np_config_string(file, key);
    char *end;
    unsigned long mode = strtoul(text, &end, 8);
    if (text[0] != '0' || *end || end == text || mode > MODE_MOST || !(mode & S_IRUSR))
        return np_config_fail(file, key, error, "%s = must be an octal mode such as \"0640\", not '%.20s'", key, text);
    if (mode & forbidden)
        return np_config_fail(file, key, error,
                              "%s = %.20s would let everybody read the key: give a group with owner = and \"0640\"",
                              key, text);
    *out_mode = (mode_t)mode;
    return 0;
}

static int read_reload(const struct np_config *file, struct np_deploy_target *target, char *error)
{
    target->arg_count = np_config_list_count(file, "reload");
    if (target->arg_count > NP_DEPLOY_ARGS_MAX)
        return np_config_fail(file, "reload", error, "reload = has more than %d words", NP_DEPLOY_ARGS_MAX);
    for (size_t i = 0; i < target->arg_count; i++) {
        const char *arg = np_config_list(file, "reload", i);
        if (strlen(arg) > NP_DEPLOY_ARG_MAX)
            return np_config_fail(file, "reload", error, "a word of reload = has more than %d bytes",
                                  NP_DEPLOY_ARG_MAX);
        memcpy(target->args[i], arg, strlen(arg) + 1);
    }
    if (target->arg_count && target->args[0][0] != '/')
        return np_config_fail(file, "reload", error,
                              "reload = must begin with a program's whole path; arguments are words of their own: "
                              "{\"/usr/bin/systemctl\", \"reload\", \"nginx\"}");
    return 0;
}

static int read_checks(const struct np_config *file, struct np_deploy_target *target, char *error)
{
    const char *name = np_config_string(file, "check-name");
    target->check_count = np_config_list_count(file, "check");
    if (target->check_count == 0)
        return np_config_fail(file, "check", error,
                              "check = must say where the server listens, for example {\"127.0.0.1:443\"}: that a "
                              "reload succeeded proves nothing");
    if (target->check_count > NP_DEPLOY_CHECKS_MAX)
        return np_config_fail(file, "check", error, "check = has more than %d addresses", NP_DEPLOY_CHECKS_MAX);
    for (size_t i = 0; i < target->check_count; i++) {
        const char *text = np_config_list(file, "check", i);
        if (np_endpoint_parse(text, 443, &target->checks[i]))
            return np_config_fail(file, "check", error, "check = takes ADDRESS[:PORT], not '%.60s'", text);
    }
    if (name[0] && !np_is_hostname(name))
        return np_config_fail(file, "check-name", error, "check-name = must be a host name");
    snprintf(target->server_name, sizeof target->server_name, "%s", name);
    return 0;
}

/* "deploy.d/nginx.conf" is the target nginx. */
static int read_name(const char *path, struct np_deploy_target *target, char *error)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    size_t len = dot ? (size_t)(dot - base) : strlen(base);
    if (len == 0 || len > NP_DEPLOY_NAME_MAX) {
        snprintf(error, NP_CONFIG_ERROR_MAX,
                 "%.200s: a target's file is named NAME" SUFFIX ", with 1 to %d characters before the dot", path,
                 NP_DEPLOY_NAME_MAX);
        return NP_E_CONFIG;
    }
    char name[NP_DEPLOY_NAME_MAX + 1];
    snprintf(name, sizeof name, "%.*s", (int)len, base);
    np_text_sanitize(name, target->name, sizeof target->name);
    return 0;
}

int np_deploy_target_parse(const char *text, size_t len, const char *path, struct np_deploy_target *out_target,
                           char error[NP_CONFIG_ERROR_MAX])
{
    struct np_deploy_target *target = out_target;
    struct np_config *file;
    int rc = np_config_parse(text, len, path, np_deploy_keys, &file, error);
    if (rc)
        return rc;
    memset(target, 0, sizeof *target);
    rc = read_name(path, target, error);
    if (rc == 0)
        rc = read_files(file, target, error);
    if (rc == 0)
        rc = read_owner(file, target, error);
    if (rc == 0)
        rc = read_mode(file, "mode", KEY_FOR_ALL, &target->mode, error);
    if (rc == 0)
        rc = read_mode(file, "certificate-mode", 0, &target->certificate_mode, error);
    if (rc == 0)
        rc = read_reload(file, target, error);
    if (rc == 0)
        rc = read_checks(file, target, error);
    target->reload_timeout_s = (unsigned)np_config_int(file, "reload-timeout");
    target->check_timeout_s = (unsigned)np_config_int(file, "check-timeout");
    target->attempts = (unsigned)np_config_int(file, "attempts");
    np_config_free(file);
    return rc;
}

/* What root is told to do must be root's to say. */
static int belongs_to_root(const char *path, const char *what, char error[NP_CONFIG_ERROR_MAX])
{
    struct stat st;
    if (stat(path, &st) < 0)
        snprintf(error, NP_CONFIG_ERROR_MAX, "%s%.250s: %s", what, path, strerror(errno));
    else if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
        snprintf(error, NP_CONFIG_ERROR_MAX,
                 "%s%.250s must belong to root and be writable by nobody else (chown root, chmod go-w): it says what "
                 "root does",
                 what, path);
    else
        return 0;
    return NP_E_CONFIG;
}

/* Nobody but root may put anything in the place of the file's folder, or of one above it. In a sticky one (/tmp) nobody
 * may touch what is root's. */
static int folder_belongs_to_root(const char *name, const char *path, char error[NP_CONFIG_ERROR_MAX])
{
    char folder[NP_DEPLOY_PATH_MAX + 1];
    struct stat st;
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash; (slash = strrchr(folder, '/')) != NULL;) {
        bool top = slash == folder;
        slash[top] = '\0';
        if (stat(folder, &st) < 0 || st.st_uid != 0 ||
            ((st.st_mode & (S_IWGRP | S_IWOTH)) && !(st.st_mode & S_ISVTX))) {
            snprintf(
                error, NP_CONFIG_ERROR_MAX,
                "%.80s: %.250s: the folder of a file that root writes must be there, belong to root, and be writable "
                "by nobody else (chown root, chmod go-w)",
                name, folder);
            return NP_E_CONFIG;
        }
        if (top)
            return 0;
    }
    return 0;
}

static int load_one(const char *folder, const char *name, struct np_deploy_target *target,
                    char error[NP_CONFIG_ERROR_MAX])
{
    char path[PATH_MAX], what[128];
    uint8_t *text;
    size_t len;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    int rc = belongs_to_root(path, "", error);
    if (rc)
        return rc;
    rc = np_file_read(path, NP_CONFIG_FILE_MAX, &text, &len);
    if (rc) {
        snprintf(error, NP_CONFIG_ERROR_MAX, "%.250s: %s", path, np_strerror(rc));
        return rc == -ENOMEM ? rc : NP_E_CONFIG;
    }
    rc = np_deploy_target_parse((const char *)text, len, path, target, error);
    free(text);
    for (enum np_deploy_file_kind kind = 0; kind < NP_DEPLOY_KINDS && rc == 0; kind++) {
        if (target->files[kind][0])
            rc = folder_belongs_to_root(name, target->files[kind], error);
    }
    if (rc == 0 && target->arg_count) {
        snprintf(what, sizeof what, "%.80s: the program of reload = ", name);
        rc = belongs_to_root(target->args[0], what, error);
    }
    return rc;
}

static int is_target(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > strlen(SUFFIX) && strcmp(entry->d_name + len - strlen(SUFFIX), SUFFIX) == 0;
}

int np_deploy_targets_load(const char *folder, struct np_deploy_target *targets, size_t *out_count,
                           char error[NP_CONFIG_ERROR_MAX])
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_target, alphasort), rc = 0;
    *out_count = 0;
    if (count < 0 && errno == ENOENT)
        return 0;
    if (count < 0) {
        snprintf(error, NP_CONFIG_ERROR_MAX, "%.200s: %s", folder, strerror(errno));
        return NP_E_CONFIG;
    }
    if (count > 0)
        rc = belongs_to_root(folder, "", error);
    if (count > NP_DEPLOY_TARGETS_MAX) {
        snprintf(error, NP_CONFIG_ERROR_MAX, "%.200s has more than %d targets", folder, NP_DEPLOY_TARGETS_MAX);
        rc = NP_E_LIMIT;
    }
    for (int i = 0; i < count; i++) {
        if (rc == 0)
            rc = load_one(folder, entries[i]->d_name, &targets[i], error);
        free(entries[i]);
    }
    free(entries);
    if (rc == 0)
        *out_count = (size_t)count;
    return rc;
}
