#include "resolver/base/cursor.h"

#include <string.h>

#include "resolver/base/error.h"

const uint8_t *np_read_bytes(struct np_reader *r, size_t n)
{
    if (r->error)
        return NULL;
    if (n > r->size - r->pos) {
        r->error = NP_E_TRUNCATED;
        return NULL;
    }
    const uint8_t *p = r->data + r->pos;
    r->pos += n;
    return p;
}

void np_read_copy(struct np_reader *r, void *out, size_t n)
{
    const uint8_t *p = np_read_bytes(r, n);
    if (n == 0)
        return;
    if (p)
        memcpy(out, p, n);
    else
        memset(out, 0, n);
}

uint8_t np_read_u8(struct np_reader *r)
{
    const uint8_t *p = np_read_bytes(r, 1);
    return p ? p[0] : 0;
}

uint16_t np_read_u16(struct np_reader *r)
{
    const uint8_t *p = np_read_bytes(r, 2);
    return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

uint32_t np_read_u32(struct np_reader *r)
{
    const uint8_t *p = np_read_bytes(r, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

uint64_t np_read_u64(struct np_reader *r)
{
    uint64_t high = np_read_u32(r);
    return high << 32 | np_read_u32(r);
}

void np_read_seek(struct np_reader *r, size_t pos)
{
    if (r->error)
        return;
    if (pos > r->size)
        r->error = NP_E_TRUNCATED;
    else
        r->pos = pos;
}

void np_read_skip(struct np_reader *r, size_t n)
{
    (void)np_read_bytes(r, n);
}

struct np_reader np_read_sub(struct np_reader *r, size_t n)
{
    const uint8_t *p = np_read_bytes(r, n);
    struct np_reader sub = np_reader_make(p, p ? n : 0);
    sub.error = r->error;
    return sub;
}

uint8_t *np_write_reserve(struct np_writer *w, size_t n)
{
    if (w->error)
        return NULL;
    if (n > w->size - w->pos) {
        w->error = NP_E_LIMIT;
        return NULL;
    }
    uint8_t *p = w->data + w->pos;
    w->pos += n;
    return p;
}

void np_write_bytes(struct np_writer *w, const void *data, size_t n)
{
    if (n == 0)
        return;
    uint8_t *p = np_write_reserve(w, n);
    if (p)
        memcpy(p, data, n);
}

void np_write_u8(struct np_writer *w, uint8_t v)
{
    np_write_bytes(w, &v, 1);
}

void np_write_u16(struct np_writer *w, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    np_write_bytes(w, b, 2);
}

void np_write_u32(struct np_writer *w, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    np_write_bytes(w, b, 4);
}

void np_write_u64(struct np_writer *w, uint64_t v)
{
    np_write_u32(w, (uint32_t)(v >> 32));
    np_write_u32(w, (uint32_t)v);
}

void np_write_u16_at(struct np_writer *w, size_t pos, uint16_t v)
{
    if (w->error)
        return;
    if (pos > w->pos || w->pos - pos < 2) {
        w->error = NP_E_LIMIT;
        return;
    }
    w->data[pos] = (uint8_t)(v >> 8);
    w->data[pos + 1] = (uint8_t)v;
}

void np_write_rewind(struct np_writer *w, size_t pos)
{
    if (pos <= w->pos) {
        w->pos = pos;
        w->error = 0;
    }
}
