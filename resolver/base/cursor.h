/* cursor: bounded reading and writing of bytes with a sticky error.
 *
 * Every byte of DNS, netlink, state files and DER that nameplate parses or writes goes through here. A cursor never
 * moves outside its buffer: the first access that would do so sets error, and from then on reads return 0 and writes do
 * nothing, so the caller checks once at the end. Integers are big-endian ("network order") unless the name says
 * otherwise. A cursor borrows its buffer; it owns nothing and needs no release. What runs for every field of every
 * packet is inline: the calls would cost more than the work. */
#ifndef RESOLVER_BASE_CURSOR_H
#define RESOLVER_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "resolver/base/error.h"

/* A position in a buffer that is read. */
struct np_reader {
    const uint8_t *data;
    size_t size;
    size_t pos;
    int error; /* 0, or the first error: NP_E_TRUNCATED, or what np_reader_fail set */
};

/* A position in a buffer that is written. */
struct np_writer {
    uint8_t *data;
    size_t size; /* capacity */
    size_t pos;  /* bytes written so far */
    int error;   /* 0, or the first error: NP_E_LIMIT */
};

/* A reader over size bytes at data, at position 0. */
static inline struct np_reader np_reader_make(const void *data, size_t size)
{
    return (struct np_reader){.data = data, .size = size};
}

/* Bytes not yet read; 0 after an error. */
static inline size_t np_reader_left(const struct np_reader *r)
{
    return r->error ? 0 : r->size - r->pos;
}

/* Sets the sticky error unless one is set already. */
static inline void np_reader_fail(struct np_reader *r, int err)
{
    if (!r->error)
        r->error = err;
}

/* Returns a pointer to the next n bytes and moves past them, or NULL after setting NP_E_TRUNCATED. Borrowed. */
static inline const uint8_t *np_read_bytes(struct np_reader *r, size_t n)
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

/* Copies the next n bytes to out; out is zero-filled on error. */
void np_read_copy(struct np_reader *r, void *out, size_t n);

/* The next 1, 2, 4 or 8 bytes, big-endian; 0 on error. */
static inline uint8_t np_read_u8(struct np_reader *r)
{
    const uint8_t *p = np_read_bytes(r, 1);
    return p ? p[0] : 0;
}

/* See np_read_u8. */
static inline uint16_t np_read_u16(struct np_reader *r)
{
    const uint8_t *p = np_read_bytes(r, 2);
    return p ? (uint16_t)(p[0] << 8 | p[1]) : 0;
}

/* See np_read_u8. */
static inline uint32_t np_read_u32(struct np_reader *r)
{
    const uint8_t *p = np_read_bytes(r, 4);
    return p ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : 0;
}

/* See np_read_u8. */
uint64_t np_read_u64(struct np_reader *r);

/* Moves to an absolute position (at most size), or sets NP_E_TRUNCATED. */
void np_read_seek(struct np_reader *r, size_t pos);

/* Moves n bytes forward, or sets NP_E_TRUNCATED. */
static inline void np_read_skip(struct np_reader *r, size_t n)
{
    (void)np_read_bytes(r, n);
}

/* A reader over the next n bytes (position 0 of its own), and moves r past them. On error the sub-reader is empty and
 * carries the error. */
struct np_reader np_read_sub(struct np_reader *r, size_t n);

/* A writer over size bytes at data, at position 0. */
static inline struct np_writer np_writer_make(void *data, size_t size)
{
    return (struct np_writer){.data = data, .size = size};
}

/* Room that is left; 0 after an error. */
static inline size_t np_writer_left(const struct np_writer *w)
{
    return w->error ? 0 : w->size - w->pos;
}

/* Reserves n bytes and returns a pointer to them, or NULL after setting NP_E_LIMIT. Borrowed, uninitialised. */
static inline uint8_t *np_write_reserve(struct np_writer *w, size_t n)
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

/* Appends n bytes. */
static inline void np_write_bytes(struct np_writer *w, const void *data, size_t n)
{
    if (n == 0)
        return;
    uint8_t *p = np_write_reserve(w, n);
    if (p)
        memcpy(p, data, n);
}

/* Appends 1, 2, 4 or 8 bytes, big-endian. */
static inline void np_write_u8(struct np_writer *w, uint8_t v)
{
    np_write_bytes(w, &v, 1);
}

/* See np_write_u8. */
static inline void np_write_u16(struct np_writer *w, uint16_t v)
{
    uint8_t b[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    np_write_bytes(w, b, 2);
}

/* See np_write_u8. */
static inline void np_write_u32(struct np_writer *w, uint32_t v)
{
    uint8_t b[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    np_write_bytes(w, b, 4);
}

/* See np_write_u8. */
void np_write_u64(struct np_writer *w, uint64_t v);

/* Overwrites two bytes at an absolute position that was written before (a length or a count known only later). A
 * position not yet written sets NP_E_LIMIT. */
void np_write_u16_at(struct np_writer *w, size_t pos, uint16_t v);

/* Cuts the writer back to an earlier position and clears the error: how a record that did not fit is taken out again.
 */
void np_write_rewind(struct np_writer *w, size_t pos);

#endif
