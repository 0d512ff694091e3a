/* Runs a fuzz target over every file of the folders and files named on the command line: how a corpus is an ordinary
 * test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "resolver/base/error.h"
#include "resolver/base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    uint8_t *data;
    size_t len;
    int rc = np_file_read(path, 1 << 20, &data, &len);
    if (rc) {
        fprintf(stderr, "%s: %s\n", path, np_strerror(rc));
        return -1;
    }
    /* A copy of the exact size, so that AddressSanitizer sees a read of one byte too many. */
    uint8_t *exact = malloc(len ? len : 1);
    for (size_t i = 0; exact && i < len; i++)
        exact[i] = data[i];
    free(data);
    if (exact)
        LLVMFuzzerTestOneInput(exact, len);
    free(exact);
    return 0;
}

static int run_folder(const char *path)
{
    int count = 0;
    DIR *folder = opendir(path);
    if (!folder)
        return run_file(path) ? -1 : 1;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char file[4096];
        struct stat st;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (stat(file, &st) || !S_ISREG(st.st_mode))
            continue;
        if (run_file(file)) {
            closedir(folder);
            return -1;
        }
        count++;
    }
    closedir(folder);
    return count;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int count = run_folder(argv[i]);
        if (count < 0)
            return 1;
        total += count;
    }
    printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1; /* an empty corpus tests nothing */
}
