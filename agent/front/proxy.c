#include "agent/front/proxy.h"

#include <stdio.h>
#include <string.h>

#include "resolver/base/error.h"

#define VERSION_2_PROXY 0x21 /* version 2, command PROXY */
#define TCP_IPV4        0x11
#define TCP_IPV6        0x21
#define TYPE_ALPN       0x01
#define TYPE_AUTHORITY  0x02
#define TYPE_SSL        0x20
#define SUBTYPE_SSL     0x21 /* the version, as text */
#define CLIENT_SSL      0x01
#define NOT_VERIFIED    1 /* there is no client certificate */
#define SERVER_NAME_MAX 253
#define SSL_PREFIX      5 /* client flags and verify */
#define TYPE_AND_LEN    3

static const char *const names[] = {"none", "v1", "v2"};

const char *np_proxy_name(enum np_proxy version)
{
    return names[version];
}

int np_proxy_parse(const char *text, enum np_proxy *out_version)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], text) != 0)
            continue;
        *out_version = (enum np_proxy)i;
        return 0;
    }
    return NP_E_MALFORMED;
}

static void write_v1(struct np_writer *w, const struct np_proxy_client *client)
{
    char line[NP_ADDR_TEXT_MAX * 2 + 32], remote[NP_ADDR_TEXT_MAX], local[NP_ADDR_TEXT_MAX];
    struct np_addr from = client->remote.addr, to = client->local.addr;
    from.scope = to.scope = 0; /* the line has no room for an interface */
    int len = snprintf(line, sizeof line, "PROXY %s %s %s %u %u\r\n", from.family == AF_INET ? "TCP4" : "TCP6",
                       np_addr_format(&from, remote), np_addr_format(&to, local), (unsigned)client->remote.port,
                       (unsigned)client->local.port);
    np_write_bytes(w, line, (size_t)len);
}

static void write_tlv(struct np_writer *w, uint8_t type, const char *value, size_t len)
{
    np_write_u8(w, type);
    np_write_u16(w, (uint16_t)len);
    np_write_bytes(w, value, len);
}

static void write_ssl(struct np_writer *w)
{
    static const char version[] = "TLSv1.2", protocol[] = "http/1.1";
    write_tlv(w, TYPE_ALPN, protocol, strlen(protocol));
    np_write_u8(w, TYPE_SSL);
    np_write_u16(w, (uint16_t)(SSL_PREFIX + TYPE_AND_LEN + strlen(version)));
    np_write_u8(w, CLIENT_SSL);
    np_write_u32(w, NOT_VERIFIED);
    write_tlv(w, SUBTYPE_SSL, version, strlen(version));
}

static void write_v2(struct np_writer *w, const struct np_proxy_client *client)
{
    static const uint8_t signature[] = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a};
    uint8_t rest[NP_PROXY_MAX];
    struct np_writer body = np_writer_make(rest, sizeof rest);
    size_t name_len = strnlen(client->server_name, SERVER_NAME_MAX + 1);
    np_write_bytes(&body, client->remote.addr.bytes, np_addr_len(&client->remote.addr));
    np_write_bytes(&body, client->local.addr.bytes, np_addr_len(&client->remote.addr));
    np_write_u16(&body, client->remote.port);
    np_write_u16(&body, client->local.port);
    if (name_len > 0 && name_len <= SERVER_NAME_MAX)
        write_tlv(&body, TYPE_AUTHORITY, client->server_name, name_len);
    if (client->tls)
        write_ssl(&body);
    np_write_bytes(w, signature, sizeof signature);
    np_write_u8(w, VERSION_2_PROXY);
    np_write_u8(w, client->remote.addr.family == AF_INET ? TCP_IPV4 : TCP_IPV6);
    np_write_u16(w, (uint16_t)body.pos);
    np_write_bytes(w, rest, body.pos);
}

void np_proxy_write(struct np_writer *w, enum np_proxy version, const struct np_proxy_client *client)
{
    if (version == NP_PROXY_V1)
        write_v1(w, client);
    if (version == NP_PROXY_V2)
        write_v2(w, client);
}
