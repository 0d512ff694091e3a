#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/certificate/deploy_private.h"
#include "agent/certificate/pem.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define SUFFIX      ".nameplate-new"
#define KEY_PEM_MAX 512

/* The chain, the key, or both. */
static int make_wanted(struct np_deploy_file *file, enum np_deploy_file_kind kind,
                       const struct np_deploy_certificate *certificate)
{
    size_t chain_len = kind == NP_DEPLOY_KEY ? 0 : strlen(certificate->chain);
    size_t size = chain_len + KEY_PEM_MAX;
    uint8_t der[NP_KEY_PKCS8_LEN];
    int rc = 0;
    file->wanted = malloc(size);
    if (!file->wanted)
        return -ENOMEM;
    memcpy(file->wanted, certificate->chain, chain_len);
    file->wanted[chain_len] = '\0';
    file->wanted_len = chain_len;
    if (kind != NP_DEPLOY_CERTIFICATE) {
        np_key_encode_pkcs8(certificate->key, der);
        rc = np_pem_append("PRIVATE KEY", der, sizeof der, file->wanted, size, &file->wanted_len);
        np_wipe(der, sizeof der);
    }
    return rc;
}

/* Reads the whole of an open file. 0, -ENOMEM, NP_E_LIMIT or -errno. */
static int read_all(int fd, struct np_deploy_file *file)
{
    file->earlier = malloc(NP_DEPLOY_FILE_MAX + 1);
    if (!file->earlier)
        return -ENOMEM;
    while (file->earlier_len <= NP_DEPLOY_FILE_MAX) {
        ssize_t n = read(fd, file->earlier + file->earlier_len, NP_DEPLOY_FILE_MAX + 1 - file->earlier_len);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -errno;
        file->earlier_len += n > 0 ? (size_t)n : 0;
    }
    return NP_E_LIMIT;
}

/* What stands there now, by one descriptor: what is judged is what is read. A file that cannot be kept for going back
 * is not written over. */
static int read_earlier(struct np_deploy_file *file, const struct np_deploy_target *target, char why[NP_DEPLOY_WHY_MAX])
{
    struct stat st;
    int fd = open(file->path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    int rc = fd < 0 || fstat(fd, &st) < 0 ? -errno : 0;
    bool plain = rc == 0 ? S_ISREG(st.st_mode) : rc != -ELOOP;
    if (rc == 0)
        rc = plain ? read_all(fd, file) : -EEXIST;
    if (fd >= 0)
        close(fd);
    if (rc) {
        snprintf(why, NP_DEPLOY_WHY_MAX, "%s: %s", file->path,
                 plain ? np_strerror(rc) : "is no plain file, and is not written over");
        return rc;
    }
    file->earlier_uid = st.st_uid;
    file->earlier_gid = st.st_gid;
    file->earlier_mode = st.st_mode & 07777;
    file->same = file->earlier_len == file->wanted_len && memcmp(file->earlier, file->wanted, file->wanted_len) == 0 &&
                 st.st_uid == target->uid && st.st_gid == target->gid && file->earlier_mode == file->mode;
    return 0;
}

int np_deploy_files_init(struct np_deploy_files *files, const struct np_deploy_target *target,
                         const struct np_deploy_certificate *certificate, char why[NP_DEPLOY_WHY_MAX])
{
    *files = (struct np_deploy_files){.target = target, .earlier = true};
    for (enum np_deploy_file_kind kind = 0; kind < NP_DEPLOY_KINDS; kind++) {
        if (!target->files[kind][0])
            continue;
        struct np_deploy_file *file = &files->files[files->count++];
        file->path = target->files[kind];
        file->mode = kind == NP_DEPLOY_CERTIFICATE ? target->certificate_mode : target->mode;
        int rc = make_wanted(file, kind, certificate);
        if (rc)
            snprintf(why, NP_DEPLOY_WHY_MAX, "%s: %s", file->path, np_strerror(rc));
        else
            rc = read_earlier(file, target, why);
        if (rc)
            return rc;
        files->earlier &= file->earlier != NULL;
    }
    return 0;
}

bool np_deploy_files_same(const struct np_deploy_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        if (!files->files[i].same)
            return false;
    }
    return true;
}

static int write_all(int fd, const void *data, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = write(fd, (const uint8_t *)data + done, len - done);
        if (n < 0 && errno != EINTR)
            return -errno;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* Owner and mode stand before the first byte of a key does. */
static int write_beside(const char *path, const void *data, size_t len, uid_t uid, gid_t gid, mode_t mode)
{
    char fresh[PATH_MAX];
    snprintf(fresh, sizeof fresh, "%s" SUFFIX, path);
    unlink(fresh); /* of a run that was cut off */
    int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int rc = fchown(fd, uid, gid) < 0 || fchmod(fd, mode) < 0 ? -errno : write_all(fd, data, len);
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    close(fd);
    if (rc)
        unlink(fresh);
    return rc;
}

static int rename_into_place(const char *path)
{
    char fresh[PATH_MAX], folder[PATH_MAX];
    snprintf(fresh, sizeof fresh, "%s" SUFFIX, path);
    if (rename(fresh, path) < 0)
        return -errno;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    return np_folder_sync(folder[0] ? folder : "/");
}

/* The files up to last are as they were: a chain without its key would be worse than an old pair. */
static void undo(const struct np_deploy_files *files, size_t last)
{
    for (size_t i = 0; i <= last; i++) {
        const struct np_deploy_file *f = &files->files[i];
        int rc;
        if (f->earlier) {
            rc = write_beside(f->path, f->earlier, f->earlier_len, f->earlier_uid, f->earlier_gid, f->earlier_mode);
            if (rc == 0)
                rc = rename_into_place(f->path);
        } else {
            rc = unlink(f->path) < 0 && errno != ENOENT ? -errno : 0;
        }
        if (rc)
            np_error("deploy: %s: %s cannot be put back: %s", files->target->name, f->path, np_strerror(rc));
    }
}

/* What was written beside and will not be used. */
static void forget(const struct np_deploy_files *files)
{
    char fresh[PATH_MAX];
    for (size_t i = 0; i < files->count; i++) {
        snprintf(fresh, sizeof fresh, "%s" SUFFIX, files->files[i].path);
        unlink(fresh);
    }
}

static int put(const struct np_deploy_files *files, bool back, char why[NP_DEPLOY_WHY_MAX])
{
    const struct np_deploy_target *target = files->target;
    int rc = 0;
    size_t i;
    for (i = 0; i < files->count && rc == 0; i++) {
        const struct np_deploy_file *f = &files->files[i];
        rc = back ? write_beside(f->path, f->earlier, f->earlier_len, f->earlier_uid, f->earlier_gid, f->earlier_mode)
                  : write_beside(f->path, f->wanted, f->wanted_len, target->uid, target->gid, f->mode);
    }
    if (rc == 0) {
        for (i = 0; i < files->count && rc == 0; i++)
            rc = rename_into_place(files->files[i].path);
        if (rc && !back)
            undo(files, i - 1);
    }
    if (rc) {
        snprintf(why, NP_DEPLOY_WHY_MAX, "%s: %s", files->files[i - 1].path, np_strerror(rc));
        forget(files);
    }
    return rc;
}

int np_deploy_files_put(const struct np_deploy_files *files, char why[NP_DEPLOY_WHY_MAX])
{
    return put(files, false, why);
}

int np_deploy_files_put_back(const struct np_deploy_files *files, char why[NP_DEPLOY_WHY_MAX])
{
    return put(files, true, why);
}

void np_deploy_files_deinit(struct np_deploy_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        struct np_deploy_file *file = &files->files[i];
        if (file->wanted)
            np_wipe(file->wanted, file->wanted_len);
        if (file->earlier)
            np_wipe(file->earlier, file->earlier_len);
        free(file->wanted);
        free(file->earlier);
    }
    files->count = 0;
}
