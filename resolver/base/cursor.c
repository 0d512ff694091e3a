#include "resolver/base/cursor.h"

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

struct np_reader np_read_sub(struct np_reader *r, size_t n)
{
    const uint8_t *p = np_read_bytes(r, n);
    struct np_reader sub = np_reader_make(p, p ? n : 0);
    sub.error = r->error;
    return sub;
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
