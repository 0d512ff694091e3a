#include "resolver/frames.h"

#include <stdlib.h>
#include <string.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"

int np_frame_take(const uint8_t *data, size_t len, size_t *inout_pos, size_t least, size_t most,
                  const uint8_t **out_message, size_t *out_len)
{
    struct np_reader r = np_reader_make(data + *inout_pos, len - *inout_pos);
    size_t message_len = np_read_u16(&r);
    if (r.error)
        return 0;
    if (message_len < least || message_len > most)
        return NP_E_MALFORMED;
    const uint8_t *message = np_read_bytes(&r, message_len);
    if (r.error)
        return 0;
    *inout_pos += r.pos;
    *out_message = message;
    *out_len = message_len;
    return 1;
}

/* Capacity for what waits and the message that it begins. */
static size_t wanted_size(const struct np_frames *frames)
{
    struct np_reader r = np_reader_make(frames->data + frames->pos, frames->len - frames->pos);
    size_t announced = 2 + (size_t)np_read_u16(&r);
    return r.error || announced <= NP_FRAMES_SMALL ? NP_FRAMES_SMALL : announced;
}

uint8_t *np_frames_room(struct np_frames *frames, size_t *out_room)
{
    size_t wanted = frames->data ? wanted_size(frames) : NP_FRAMES_SMALL;
    size_t waiting = frames->len - frames->pos;
    /* What waits is the beginning of one message, so it always fits what that message needs. */
    if (frames->pos > 0)
        memmove(frames->data, frames->data + frames->pos, waiting);
    frames->pos = 0;
    frames->len = waiting;
    if (frames->size != wanted && waiting < wanted) {
        uint8_t *data = realloc(frames->data, wanted);
        if (!data)
            return NULL;
        frames->data = data;
        frames->size = wanted;
    }
    *out_room = frames->size - frames->len;
    return frames->data + frames->len;
}

void np_frames_filled(struct np_frames *frames, size_t n)
{
    frames->len += n;
}

bool np_frames_next(struct np_frames *frames, const uint8_t **out_message, size_t *out_len)
{
    return frames->data &&
           np_frame_take(frames->data, frames->len, &frames->pos, 0, NP_DNS_MESSAGE_MAX, out_message, out_len) > 0;
}

void np_frames_deinit(struct np_frames *frames)
{
    free(frames->data);
    *frames = (struct np_frames){0};
}
