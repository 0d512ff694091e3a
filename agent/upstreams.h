/* upstreams: the DNS servers to forward to, from a resolv.conf(5) that others write (udhcpc, pppd, netifd).
 *
 * The file is watched in two ways, since some writers replace it and some write it in place: its folder (a rename, a
 * new file) and itself (a write; also where it is a bind mount, whose folder sees nothing). Either only says "look
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

/* Reads the nameserver lines of a resolv.conf text (port 53); lines that do not parse are passed over, as every
 * resolver does. At most max servers, each once. Returns their number. Pure. */
size_t np_resolv_conf_parse(const char *text, size_t len, struct np_endpoint *out_servers, size_t max);

/* np_resolv_conf_parse on a file; 0 servers where it cannot be read. */
size_t np_resolv_conf_read(const char *path, struct np_endpoint *out_servers, size_t max);

/* Watches the file. A file or folder that is not there is looked for again after each sign and by
 * np_upstreams_look. Returns 0 or -errno. */
int np_upstreams_new(uv_loop_t *loop, const char *path, void (*changed)(void *ctx), void *ctx,
                     struct np_upstreams **out_upstreams);

/* Arms the watches again: after something happened that may have made the file. */
void np_upstreams_look(struct np_upstreams *upstreams);

/* Stops and frees (from the loop, later). NULL is fine. */
void np_upstreams_close(struct np_upstreams *upstreams);

#endif
