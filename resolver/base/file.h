/* file: whole files, read with a limit and written so that a power cut leaves the old or the new content, never a mix.
 */
#ifndef RESOLVER_BASE_FILE_H
#define RESOLVER_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads the whole file. *out_data is malloc'd (the caller frees it) and has a NUL after its last byte, which *out_len
 * does not count. Returns 0, -errno, or NP_E_LIMIT when the file has more than max bytes. */
int np_file_read(const char *path, size_t max, uint8_t **out_data, size_t *out_len);

/* Writes "path.tmp" with the mode, fsyncs it, renames it to path and fsyncs the folder. Returns 0 or -errno; on an
 * error the old file is untouched and the temporary file is gone. */
int np_file_write_atomic(const char *path, const void *data, size_t len, mode_t mode);

/* fsyncs a folder, so that renames in it survive a power cut. Returns 0 or -errno. */
int np_folder_sync(const char *path);

/* Makes the folder (and its parents, which get 0755) unless it is there. Returns 0 or -errno. */
int np_folder_make(const char *path, mode_t mode);

#endif
