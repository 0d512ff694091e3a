#include "agent/identity/der.h"

#include <string.h>

#include "resolver/base/error.h"

uint8_t np_der_peek(const struct np_reader *r)
{
    struct np_reader copy = *r;
    return np_read_u8(&copy);
}

/* X.690 section 10.1: a definite length in the fewest bytes. */
static size_t read_length(struct np_reader *r)
{
    size_t length = np_read_u8(r);
    if (length < 0x80)
        return length;
    if (length == 0x81) {
        length = np_read_u8(r);
        if (length < 0x80)
            np_reader_fail(r, NP_E_MALFORMED);
    } else if (length == 0x82) {
        length = np_read_u16(r);
        if (length < 0x100)
            np_reader_fail(r, NP_E_MALFORMED);
    } else {
        np_reader_fail(r, NP_E_MALFORMED);
    }
    return r->error ? 0 : length;
}

struct np_reader np_der_read(struct np_reader *r, uint8_t tag)
{
    if (np_read_u8(r) != tag)
        np_reader_fail(r, NP_E_MALFORMED);
    size_t length = read_length(r);
    return np_read_sub(r, length);
}

void np_der_skip(struct np_reader *r)
{
    np_read_u8(r);
    np_read_skip(r, read_length(r));
}

bool np_der_read_optional(struct np_reader *r, uint8_t tag, struct np_reader *out_content)
{
    if (np_der_peek(r) != tag)
        return false;
    *out_content = np_der_read(r, tag);
    return true;
}

void np_der_end_of(struct np_reader *r)
{
    if (np_reader_left(r) > 0)
        np_reader_fail(r, NP_E_MALFORMED);
}

bool np_der_is(const struct np_reader *content, const void *bytes, size_t len)
{
    struct np_reader copy = *content;
    if (np_reader_left(&copy) != len)
        return false;
    return len == 0 || memcmp(np_read_bytes(&copy, len), bytes, len) == 0;
}

size_t np_der_begin(struct np_writer *w, uint8_t tag)
{
    np_write_u8(w, tag);
    np_write_u8(w, 0);
    return w->pos;
}

void np_der_finish(struct np_writer *w, size_t mark)
{
    if (w->error)
        return;
    size_t length = w->pos - mark, extra = length < 0x80 ? 0 : length < 0x100 ? 1 : 2;
    if (length > 0xffff) {
        w->error = NP_E_LIMIT;
        return;
    }
    if (extra && !np_write_reserve(w, extra))
        return;
    uint8_t *content = w->data + mark;
    memmove(content + extra, content, length);
    if (extra == 0) {
        content[-1] = (uint8_t)length;
    } else {
        content[-1] = (uint8_t)(0x80 | extra);
        content[0] = (uint8_t)(extra == 1 ? length : length >> 8);
        if (extra == 2)
            content[1] = (uint8_t)length;
    }
}

void np_der_write(struct np_writer *w, uint8_t tag, const void *content, size_t len)
{
    size_t mark = np_der_begin(w, tag);
    np_write_bytes(w, content, len);
    np_der_finish(w, mark);
}
