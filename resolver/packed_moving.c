#include "resolver/packed_moving.h"

#include <string.h>

#include "resolver/rdata.h"

#define POINTER_BITS 0xc0

static bool meets_address(const struct packed_run *run, size_t begin, size_t end)
{
    if (begin >= run->end || run->begin >= end)
        return false;
    size_t step = (run->end - run->begin) / run->count;
    for (size_t at = run->begin + 2 + PACKED_RR_FIXED; at < run->end; at += step) {
        if (begin < at + step - 2 - PACKED_RR_FIXED && at < end)
            return true;
    }
    return false;
}

/* Do bytes from begin to end meet something that changes? */
static bool meets(const struct packed_moving *moving, size_t begin, size_t end)
{
    size_t low = 0, high = moving->count;
    while (low < high) { /* the first TTL that ends after begin */
        size_t middle = (low + high) / 2;
        if (moving->places[middle] + 4u > begin)
            high = middle;
        else
            low = middle + 1;
    }
    return (low < moving->count && moving->places[low] < end) || meets_address(&moving->run, begin, end);
}

/* Is the name at pos, which np_name_read took, made of bytes that stay as they are? */
static bool is_steady(const struct packed_moving *moving, size_t pos)
{
    const uint8_t *message = moving->message;
    for (;;) {
        size_t begin = pos, first = moving->start;
        while (message[pos] != 0 && (message[pos] & POINTER_BITS) == 0)
            pos += message[pos] + 1u;
        size_t end = pos + (message[pos] == 0 ? 1 : 2);
        if (end > first && meets(moving, begin > first ? begin - first : 0, end - first))
            return false;
        if (message[pos] == 0)
            return true;
        pos = (size_t)(message[pos] & ~POINTER_BITS) << 8 | message[pos + 1];
    }
}

bool packed_is_steady(const struct packed_moving *moving, const struct np_rr *rr)
{
    size_t names[NP_RDATA_NAMES_MAX];
    if (!is_steady(moving, rr->pos) || !np_rdata_is_sound(moving->message, moving->len, rr))
        return false;
    size_t count = np_rdata_names(moving->message, moving->len, rr, names);
    for (size_t i = 0; i < count; i++) {
        if (!is_steady(moving, names[i]))
            return false;
    }
    return true;
}

void packed_extend_run(struct packed_moving *moving, const struct np_rr *rr, uint16_t qtype)
{
    const uint8_t *message = moving->message;
    struct packed_run *run = &moving->run;
    size_t begin = rr->pos - moving->start, len = rr->type == NP_RR_A ? 4 : 16;
    bool fits = rr->section == NP_SECTION_ANSWER && (rr->type == NP_RR_A || rr->type == NP_RR_AAAA) &&
                rr->type == qtype && rr->rdata_len == len && (message[rr->pos] & POINTER_BITS) != 0;
    if (fits && run->count > 0 && run->count < UINT8_MAX && begin == run->end && rr->ttl == run->ttl &&
        memcmp(message + rr->pos, message + moving->start + run->begin, 2) == 0) {
        run->count++;
        run->end = begin + 2 + PACKED_RR_FIXED + len;
    } else if (run->count < 2) {
        *run =
            fits ? (struct packed_run){begin, begin + 2 + PACKED_RR_FIXED + len, 1, rr->ttl} : (struct packed_run){0};
    }
}
