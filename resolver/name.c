#include "resolver/name.h"

#include <string.h>

#include "resolver/base/error.h"

#define LABEL_MAX    63   /* RFC 1035 section 2.3.4 */
#define POINTER_BITS 0xc0 /* RFC 1035 section 4.1.4 */
#define HEADER_LEN   12   /* no name stands in a message's header */

static uint8_t lower(uint8_t c)
{
    return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
}

/* Length bytes are at most 63, below 'A', so a whole name can be lower-cased and compared byte by byte. Eight bytes at
 * a time: bit 7 of each byte of `is_upper` is set where the byte lies in 'A'..'Z'. */
static uint64_t lower8(uint64_t v)
{
    const uint64_t ones = 0x0101010101010101u;
    uint64_t seven = v & ones * 0x7f;
    uint64_t from_a = seven + ones * (0x80 - 'A'), past_z = seven + ones * (0x80 - 'Z' - 1);
    uint64_t is_upper = from_a & ~past_z & ~v & ones * 0x80;
    return v | is_upper >> 2;
}

static bool eight_equal(const uint8_t a[8], const uint8_t b[8])
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x == y || lower8(x) == lower8(y);
}

static bool four_equal(const uint8_t a[4], const uint8_t b[4])
{
    uint32_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x == y || lower8(x) == lower8(y);
}

/* What is left over of the last step is compared together with bytes that were compared before. */
static bool bytes_equal(const uint8_t *a, const uint8_t *b, size_t len)
{
    if (len < 4) {
        for (size_t i = 0; i < len; i++) {
            if (lower(a[i]) != lower(b[i]))
                return false;
        }
        return true;
    }
    if (len < 8)
        return four_equal(a, b) && four_equal(a + len - 4, b + len - 4);
    for (size_t i = 0; i + 8 < len; i += 8) {
        if (!eight_equal(a + i, b + i))
            return false;
    }
    return eight_equal(a + len - 8, b + len - 8);
}

/* One character of presentation form. Returns the characters used, 0 when it is malformed. */
static size_t parse_escape(const char *text, uint8_t *out)
{
    if (text[0] != '\\') {
        *out = (uint8_t)text[0];
        return 1;
    }
    if (text[1] < '0' || text[1] > '9') {
        *out = (uint8_t)text[1];
        return text[1] ? 2 : 0;
    }
    unsigned value = 0;
    for (int i = 1; i <= 3; i++) {
        if (text[i] < '0' || text[i] > '9')
            return 0;
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    *out = (uint8_t)value;
    return value <= 255 ? 4 : 0;
}

int np_name_parse(const char *text, struct np_name *out_name)
{
    struct np_name name = {0};
    struct np_writer w = np_writer_make(name.wire, sizeof name.wire);
    if (strcmp(text, ".") == 0)
        text++;
    else if (*text == 0)
        return NP_E_MALFORMED;
    while (*text) {
        uint8_t label[LABEL_MAX];
        size_t len = 0;
        while (*text && *text != '.') {
            uint8_t c = 0;
            size_t used = parse_escape(text, &c);
            if (used == 0 || len == LABEL_MAX)
                return NP_E_MALFORMED;
            label[len++] = c;
            text += used;
        }
        if (len == 0)
            return NP_E_MALFORMED;
        np_write_u8(&w, (uint8_t)len);
        np_write_bytes(&w, label, len);
        if (*text == '.')
            text++;
    }
    np_write_u8(&w, 0);
    if (w.error)
        return NP_E_MALFORMED;
    name.len = (uint8_t)w.pos;
    *out_name = name;
    return 0;
}

static bool is_plain(uint8_t c)
{
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '-' || c == '_' || c == '*';
}

const char *np_name_format(const struct np_name *name, char out[NP_NAME_TEXT_MAX])
{
    struct np_writer w = np_writer_make(out, NP_NAME_TEXT_MAX);
    if (name->len <= 1)
        np_write_u8(&w, '.');
    for (size_t i = 0; i < name->len && name->wire[i] != 0; i += name->wire[i] + 1u) {
        if (i > 0)
            np_write_u8(&w, '.');
        for (size_t k = 1; k <= name->wire[i]; k++) {
            uint8_t c = name->wire[i + k];
            if (is_plain(c)) {
                np_write_u8(&w, c);
                continue;
            }
            const uint8_t escaped[4] = {'\\', (uint8_t)('0' + c / 100), (uint8_t)('0' + c / 10 % 10),
                                        (uint8_t)('0' + c % 10)};
            np_write_bytes(&w, escaped, sizeof escaped);
        }
    }
    np_write_u8(&w, 0);
    return out;
}

/* The labels at the reader's position, as many bytes of them as end before the root, a pointer, or what is none of
 * these. Returns their number; it is limit or more when limit bytes hold no such end. */
static size_t count_labels(const uint8_t *bytes, size_t limit)
{
    size_t used = 0;
    while (used < limit && bytes[used] >= 1 && bytes[used] <= LABEL_MAX)
        used += bytes[used] + 1u;
    return used;
}

void np_name_read(struct np_reader *r, struct np_name *out_name)
{
    struct np_reader at = *r;
    size_t len = 0; /* bytes of the name so far */
    bool jumped = false;
    for (;;) {
        size_t segment = at.pos; /* where these labels begin: a pointer must go before it, so the walk ends */
        size_t left = np_reader_left(&at), room = NP_NAME_WIRE_MAX - len;
        const uint8_t *labels = np_read_bytes(&at, 0);
        size_t used = count_labels(labels, left < room ? left : room);
        np_read_skip(&at, used);
        uint8_t end = np_read_u8(&at);
        if (at.error || used >= room)
            break;
        memcpy(out_name->wire + len, labels, used);
        len += used;
        if (end == 0) {
            out_name->wire[len] = 0;
            out_name->len = (uint8_t)(len + 1);
            if (!jumped)
                np_read_seek(r, at.pos);
            return;
        }
        size_t target = (size_t)(end & ~POINTER_BITS) << 8 | np_read_u8(&at);
        if ((end & POINTER_BITS) != POINTER_BITS || at.error)
            break;
        if (!jumped)
            np_read_seek(r, at.pos);
        jumped = true;
        if (target >= segment || target < HEADER_LEN)
            break;
        /* What is pointed at is an earlier name, so it also ends before: it must not run on into bytes that come after
         * it, which may be gone when the message is given on. */
        at.size = segment;
        np_read_seek(&at, target);
    }
    np_reader_fail(r, at.error ? at.error : NP_E_MALFORMED);
    out_name->len = 1;
    out_name->wire[0] = 0;
}

bool np_name_equal(const struct np_name *a, const struct np_name *b)
{
    return a->len == b->len && bytes_equal(a->wire, b->wire, a->len);
}

bool np_name_is(const struct np_name *name, const uint8_t *wire, size_t len)
{
    return name->len == len && bytes_equal(name->wire, wire, len);
}

bool np_name_within(const struct np_name *name, const struct np_name *zone)
{
    return np_name_ends(name, zone->wire, zone->len);
}

bool np_name_ends(const struct np_name *name, const uint8_t *labels, size_t len)
{
    if (len > name->len)
        return false;
    /* The bytes first, and of them the one that is a length: nearly every pair differs there, without a walk over the
     * name's labels. */
    size_t start = name->len - len, pos = 0;
    if (name->wire[start] != labels[0] || !bytes_equal(name->wire + start, labels, len))
        return false;
    while (pos < start)
        pos += name->wire[pos] + 1u;
    return pos == start;
}

unsigned np_name_labels(const struct np_name *name)
{
    unsigned count = 0;
    for (size_t pos = 0; pos < name->len && name->wire[pos] != 0; pos += name->wire[pos] + 1u)
        count++;
    return count;
}

struct np_name np_name_parent(const struct np_name *name, unsigned count)
{
    struct np_name parent = {0};
    size_t pos = 0;
    while (count-- > 0 && name->wire[pos] != 0)
        pos += name->wire[pos] + 1u;
    parent.len = (uint8_t)(name->len - pos);
    memcpy(parent.wire, name->wire + pos, parent.len);
    return parent;
}

int np_name_prepend(const char *label, const struct np_name *name, struct np_name *out_name)
{
    size_t len = strlen(label);
    if (len == 0 || len > LABEL_MAX || len + 1 + name->len > NP_NAME_WIRE_MAX)
        return NP_E_LIMIT;
    struct np_name result = {.len = (uint8_t)(len + 1 + name->len)};
    result.wire[0] = (uint8_t)len;
    memcpy(result.wire + 1, label, len);
    memcpy(result.wire + 1 + len, name->wire, name->len);
    *out_name = result;
    return 0;
}

static uint64_t rotate_left(uint64_t v, unsigned bits)
{
    return v << bits | v >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate_left(v[1], 13) ^ v[0];
    v[3] = rotate_left(v[3], 16) ^ v[2];
    v[0] = rotate_left(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate_left(v[3], 21) ^ v[0];
    v[1] = rotate_left(v[1], 17) ^ v[2];
    v[2] = rotate_left(v[2], 32);
}

uint64_t np_name_hash(const struct np_name *name, uint64_t key)
{
    const uint64_t second = key * 0x9e3779b97f4a7c15u; /* the other half of the key says nothing new */
    uint64_t v[4] = {key ^ 0x736f6d6570736575u, second ^ 0x646f72616e646f6du, key ^ 0x6c7967656e657261u,
                     second ^ 0x7465646279746573u};
    for (size_t i = 0; i < name->len; i += 8) {
        uint64_t word = 0;
        memcpy(&word, name->wire + i, name->len - i < 8 ? name->len - i : 8);
        word = lower8(word);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xffu ^ (uint64_t)name->len << 8;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void np_name_lower(struct np_name *name)
{
    for (size_t i = 0; i < name->len; i++)
        name->wire[i] = lower(name->wire[i]);
}

void np_name_reverse(const struct np_addr *addr, struct np_name *out_name)
{
    static const uint8_t v4_zone[] = "\7in-addr\4arpa", v6_zone[] = "\3ip6\4arpa"; /* the final NUL is the root */
    static const char digits[] = "0123456789abcdef";
    struct np_name name = {0};
    struct np_writer w = np_writer_make(name.wire, sizeof name.wire);
    for (size_t i = np_addr_len(addr); i-- > 0;) {
        uint8_t byte = addr->bytes[i];
        if (addr->family == AF_INET6) {
            const uint8_t nibbles[4] = {1, (uint8_t)digits[byte & 15], 1, (uint8_t)digits[byte >> 4]};
            np_write_bytes(&w, nibbles, sizeof nibbles);
            continue;
        }
        np_write_u8(&w, byte >= 100 ? 3 : byte >= 10 ? 2 : 1);
        if (byte >= 100)
            np_write_u8(&w, (uint8_t)('0' + byte / 100));
        if (byte >= 10)
            np_write_u8(&w, (uint8_t)('0' + byte / 10 % 10));
        np_write_u8(&w, (uint8_t)('0' + byte % 10));
    }
    if (addr->family == AF_INET6)
        np_write_bytes(&w, v6_zone, sizeof v6_zone);
    else
        np_write_bytes(&w, v4_zone, sizeof v4_zone);
    name.len = (uint8_t)w.pos;
    *out_name = name;
}
