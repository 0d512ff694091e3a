/* channel: the message pipe between a parent and its child process (agent and resolver, agent and front, HQ and its
 * DNS).
 *
 * A SOCK_SEQPACKET Unix socket pair, the child's end being descriptor 3. Each packet is one frame: 4 bytes type (ASCII,
 * big- endian order), then the payload (JSON or raw bytes, as the type says), with up to NP_CHANNEL_FDS_MAX descriptors
 * beside it. A closed channel means the other side is gone: a child ends itself then. Both ends are non-blocking. */
#ifndef RESOLVER_BASE_CHANNEL_H
#define RESOLVER_BASE_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#define NP_CHANNEL_FD 3 /* the child's end, by convention */
#define NP_CHANNEL_FRAME_MAX                                                                                           \
    (128 * 1024)               /* a view of 32 interfaces is under 16 KiB; below the kernel's 208 KiB default */
#define NP_CHANNEL_FDS_MAX 128 /* below the kernel's SCM_MAX_FD 253 */

/* A frame type from four characters: NP_FRAME('V','I','E','W'). */
#define NP_FRAME(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (uint32_t)(d))

/* A received frame. payload points into the caller's buffer; fds belong to the caller, who closes them. */
struct np_frame {
    uint32_t type;
    const uint8_t *payload;
    size_t len;
    int fds[NP_CHANNEL_FDS_MAX];
    size_t fd_count;
};

/* Makes a pair, both ends non-blocking and close-on-exec, with send buffers that hold one largest frame. 0 or -errno.
 */
int np_channel_pair(int out_fds[2]);

/* Sends one frame; the descriptors stay the caller's. Returns 0, -EAGAIN when the peer is slow, NP_E_LIMIT,
 * NP_E_CLOSED, or another -errno. */
int np_channel_send(int fd, uint32_t type, const void *payload, size_t len, const int *fds, size_t fd_count);

/* Receives one frame into buffer (NP_CHANNEL_FRAME_MAX + 4 bytes). Returns 0, -EAGAIN when there is none, NP_E_CLOSED
 * at the end, NP_E_MALFORMED for a frame that is too short or was cut (its descriptors are closed), or -errno. Received
 * descriptors are close-on-exec. */
int np_channel_receive(int fd, uint8_t *buffer, size_t size, struct np_frame *out_frame);

/* Closes the frame's descriptors that were not taken (taken ones are set to -1 by the taker). */
void np_frame_close_fds(struct np_frame *frame);

#endif
