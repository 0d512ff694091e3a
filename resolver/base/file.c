#include "resolver/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "resolver/base/error.h"

/* Every target sees this file: on a 32-bit one, the flags of the build must not get lost (CMakeLists.txt). */
_Static_assert(sizeof(time_t) == 8 && sizeof(off_t) == 8, "times and offsets of 64 bits");

int np_file_read(const char *path, size_t max, uint8_t **out_data, size_t *out_len)
{
    int rc = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t size = 4096, len = 0;
    uint8_t *data = NULL;
    if (fd < 0)
        return -errno;
    if (size > max)
        size = max;
    for (;;) {
        /* One byte more than the limit tells "exactly max" from "too long"; one more again is for the NUL. */
        uint8_t *grown = realloc(data, size + 2);
        if (!grown) {
            rc = -ENOMEM;
            goto out;
        }
        data = grown;
        ssize_t n = read(fd, data + len, size + 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = -errno;
            goto out;
        }
        if (n == 0)
            break;
        len += (size_t)n;
        if (len > max) {
            rc = NP_E_LIMIT;
            goto out;
        }
        if (len > size)
            size = size * 2 > max ? max : size * 2;
    }
    data[len] = 0;
    *out_data = data;
    *out_len = len;
    data = NULL;
out:
    free(data);
    close(fd);
    return rc;
}

int np_folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data += n;
        len -= (size_t)n;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

int np_file_write_atomic(const char *path, const void *data, size_t len, mode_t mode)
{
    char temporary[PATH_MAX], folder[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.tmp", path);
    if (n < 0 || (size_t)n >= sizeof temporary)
        return -ENAMETOOLONG;
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    int rc = fchmod(fd, mode) < 0 ? -errno : write_all(fd, data, len);
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc == 0 && rename(temporary, path) < 0)
        rc = -errno;
    if (rc) {
        unlink(temporary);
        return rc;
    }
    memcpy(folder, path, strlen(path) + 1);
    char *slash = strrchr(folder, '/');
    if (!slash)
        return np_folder_sync(".");
    slash[slash == folder ? 1 : 0] = 0;
    return np_folder_sync(folder);
}

int np_folder_make(const char *path, mode_t mode)
{
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return len ? -ENAMETOOLONG : -EINVAL;
    memcpy(part, path, len + 1);
    for (size_t i = 1; i < len; i++) {
        if (part[i] != '/')
            continue;
        part[i] = 0;
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return -errno;
        part[i] = '/';
    }
    if (mkdir(path, mode) < 0) {
        struct stat st;
        if (errno != EEXIST)
            return -errno;
        if (stat(path, &st) == 0 && !S_ISDIR(st.st_mode))
            return -ENOTDIR;
    }
    return 0;
}
