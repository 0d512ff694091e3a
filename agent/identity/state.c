#include "agent/identity/state.h"

#include <string.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define MAGIC      "nameplate state"
#define MAGIC_LEN  15 /* without the NUL: the version takes its place */
#define VERSION    1
#define HEADER_LEN (MAGIC_LEN + 1 + 4)
#define SUM_LEN    32

/* Tags are never given a second meaning. */
enum tag {
    TAG_FLOOR = 1,
    TAG_IDENTITY,
    TAG_EPOCH,
    TAG_TOKEN,
    TAG_DEVICE,
    TAG_NAME,
    TAG_SAN,
    TAG_GRANT,
    TAG_NAMESERVERS,
    TAG_TIMES, /* ttl, poll, checkin, boot jitter */
    TAG_AUTH,  /* n, token */
    TAG_NEXT,
    TAG_TLS,
    TAG_CHAIN,
    TAG_ETAG,
    TAG_LEAVING, /* enum np_leaving, enum np_leave_reason */
    TAG_WANTED,
    TAG_OLD, /* until, name */
    TAG_COUNT
};

static void write_record(struct np_writer *w, enum tag tag, const void *data, size_t len)
{
    np_write_u16(w, (uint16_t)tag);
    np_write_u32(w, (uint32_t)len);
    np_write_bytes(w, data, len);
}

static void write_text(struct np_writer *w, enum tag tag, const char *text)
{
    if (text[0])
        write_record(w, tag, text, strlen(text));
}

/* Names one after the other, each with its NUL. */
static void write_names(struct np_writer *w, enum tag tag, const char (*names)[NP_NAME_MAX + 1], size_t count)
{
    size_t len = 0;
    if (count == 0)
        return;
    for (size_t i = 0; i < count; i++)
        len += strlen(names[i]) + 1;
    np_write_u16(w, (uint16_t)tag);
    np_write_u32(w, (uint32_t)len);
    for (size_t i = 0; i < count; i++)
        np_write_bytes(w, names[i], strlen(names[i]) + 1);
}

static void write_key(struct np_writer *w, enum tag tag, const struct np_private_key *key)
{
    write_record(w, tag, key->scalar, NP_KEY_SCALAR_LEN);
}

static void write_enrolment(struct np_writer *w, const struct np_state *state)
{
    write_text(w, TAG_DEVICE, state->device);
    write_text(w, TAG_NAME, state->name);
    write_names(w, TAG_SAN, state->san, state->san_count);
    write_text(w, TAG_GRANT, state->grant);
    write_names(w, TAG_NAMESERVERS, state->nameservers, state->nameserver_count);
    write_text(w, TAG_WANTED, state->wanted);
    if (state->old[0]) {
        np_write_u16(w, TAG_OLD);
        np_write_u32(w, (uint32_t)(8 + strlen(state->old)));
        np_write_u64(w, (uint64_t)state->old_until_s);
        np_write_bytes(w, state->old, strlen(state->old));
    }
    np_write_u16(w, TAG_TIMES);
    np_write_u32(w, 32);
    np_write_u64(w, (uint64_t)state->ttl_s);
    np_write_u64(w, (uint64_t)state->poll_s);
    np_write_u64(w, (uint64_t)state->checkin_s);
    np_write_u64(w, (uint64_t)state->boot_jitter_s);
}

int np_state_encode(const struct np_state *state, uint8_t *out, size_t size, size_t *out_len)
{
    struct np_writer w = np_writer_make(out, size);
    uint8_t sum[SUM_LEN];
    np_write_bytes(&w, MAGIC, MAGIC_LEN);
    np_write_u8(&w, VERSION);
    np_write_u32(&w, 0);
    if (state->floor_s > 0) {
        np_write_u16(&w, TAG_FLOOR);
        np_write_u32(&w, 8);
        np_write_u64(&w, (uint64_t)state->floor_s);
    }
    if (state->has_identity) {
        write_key(&w, TAG_IDENTITY, &state->identity);
        write_record(&w, TAG_EPOCH, state->epoch, NP_EPOCH_LEN);
        write_record(&w, TAG_TOKEN, state->token, NP_TOKEN_LEN);
    }
    if (state->device[0])
        write_enrolment(&w, state);
    if (state->has_auth) {
        np_write_u16(&w, TAG_AUTH);
        np_write_u32(&w, 8 + NP_TOKEN_LEN);
        np_write_u64(&w, (uint64_t)state->n);
        np_write_bytes(&w, state->auth_token, NP_TOKEN_LEN);
    }
    if (state->leaving != NP_LEAVING_NOT)
        write_record(&w, TAG_LEAVING, (uint8_t[2]){(uint8_t)state->leaving, (uint8_t)state->leave_reason}, 2);
    if (state->has_next)
        write_key(&w, TAG_NEXT, &state->next);
    if (state->has_chain) {
        write_key(&w, TAG_TLS, &state->tls);
        write_text(&w, TAG_CHAIN, state->chain);
        write_text(&w, TAG_ETAG, state->etag);
    }
    uint32_t total = (uint32_t)(w.pos + SUM_LEN);
    np_write_u16_at(&w, MAGIC_LEN + 1, (uint16_t)(total >> 16));
    np_write_u16_at(&w, MAGIC_LEN + 3, (uint16_t)total);
    if (w.error)
        return w.error;
    np_sha256(out, w.pos, sum);
    np_write_bytes(&w, sum, sizeof sum);
    if (w.error)
        return w.error;
    *out_len = w.pos;
    return 0;
}

static void read_text(struct np_reader *r, char *out, size_t size)
{
    size_t len = np_reader_left(r);
    if (len == 0 || len >= size) {
        np_reader_fail(r, NP_E_MALFORMED);
        return;
    }
    const uint8_t *text = np_read_bytes(r, len);
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '\n' && (text[i] < 0x20 || text[i] > 0x7e)) {
            np_reader_fail(r, NP_E_MALFORMED);
            return;
        }
    }
    memcpy(out, text, len);
    out[len] = 0;
}

static bool is_dns_name(const char *name)
{
    return np_is_hostname(strncmp(name, "*.", 2) == 0 ? name + 2 : name);
}

static void read_names(struct np_reader *r, char (*out)[NP_NAME_MAX + 1], size_t max, size_t *out_count)
{
    size_t count = 0;
    while (np_reader_left(r) > 0) {
        const uint8_t *at = r->data + r->pos, *end = memchr(at, 0, np_reader_left(r));
        size_t len = end ? (size_t)(end - at) : 0;
        if (!end || count == max || len > NP_NAME_MAX) {
            np_reader_fail(r, NP_E_MALFORMED);
            return;
        }
        np_read_copy(r, out[count], len + 1);
        if (!is_dns_name(out[count])) {
            np_reader_fail(r, NP_E_MALFORMED);
            return;
        }
        count++;
    }
    *out_count = count;
}

static void read_key(struct np_reader *r, struct np_private_key *out_key)
{
    uint8_t scalar[NP_KEY_SCALAR_LEN];
    np_read_copy(r, scalar, sizeof scalar);
    if (!r->error && np_key_from_scalar(scalar, out_key))
        np_reader_fail(r, NP_E_KEY);
    np_wipe(scalar, sizeof scalar);
}

/* A duration or counter: never negative, never so large that adding to it overflows. */
static int64_t read_number(struct np_reader *r)
{
    uint64_t value = np_read_u64(r);
    if (value > INT64_MAX / 2)
        np_reader_fail(r, NP_E_MALFORMED);
    return r->error ? 0 : (int64_t)value;
}

static void read_times(struct np_reader *r, struct np_state *state)
{
    state->ttl_s = read_number(r);
    state->poll_s = read_number(r);
    state->checkin_s = read_number(r);
    state->boot_jitter_s = read_number(r);
}

static void read_leaving(struct np_reader *r, struct np_state *state)
{
    unsigned leaving = np_read_u8(r), reason = np_read_u8(r);
    if (leaving == NP_LEAVING_NOT || leaving > NP_LEAVING_UNSURE || reason > NP_LEAVE_COMPROMISE) {
        np_reader_fail(r, NP_E_MALFORMED);
        return;
    }
    state->leaving = (enum np_leaving)leaving;
    state->leave_reason = (enum np_leave_reason)reason;
}

static void read_record(struct np_reader *r, unsigned tag, struct np_state *state)
{
    switch (tag) {
    case TAG_FLOOR:
        state->floor_s = read_number(r);
        return;
    case TAG_IDENTITY:
        read_key(r, &state->identity);
        return;
    case TAG_EPOCH:
        np_read_copy(r, state->epoch, NP_EPOCH_LEN);
        return;
    case TAG_TOKEN:
        np_read_copy(r, state->token, NP_TOKEN_LEN);
        return;
    case TAG_DEVICE:
        read_text(r, state->device, sizeof state->device);
        return;
    case TAG_NAME:
        read_text(r, state->name, sizeof state->name);
        return;
    case TAG_SAN:
        read_names(r, state->san, NP_SAN_MAX, &state->san_count);
        return;
    case TAG_GRANT:
        read_text(r, state->grant, sizeof state->grant);
        return;
    case TAG_NAMESERVERS:
        read_names(r, state->nameservers, NP_NAMESERVERS_MAX, &state->nameserver_count);
        return;
    case TAG_TIMES:
        read_times(r, state);
        return;
    case TAG_AUTH:
        state->n = read_number(r);
        np_read_copy(r, state->auth_token, NP_TOKEN_LEN);
        return;
    case TAG_NEXT:
        read_key(r, &state->next);
        return;
    case TAG_TLS:
        read_key(r, &state->tls);
        return;
    case TAG_CHAIN:
        read_text(r, state->chain, sizeof state->chain);
        return;
    case TAG_ETAG:
        read_text(r, state->etag, sizeof state->etag);
        return;
    case TAG_LEAVING:
        read_leaving(r, state);
        return;
    case TAG_WANTED:
        read_text(r, state->wanted, sizeof state->wanted);
        return;
    case TAG_OLD:
        state->old_until_s = read_number(r);
        read_text(r, state->old, sizeof state->old);
        return;
    default:
        np_read_skip(r, np_reader_left(r)); /* of a later version */
    }
}

#define HAS(seen, tag) (((seen) >> (tag)&1) != 0)

/* Do the records make sense together? */
static int finish(uint32_t seen, struct np_state *state)
{
    static const unsigned identity[] = {TAG_IDENTITY, TAG_EPOCH, TAG_TOKEN},
                          enrolment[] = {TAG_NAME, TAG_SAN, TAG_TIMES};
    state->has_identity = HAS(seen, TAG_IDENTITY);
    state->has_auth = HAS(seen, TAG_AUTH);
    state->has_next = HAS(seen, TAG_NEXT);
    state->has_chain = HAS(seen, TAG_CHAIN);
    for (size_t i = 0; i < 3; i++) {
        if (HAS(seen, identity[i]) != state->has_identity || HAS(seen, enrolment[i]) != HAS(seen, TAG_DEVICE))
            return NP_E_MALFORMED;
    }
    if (HAS(seen, TAG_TLS) != state->has_chain || (HAS(seen, TAG_DEVICE) && !np_is_hostname(state->name)))
        return NP_E_MALFORMED;
    if ((HAS(seen, TAG_WANTED) && !np_is_hostname(state->wanted)) ||
        (HAS(seen, TAG_OLD) && !np_is_hostname(state->old)) ||
        (!HAS(seen, TAG_DEVICE) && (HAS(seen, TAG_WANTED) || HAS(seen, TAG_OLD))))
        return NP_E_MALFORMED;
    if (HAS(seen, TAG_DEVICE) && (!state->has_identity || state->san_count == 0))
        return NP_E_MALFORMED;
    return 0;
}

static int parse_records(struct np_reader *r, struct np_state *state)
{
    uint32_t seen = 0;
    while (np_reader_left(r) > 0) {
        unsigned tag = np_read_u16(r);
        struct np_reader value = np_read_sub(r, np_read_u32(r));
        if (r->error)
            return r->error;
        if (tag < TAG_COUNT && HAS(seen, tag))
            return NP_E_MALFORMED;
        if (tag < TAG_COUNT)
            seen |= (uint32_t)1 << tag;
        read_record(&value, tag, state);
        if (value.error)
            return value.error;
        if (np_reader_left(&value) > 0)
            return NP_E_MALFORMED;
    }
    return finish(seen, state);
}

int np_state_parse(const void *data, size_t len, struct np_state *out_state)
{
    uint8_t sum[SUM_LEN];
    struct np_reader r = np_reader_make(data, len);
    const uint8_t *magic = np_read_bytes(&r, MAGIC_LEN);
    unsigned version = np_read_u8(&r);
    uint32_t total = np_read_u32(&r);
    if (len > NP_STATE_BYTES_MAX)
        return NP_E_LIMIT;
    if (r.error)
        return NP_E_TRUNCATED;
    if (memcmp(magic, MAGIC, MAGIC_LEN) != 0)
        return NP_E_MALFORMED;
    if (version != VERSION)
        return NP_E_VERSION;
    if (total != len || len < HEADER_LEN + SUM_LEN)
        return NP_E_TRUNCATED;
    np_sha256(data, len - SUM_LEN, sum);
    if (memcmp(sum, (const uint8_t *)data + len - SUM_LEN, SUM_LEN) != 0)
        return NP_E_CHECKSUM;
    struct np_reader records = np_read_sub(&r, len - HEADER_LEN - SUM_LEN);
    memset(out_state, 0, sizeof *out_state);
    int rc = parse_records(&records, out_state);
    if (rc)
        np_wipe(out_state, sizeof *out_state);
    return rc;
}
