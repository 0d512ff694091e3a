/* upstreams: the DNS servers to forward to, from a file that others write (lease.h says in which forms).
 *
 * The file is watched in three ways, since some writers replace it and some write it in place: its folder (a rename, a
 * new file), itself (a write; also where it is a bind mount, whose folder sees nothing), and, where it is a symbolic
 * link, the folder of the file that this leads to in the end, whether that is there or not. Each only says "look
 * again".
 *
 * Lifecycle: np_upstreams_new, changed() from the loop, np_upstreams_close; the memory goes when the handles are
 * closed.
 */
#ifndef AGENT_UPSTREAMS_H
#define AGENT_UPSTREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

#include "resolver/base/address.h"

#define NP_UPSTREAMS_FILE_MAX    65536 /* bytes read of the file */
#define NP_UPSTREAMS_DEBOUNCE_MS 50    /* a writer in place truncates first */

struct np_upstreams;

/* np_lease_parse on a file; count where it cannot be read. */
size_t np_upstreams_read(const char *path, struct np_endpoint *servers, size_t count, size_t max);

/* Watches the file. A file or folder that is not there is looked for again after each sign and by
 * np_upstreams_look. Returns 0 or -errno. */
int np_upstreams_new(uv_loop_t *loop, const char *path, void (*changed)(void *ctx), void *ctx,
                     struct np_upstreams **out_upstreams);

/* Arms the watches again: after something happened that may have made the file. */
void np_upstreams_look(struct np_upstreams *upstreams);

/* Stops and frees (from the loop, later). NULL is fine. */
void np_upstreams_close(struct np_upstreams *upstreams);

#endif
