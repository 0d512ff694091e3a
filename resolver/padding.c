#include "resolver/padding.h"

#include <string.h>

#include "resolver/base/cursor.h"
#include "resolver/message.h"

#define OPTION_HEAD 4 /* code and length */

/* The place of the OPT's length, 0 where the message does not end with an OPT. */
static size_t find_opt(const uint8_t *message, size_t len)
{
    struct np_walk walk;
    struct np_rr rr = {0};
    int more = np_walk_start(&walk, message, len);
    while (more == 0 && (more = np_walk_next(&walk, &rr)) > 0)
        more = 0;
    bool found = more == 0 && rr.type == NP_RR_OPT && rr.rdata_pos + rr.rdata_len == len;
    return found ? rr.rdata_pos - 2 : 0;
}

size_t np_padding_add(uint8_t *message, size_t len, size_t size, size_t block)
{
    size_t length_at = find_opt(message, len);
    if (length_at == 0 || len + OPTION_HEAD > size)
        return len;
    size_t target = (len + OPTION_HEAD + block - 1) / block * block;
    if (target > size)
        target = size;
    struct np_writer w = np_writer_make(message, size);
    w.pos = len;
    np_write_u16(&w, NP_PADDING_OPTION);
    np_write_u16(&w, (uint16_t)(target - len - OPTION_HEAD));
    uint8_t *zeros = np_write_reserve(&w, target - w.pos);
    if (zeros)
        memset(zeros, 0, target - len - OPTION_HEAD);
    np_write_u16_at(&w, length_at, (uint16_t)(target - length_at - 2));
    return w.error ? len : target;
}
