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

/* What was seen of one deployment. */
struct np_deploy_seen {
    int rc;             /* 0: the certificate is presented everywhere; NP_E_STALE: another one; else what failed last */
    bool wrote;         /* files were changed */
    bool earlier;       /* there were earlier ones, which can be put back */
    bool reloaded;      /* the reload succeeded */
    bool served_before; /* the server presented a certificate before */
    bool broken;        /* an address that presented one before presents none now */
};

/* What is to be made of it; NP_DEPLOY_ROLLED_BACK: the earlier files are to be put back. Pure. */
enum np_deploy_outcome np_deploy_judge(const struct np_deploy_seen *seen);

#endif
