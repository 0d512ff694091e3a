/* A stream cut into messages: the same bytes give the same messages, however the network cuts them. The first byte
 * chooses the pieces. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/frames.h"

#define QUERY_MAX 4096 /* as the server has it */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* The server's side: a buffer of a fixed size, queries with a least and a most, the first bad one being the end. */
static void check_server(const uint8_t *data, size_t size, size_t step)
{
    static uint8_t in[2 + QUERY_MAX];
    size_t in_len = 0, pos = 0, expected = 0;
    while (pos < size) {
        size_t used = 0, len, n = size - pos < step ? size - pos : step;
        const uint8_t *message;
        int taken;
        n = n < sizeof in - in_len ? n : sizeof in - in_len;
        require(n > 0, "a whole query fits");
        memcpy(in + in_len, data + pos, n);
        in_len += n;
        pos += n;
        while ((taken = np_frame_take(in, in_len, &used, NP_DNS_HEADER_LEN, QUERY_MAX, &message, &len)) > 0) {
            require(len >= NP_DNS_HEADER_LEN && len <= QUERY_MAX, "bounds");
            require(expected + 2 + len <= pos && memcmp(message, data + expected + 2, len) == 0, "bytes");
            expected += 2 + len;
        }
        require(taken == 0 || taken == NP_E_MALFORMED, "result");
        if (taken < 0)
            return;
        require(pos - expected == in_len - used, "nothing is lost");
        memmove(in, in + used, in_len - used);
        in_len -= used;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct np_frames frames = {0};
    if (size < 1)
        return 0;
    size_t step = data[0] + 1u, pos = 0, expected = 0;
    data++;
    size--;
    while (pos < size) {
        size_t room, len, n = size - pos < step ? size - pos : step;
        const uint8_t *message;
        uint8_t *to = np_frames_room(&frames, &room);
        require(to && room > 0, "room");
        n = n < room ? n : room;
        memcpy(to, data + pos, n);
        np_frames_filled(&frames, n);
        pos += n;
        while (np_frames_next(&frames, &message, &len)) {
            require(expected + 2 + len <= pos, "only what came");
            require(len == (size_t)(data[expected] << 8 | data[expected + 1]), "length");
            require(memcmp(message, data + expected + 2, len) == 0, "bytes");
            expected += 2 + len;
        }
        require(pos - expected < 2 || expected + 2 + (size_t)(data[expected] << 8 | data[expected + 1]) > pos,
                "whole messages are given at once");
        require(frames.size <= NP_FRAMES_MAX, "memory");
    }
    np_frames_deinit(&frames);
    check_server(data, size, step);
    return 0;
}
