#include <string.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"
#include "resolver/peer.h"

#define ADDRESS_V4 4 /* the byte before an address */
#define ADDRESS_V6 6

const char *np_peer_reason_name(enum np_peer_reason reason)
{
    static const char *const names[NP_PEER_REASONS] = {
        [NP_PEER_UNREACHABLE] = "unreachable",
        [NP_PEER_REFUSED] = "refused",
        [NP_PEER_NO_TLS] = "no-tls",
        [NP_PEER_NAME] = "name-mismatch",
        [NP_PEER_UNTRUSTED] = "untrusted",
        [NP_PEER_DATE] = "expired",
        [NP_PEER_LIMIT] = "limit",
        [NP_PEER_UNKNOWN] = "unknown-upstream",
        [NP_PEER_NO_DNS] = "no-dns",
    };
    return (unsigned)reason < NP_PEER_REASONS ? names[reason] : "unknown";
}

static void write_address(struct np_writer *w, const struct np_addr *addr)
{
    np_write_u8(w, addr->family == AF_INET ? ADDRESS_V4 : ADDRESS_V6);
    np_write_bytes(w, addr->bytes, addr->family == AF_INET ? 4 : 16);
    np_write_u32(w, addr->scope);
}

static void read_address(struct np_reader *r, struct np_addr *out_addr)
{
    uint8_t kind = np_read_u8(r);
    if (kind != ADDRESS_V4 && kind != ADDRESS_V6)
        np_reader_fail(r, NP_E_MALFORMED);
    out_addr->family = kind == ADDRESS_V4 ? AF_INET : AF_INET6;
    np_read_copy(r, out_addr->bytes, kind == ADDRESS_V4 ? 4 : 16);
    out_addr->scope = np_read_u32(r);
    bool scoped = out_addr->family == AF_INET6 && np_addr_classify(out_addr) == NP_ADDR_LINK_LOCAL;
    if (out_addr->scope && !scoped)
        np_reader_fail(r, NP_E_MALFORMED);
}

static void write_text(struct np_writer *w, const char *text)
{
    size_t len = strlen(text);
    np_write_u16(w, (uint16_t)len);
    np_write_bytes(w, text, len);
}

/* A text of printable ASCII, as long as size allows. */
static void read_text(struct np_reader *r, char *out, size_t size)
{
    size_t len = np_read_u16(r);
    const uint8_t *text = np_read_bytes(r, len);
    out[0] = 0;
    if (!text || len >= size) {
        np_reader_fail(r, NP_E_MALFORMED);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        if (text[i] < 0x20 || text[i] > 0x7e)
            np_reader_fail(r, NP_E_MALFORMED);
        out[i] = (char)text[i];
    }
    out[len] = 0;
}

long np_peer_encode(uint32_t type, const struct np_peer_message *message, uint8_t out[NP_PEER_MESSAGE_MAX])
{
    struct np_writer w = np_writer_make(out, NP_PEER_MESSAGE_MAX);
    char server[NP_VIEW_UPSTREAM_TEXT_MAX];
    switch (type) {
    case NP_PEER_CLIENT:
        write_address(&w, &message->client.remote.addr);
        np_write_u16(&w, message->client.remote.port);
        write_address(&w, &message->client.local);
        np_write_u32(&w, message->client.ifindex);
        break;
    case NP_PEER_OPEN:
        np_write_u32(&w, message->id);
        write_text(&w, np_view_upstream_format(&message->server, server));
        break;
    case NP_PEER_STREAM:
        np_write_u32(&w, message->id);
        break;
    case NP_PEER_FAILED:
        np_write_u32(&w, message->id);
        np_write_u8(&w, (uint8_t)message->reason);
        write_text(&w, message->why);
        break;
    default:
        return NP_E_UNKNOWN;
    }
    return w.error ? w.error : (long)w.pos;
}

static void read_server(struct np_reader *r, struct np_view_upstream *out_server)
{
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    const char *why;
    read_text(r, text, sizeof text);
    if (!r->error && (np_view_upstream_parse(text, out_server, &why) || out_server->tls == NP_TLS_OFF))
        np_reader_fail(r, NP_E_MALFORMED);
}

int np_peer_decode(uint32_t type, const uint8_t *payload, size_t len, struct np_peer_message *out_message)
{
    struct np_reader r = np_reader_make(payload, len);
    struct np_peer_message message;
    memset(&message, 0, sizeof message);
    switch (type) {
    case NP_PEER_CLIENT:
        read_address(&r, &message.client.remote.addr);
        message.client.remote.port = np_read_u16(&r);
        read_address(&r, &message.client.local);
        message.client.ifindex = np_read_u32(&r);
        message.client.tcp = message.client.tls = true;
        break;
    case NP_PEER_OPEN:
        message.id = np_read_u32(&r);
        read_server(&r, &message.server);
        break;
    case NP_PEER_STREAM:
        message.id = np_read_u32(&r);
        break;
    case NP_PEER_FAILED:
        message.id = np_read_u32(&r);
        message.reason = (enum np_peer_reason)np_read_u8(&r);
        if (message.reason >= NP_PEER_REASONS)
            np_reader_fail(&r, NP_E_MALFORMED);
        read_text(&r, message.why, sizeof message.why);
        break;
    default:
        return NP_E_UNKNOWN;
    }
    if (r.error || np_reader_left(&r) > 0)
        return NP_E_MALFORMED;
    *out_message = message;
    return 0;
}
