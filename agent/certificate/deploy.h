/* deploy: the certificate given to other servers of this machine: nginx, uhttpd, lighttpd, HAProxy, a NAS's own.
 *
 * Runs in a root oneshot (`nameplate deploy`), since another daemon's files and reload need root; the agent never does
 * this itself. One target is one server: files are written beside their places and renamed, the server is told to
 * reload by a program without a shell, and then a TLS handshake with each of its addresses shows what it really
 * presents. What does not come out is tried again; a server that the new files broke gets its old ones back; one that
 * goes on presenting the old certificate is reported: nothing is taken as done on the word of an exit status.
 *
 * A target's configuration is a file of its own ("deploy.d/nginx.conf") in the syntax of nameplate.conf, which must
 * belong to root and be writable by nobody else, as must the program it names: who may write them is root. */
#ifndef AGENT_CERTIFICATE_DEPLOY_H
#define AGENT_CERTIFICATE_DEPLOY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/certificate/program.h"
#include "agent/identity/keys.h"
#include "hq/proto/message.h"
#include "resolver/base/address.h"
#include "resolver/base/config.h"

#define NP_DEPLOY_TRIGGER     "deploy" /* in the run folder: the agent writes it when there is something to deploy */
#define NP_DEPLOY_TARGETS_MAX 16       /* servers on one machine */
#define NP_DEPLOY_NAME_MAX    32       /* of a target: its file's name without ".conf" */
#define NP_DEPLOY_PATH_MAX    255      /* of a file; its temporary file's name is longer */
#define NP_DEPLOY_ARGS_MAX    16       /* of the program that reloads */
#define NP_DEPLOY_ARG_MAX     255
#define NP_DEPLOY_CHECKS_MAX  8 /* addresses of one server */
#define NP_DEPLOY_WHY_MAX     NP_PROGRAM_WHY_MAX

enum np_deploy_file_kind {
    NP_DEPLOY_CERTIFICATE, /* the chain, leaf first */
    NP_DEPLOY_KEY,         /* the private key, PKCS#8 */
    NP_DEPLOY_COMBINED,    /* the chain, then the key: HAProxy, lighttpd */
    NP_DEPLOY_KINDS
};

/* One server. */
struct np_deploy_target {
    char name[NP_DEPLOY_NAME_MAX + 1];
    char files[NP_DEPLOY_KINDS][NP_DEPLOY_PATH_MAX + 1]; /* "": not wanted */
    uid_t uid;
    gid_t gid;
    mode_t mode;             /* of what holds the key */
    mode_t certificate_mode; /* of the chain alone */
    char args[NP_DEPLOY_ARGS_MAX][NP_DEPLOY_ARG_MAX + 1];
    size_t arg_count; /* 0: the server finds the new files by itself */
    unsigned reload_timeout_s;
    struct np_endpoint checks[NP_DEPLOY_CHECKS_MAX];
    size_t check_count;                /* at least 1 */
    char server_name[NP_NAME_MAX + 1]; /* "": the certificate's own name */
    unsigned check_timeout_s;
    unsigned attempts;
};

/* The key table of a target's file. */
extern const struct np_config_key np_deploy_keys[];

/* Checks a target's configuration; path names it in errors and gives the target's name. Pure but for the look-up of
 * users and groups. Returns 0, -ENOMEM, or NP_E_CONFIG with a text in error. */
int np_deploy_target_parse(const char *text, size_t len, const char *path, struct np_deploy_target *out_target,
                           char error[NP_CONFIG_ERROR_MAX]);

/* Reads every "*.conf" of a folder, by name, and refuses files and programs that others than root may write. Returns 0
 * with *out_count 0 for a folder that is missing or empty; else 0, -ENOMEM, NP_E_LIMIT or NP_E_CONFIG, with a text in
 * error. targets has NP_DEPLOY_TARGETS_MAX places. */
int np_deploy_targets_load(const char *folder, struct np_deploy_target *targets, size_t *out_count,
                           char error[NP_CONFIG_ERROR_MAX]);

/* What is deployed. */
struct np_deploy_certificate {
    const char *chain; /* PEM, ends with LF */
    const struct np_private_key *key;
    const char *name;        /* the leaf's first name, for SNI */
    uint8_t leaf_sha256[32]; /* of the leaf's DER */
};

enum np_deploy_outcome {
    NP_DEPLOY_SERVED,      /* the files were there, or are now, and every address presents this certificate */
    NP_DEPLOY_NOT_SERVED,  /* the files are in place and the reload succeeded, but another certificate is presented */
    NP_DEPLOY_ROLLED_BACK, /* the server did not come up with the new files: it has its old ones again */
    NP_DEPLOY_FAILED       /* nothing could be put in place, or the server does not answer even with its old files */
};

/* How it went with one target. */
struct np_deploy_result {
    enum np_deploy_outcome outcome;
    bool wrote;                  /* files were changed */
    unsigned attempts;           /* reloads */
    char why[NP_DEPLOY_WHY_MAX]; /* for a person; "" when served */
};

/* Deploys to one target; logs each step. Blocks: up to attempts times the two time limits. The process must ignore
 * SIGPIPE. Returns 0 when the certificate is served, NP_E_STALE when another one is, or the error; *out_result is
 * written in every case. */
int np_deploy_run(const struct np_deploy_target *target, const struct np_deploy_certificate *certificate,
                  struct np_deploy_result *out_result);

/* A word for an outcome ("served", "not-served", "rolled-back", "failed"), for --json. Static storage. */
const char *np_deploy_outcome_name(enum np_deploy_outcome outcome);

#endif
