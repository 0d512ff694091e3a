/* frames: DNS messages out of a byte stream, each behind its length in two bytes (RFC 1035 section 4.2.2).
 *
 * Bytes come in whatever pieces the network makes of them: several messages in one, a message in many. The buffer grows
 * with the message that is announced and is small again once a large one has been taken. Pure but for memory.
 *
 * Lifecycle: zero a struct np_frames; np_frames_room, write there, np_frames_filled; np_frames_next until it says no;
 * np_frames_deinit. */
#ifndef RESOLVER_FRAMES_H
#define RESOLVER_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/message.h"

#define NP_FRAMES_SMALL 4096                     /* bytes at first: a few dozen queries, or answers of a usual size */
#define NP_FRAMES_MAX   (2 + NP_DNS_MESSAGE_MAX) /* bytes: the longest frame */

/* The next message in len bytes that came in, from *inout_pos on, which is moved behind it. least and most bound its
 * length: a client's query has a header at least, and a limit. Returns 1 with the message (borrowed from data), 0 when
 * it is not whole yet, NP_E_MALFORMED when its length is out of bounds. Pure. */
int np_frame_take(const uint8_t *data, size_t len, size_t *inout_pos, size_t least, size_t most,
                  const uint8_t **out_message, size_t *out_len);

/* What has come in and was not taken yet. */
struct np_frames {
    uint8_t *data;
    size_t size; /* capacity of data */
    size_t pos;  /* taken */
    size_t len;  /* filled; the bytes from pos to len are waiting */
};

/* Where the next bytes go: at least one byte of room, *out_room of them. Takes what np_frames_next gave out back.
 * Returns NULL when out of memory. Borrowed until the next call. */
uint8_t *np_frames_room(struct np_frames *frames, size_t *out_room);

/* Says that n bytes were written there (at most the room). */
void np_frames_filled(struct np_frames *frames, size_t n);

/* The next whole message, without its length; empty ones are given too. Borrowed until np_frames_room. Returns false
 * when none is complete. */
bool np_frames_next(struct np_frames *frames, const uint8_t **out_message, size_t *out_len);

/* Frees the buffer; the struct may be used anew. */
void np_frames_deinit(struct np_frames *frames);

#endif
