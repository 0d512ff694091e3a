/* deploy_private: what the files of deploy offer each other. */
#ifndef AGENT_CERTIFICATE_DEPLOY_PRIVATE_H
#define AGENT_CERTIFICATE_DEPLOY_PRIVATE_H

#include "agent/certificate/deploy.h"

#define NP_DEPLOY_FILE_MAX 65536 /* bytes of an earlier file that is kept for going back */

/* One file of a target: what is to stand there, and what stood there before. */
struct np_deploy_file {
    const char *path; /* borrowed from the target */
    mode_t mode;
    char *wanted; /* malloc'd */
    size_t wanted_len;
    uint8_t *earlier; /* malloc'd; NULL: there was none */
    size_t earlier_len;
    uid_t earlier_uid;
    gid_t earlier_gid;
    mode_t earlier_mode;
    bool same; /* content, owner and mode are as wanted */
};

/* A target's files. */
struct np_deploy_files {
    const struct np_deploy_target *target;
    struct np_deploy_file files[NP_DEPLOY_KINDS];
    size_t count;
    bool earlier; /* each had an earlier one */
};

/* Makes what is wanted and reads what is there. Returns 0, -ENOMEM, NP_E_LIMIT or -errno with a text in why. Release
 * with np_deploy_files_deinit whatever it returned. */
int np_deploy_files_init(struct np_deploy_files *files, const struct np_deploy_target *target,
                         const struct np_deploy_certificate *certificate, char why[NP_DEPLOY_WHY_MAX]);

/* Are all files as they should be? */
bool np_deploy_files_same(const struct np_deploy_files *files);

/* Puts all of the wanted files in their places: each is written whole beside its place first, so that a full disk
 * changes nothing, then all are renamed. Returns 0 or -errno with a text in why. */
int np_deploy_files_put(const struct np_deploy_files *files, char why[NP_DEPLOY_WHY_MAX]);

/* Puts the earlier ones back, with their owners and modes. As np_deploy_files_put. */
int np_deploy_files_put_back(const struct np_deploy_files *files, char why[NP_DEPLOY_WHY_MAX]);

/* Wipes and frees. */
void np_deploy_files_deinit(struct np_deploy_files *files);

/* Runs the target's program to its end: no shell, standard input from /dev/null, a small environment of its own, a
 * process group of its own that is killed when the time is over. What it says is logged, and its last line stands in
 * why when it fails. Returns 0 (also for a target without one), -ETIMEDOUT, -errno (it could not be started) or
 * NP_E_REFUSED (its exit status was not 0, or a signal ended it). */
int np_deploy_reload(const struct np_deploy_target *target, char why[NP_DEPLOY_WHY_MAX]);

#endif
