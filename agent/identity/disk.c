#include "agent/identity/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "resolver/base/file.h"

static int kernel_read(void *ctx, const char *path, size_t max, uint8_t **out_data, size_t *out_len)
{
    (void)ctx;
    return np_file_read(path, max, out_data, out_len);
}

static int kernel_write(void *ctx, const char *path, const void *data, size_t len)
{
    (void)ctx;
    const uint8_t *at = data;
    int rc = 0, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    while (len > 0 && rc == 0) {
        ssize_t n = write(fd, at, len);
        if (n >= 0) {
            at += n;
            len -= (size_t)n;
        } else if (errno != EINTR) {
            rc = -errno;
        }
    }
    if (rc == 0 && fsync(fd) < 0)
        rc = -errno;
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    return rc;
}

static int kernel_mkdir(void *ctx, const char *path)
{
    (void)ctx;
    return mkdir(path, 0700) < 0 ? -errno : 0;
}

static int kernel_rename(void *ctx, const char *from, const char *to)
{
    (void)ctx;
    return rename(from, to) < 0 ? -errno : 0;
}

static int kernel_unlink(void *ctx, const char *path)
{
    (void)ctx;
    return unlink(path) < 0 ? -errno : 0;
}

static int kernel_rmdir(void *ctx, const char *path)
{
    (void)ctx;
    return rmdir(path) < 0 ? -errno : 0;
}

static int kernel_sync(void *ctx, const char *folder)
{
    (void)ctx;
    return np_folder_sync(folder);
}

static int kernel_list(void *ctx, const char *folder, np_disk_name_fn *each, void *arg)
{
    (void)ctx;
    DIR *dir = opendir(folder);
    if (!dir)
        return -errno;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir)); errno = 0)
        each(arg, entry->d_name);
    int rc = -errno; /* a listing that broke off is no listing: a generation could be missing in it */
    closedir(dir);
    return rc;
}

const struct np_disk np_disk_kernel = {
    .read = kernel_read,
    .write = kernel_write,
    .mkdir = kernel_mkdir,
    .rename = kernel_rename,
    .unlink = kernel_unlink,
    .rmdir = kernel_rmdir,
    .sync = kernel_sync,
    .list = kernel_list,
};
