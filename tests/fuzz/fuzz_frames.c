/* A stream cut into messages: the same bytes give the same messages, however the network cuts them. The first byte
 * chooses the pieces. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/frames.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
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
    return 0;
}
