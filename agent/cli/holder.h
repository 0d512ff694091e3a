/* holder: which process holds a port that the agent wants: from /proc, as far as whoever asks may look. */
#ifndef AGENT_CLI_HOLDER_H
#define AGENT_CLI_HOLDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"

#define NP_HOLDER_NAME_MAX 32 /* a process's comm has 15 characters */

/* Finds the socket in the text of /proc/net/tcp, tcp6, udp or udp6 (proc(5)) that stands in the way of binding wanted:
 * at that very address or at all of them, listening where it is TCP. Pure. Returns true with its inode and its owner.
 */
bool np_holder_find(const char *table, bool tcp, const struct np_endpoint *wanted, uint64_t *out_inode,
                    unsigned *out_uid);

/* Looks through /proc for the one that holds the port in the network of process pid (the agent). Writes "dnsmasq (pid
 * 123)", or "a process of uid 53" where only that can be seen. Returns whether anything was found. */
bool np_holder_describe(int64_t pid, bool tcp, const struct np_endpoint *wanted, char *out, size_t size);

#endif
