#include "agent/dnr.h"

#include <stdio.h>
#include <string.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"

#define KEY_ALPN      1 /* RFC 9460 section 14.3.2 */
#define KEY_PORT      3
#define PORT_DOT      853
#define DHCP4_MAX     255 /* bytes of an option's value */
#define RA_UNIT       8   /* bytes: what a neighbour discovery option's length counts */
#define RA_LENGTH_MAX 255

static void write_params(struct np_writer *w, const struct np_dnr *dnr)
{
    static const char alpn[] = "\3dot";
    np_write_u16(w, KEY_ALPN);
    np_write_u16(w, sizeof alpn - 1);
    np_write_bytes(w, alpn, sizeof alpn - 1);
    if (dnr->port == PORT_DOT)
        return;
    np_write_u16(w, KEY_PORT);
    np_write_u16(w, sizeof dnr->port);
    np_write_u16(w, dnr->port);
}

static void write_addresses(struct np_writer *w, const struct np_addr *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        np_write_bytes(w, list[i].bytes, np_addr_len(&list[i]));
}

/* The ADN: uncompressed, in wire form (RFC 9463 section 3.1.3 and RFC 8415 section 10). */
static void write_name(struct np_writer *w, const struct np_dnr *dnr)
{
    np_write_bytes(w, dnr->name.wire, dnr->name.len);
}

static long finish(const struct np_writer *w)
{
    return w->error ? w->error : (long)w->pos;
}

long np_dnr_dhcp4(const struct np_dnr *dnr, uint8_t out[NP_DNR_OPTION_MAX])
{
    struct np_writer w = np_writer_make(out, DHCP4_MAX);
    if (dnr->v4_count == 0)
        return NP_E_MISSING;
    np_write_u16(&w, 0); /* DNR Instance Data Length */
    np_write_u16(&w, NP_DNR_PRIORITY);
    np_write_u8(&w, dnr->name.len);
    write_name(&w, dnr);
    np_write_u8(&w, (uint8_t)(dnr->v4_count * 4));
    write_addresses(&w, dnr->v4, dnr->v4_count);
    write_params(&w, dnr);
    np_write_u16_at(&w, 0, (uint16_t)(w.pos - 2));
    return finish(&w);
}

long np_dnr_dhcp6(const struct np_dnr *dnr, uint8_t out[NP_DNR_OPTION_MAX])
{
    struct np_writer w = np_writer_make(out, NP_DNR_OPTION_MAX);
    if (dnr->v6_count == 0)
        return NP_E_MISSING;
    np_write_u16(&w, NP_DNR_PRIORITY);
    np_write_u16(&w, dnr->name.len);
    write_name(&w, dnr);
    np_write_u16(&w, (uint16_t)(dnr->v6_count * 16));
    write_addresses(&w, dnr->v6, dnr->v6_count);
    write_params(&w, dnr);
    return finish(&w);
}

long np_dnr_ra(const struct np_dnr *dnr, uint8_t out[NP_DNR_OPTION_MAX])
{
    struct np_writer w = np_writer_make(out, NP_DNR_OPTION_MAX);
    if (dnr->v6_count == 0)
        return NP_E_MISSING;
    np_write_u8(&w, NP_DNR_V6_CODE);
    np_write_u8(&w, 0); /* its length, below */
    np_write_u16(&w, NP_DNR_PRIORITY);
    np_write_u32(&w, NP_DNR_RA_LIFETIME_S);
    np_write_u16(&w, dnr->name.len);
    write_name(&w, dnr);
    np_write_u16(&w, (uint16_t)(dnr->v6_count * 16));
    write_addresses(&w, dnr->v6, dnr->v6_count);
    size_t length_at = w.pos;
    np_write_u16(&w, 0);
    write_params(&w, dnr);
    if (!w.error)
        np_write_u16_at(&w, length_at, (uint16_t)(w.pos - length_at - 2));
    while (!w.error && w.pos % RA_UNIT != 0)
        np_write_u8(&w, 0);
    if (!w.error && w.pos / RA_UNIT > RA_LENGTH_MAX)
        return NP_E_LIMIT;
    if (!w.error)
        out[1] = (uint8_t)(w.pos / RA_UNIT);
    return finish(&w);
}

const char *np_dnr_hex(const uint8_t *data, size_t len, char buffer[NP_DNR_TEXT_MAX])
{
    buffer[0] = 0;
    for (size_t i = 0; i < len && i < NP_DNR_OPTION_MAX; i++)
        snprintf(buffer + (i ? i * 3 - 1 : 0), 4, "%s%02x", i ? ":" : "", data[i]);
    return buffer;
}
