#include "hq/zone/update.h"

#include <errno.h>
#include <ldns/ldns.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/message.h"

#define OPCODE_UPDATE 5
#define RR_WIRE_MAX   (NP_NAME_WIRE_MAX + 10 + NP_RECORD_RDATA_MAX)
/* RFC 2136 section 2.2, RFC 8945 section 3. */
enum { RCODE_YXDOMAIN = 6, RCODE_YXRRSET = 7, RCODE_NXRRSET = 8, RCODE_NOTAUTH = 9, RCODE_NOTZONE = 10 };

struct np_update {
    struct np_name zone;
    ldns_rr_list *prerequisites, *updates;
};

int np_update_new(const struct np_name *zone, struct np_update **out_update)
{
    struct np_update *update = calloc(1, sizeof *update);
    if (!update)
        return -ENOMEM;
    update->zone = *zone;
    update->prerequisites = ldns_rr_list_new();
    update->updates = ldns_rr_list_new();
    if (!update->prerequisites || !update->updates) {
        np_update_free(update);
        return -ENOMEM;
    }
    *out_update = update;
    return 0;
}

void np_update_free(struct np_update *update)
{
    if (!update)
        return;
    ldns_rr_list_deep_free(update->prerequisites);
    ldns_rr_list_deep_free(update->updates);
    free(update);
}

/* One record, by way of its wire form. */
static int push(ldns_rr_list *list, const struct np_name *owner, uint16_t type, uint16_t class, uint32_t ttl,
                const uint8_t *rdata, size_t len)
{
    uint8_t wire[RR_WIRE_MAX];
    struct np_writer w = np_writer_make(wire, sizeof wire);
    ldns_rr *rr = NULL;
    size_t pos = 0;
    np_write_bytes(&w, owner->wire, owner->len);
    np_write_u16(&w, type);
    np_write_u16(&w, class);
    np_write_u32(&w, ttl);
    np_write_u16(&w, (uint16_t)len);
    np_write_bytes(&w, rdata, len);
    if (w.error || ldns_wire2rr(&rr, wire, w.pos, &pos, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK)
        return -ENOMEM;
    if (ldns_rr_list_push_rr(list, rr))
        return 0;
    ldns_rr_free(rr);
    return -ENOMEM;
}

int np_update_require(struct np_update *update, const struct np_record *record)
{
    return push(update->prerequisites, &record->owner, record->type, NP_CLASS_IN, 0, record->rdata, record->rdata_len);
}

int np_update_put(struct np_update *update, const struct np_records *records)
{
    int rc = 0;
    for (size_t i = 0; i < records->cleared_count && rc == 0; i++)
        rc = push(update->updates, &records->cleared[i].owner, records->cleared[i].type, NP_CLASS_ANY, 0, NULL, 0);
    for (size_t i = 0; i < records->count && rc == 0; i++) {
        const struct np_record *record = &records->records[i];
        rc = push(update->updates, &record->owner, record->type, NP_CLASS_IN, record->ttl, record->rdata,
                  record->rdata_len);
    }
    return rc;
}

size_t np_update_count(const struct np_update *update)
{
    return ldns_rr_list_rr_count(update->updates);
}

static ldns_rdf *name_rdf(const struct np_name *name)
{
    return ldns_rdf_new_frm_data(LDNS_RDF_TYPE_DNAME, name->len, name->wire);
}

/* Signs and encodes; frees the packet. */
static int sign(ldns_pkt *packet, uint16_t id, const struct np_tsig_key *key, struct np_update_message *out_message)
{
    char algorithm[24];
    uint8_t *wire = NULL;
    size_t len = 0;
    int rc = -ENOMEM;
    ldns_pkt_set_id(packet, id);
    snprintf(algorithm, sizeof algorithm, "%s.", np_tsig_algorithm_name(key->algorithm));
    if (ldns_pkt_tsig_sign(packet, key->name, key->base64, NP_TSIG_FUDGE_S, algorithm, NULL) != LDNS_STATUS_OK ||
        ldns_pkt2wire(&wire, packet, &len) != LDNS_STATUS_OK)
        goto out;
    const ldns_rdf *mac = ldns_rr_rdf(ldns_pkt_tsig(packet), 3);
    size_t mac_len = ldns_rdf_size(mac) - 2; /* its length stands before it */
    rc = NP_E_LIMIT;
    if (len > NP_DNS_MESSAGE_MAX || mac_len > sizeof out_message->mac)
        goto out;
    *out_message = (struct np_update_message){.wire = wire, .len = len, .mac_len = mac_len};
    memcpy(out_message->mac, ldns_rdf_data(mac) + 2, mac_len);
    wire = NULL;
    rc = 0;
out:
    free(wire);
    ldns_pkt_free(packet);
    return rc;
}

int np_update_sign(struct np_update *update, uint16_t id, const struct np_tsig_key *key,
                   struct np_update_message *out_message)
{
    ldns_rdf *zone = name_rdf(&update->zone); /* the packet's afterwards */
    ldns_pkt *packet =
        zone ? ldns_update_pkt_new(zone, LDNS_RR_CLASS_IN, update->prerequisites, update->updates, NULL) : NULL;
    if (!packet)
        return -ENOMEM;
    ldns_pkt_set_rd(packet, false); /* ldns sets it as for a query; in an UPDATE the bit is reserved */
    return sign(packet, id, key, out_message);
}

int np_update_axfr(const struct np_name *zone, uint16_t id, const struct np_tsig_key *key,
                   struct np_update_message *out_message)
{
    ldns_rdf *name = name_rdf(zone);
    ldns_pkt *packet = name ? ldns_pkt_query_new(name, LDNS_RR_TYPE_AXFR, LDNS_RR_CLASS_IN, 0) : NULL;
    return packet ? sign(packet, id, key, out_message) : -ENOMEM;
}

/* ---- Answers ---- */

static int say(struct np_update_verdict *verdict, enum np_outbox_outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int say(struct np_update_verdict *verdict, enum np_outbox_outcome outcome, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(verdict->why, sizeof verdict->why, format, args);
    va_end(args);
    verdict->outcome = outcome;
    return 0;
}

/* What the TSIG's own error says. The errors come unsigned but for BADTIME: they may cost time, never records. */
static int judge_tsig(const struct np_tsig_key *key, const struct np_tsig_answer *tsig, int64_t now_s,
                      struct np_update_verdict *out_verdict)
{
    switch (tsig->error) {
    case NP_TSIG_BADKEY:
        return say(out_verdict, NP_OUTBOX_FAILED,
                   "BADKEY: it does not know the TSIG key '%.64s' with %s, or does not take it for this zone; add the "
                   "key to its configuration",
                   key->name, np_tsig_algorithm_name(key->algorithm));
    case NP_TSIG_BADSIG:
        return say(out_verdict, NP_OUTBOX_FAILED, "BADSIG: its TSIG key '%.64s' has another secret than HQ's",
                   key->name);
    case NP_TSIG_BADTIME:
        if (tsig->server_time_s)
            return say(
                out_verdict, NP_OUTBOX_FAILED,
                "BADTIME: its clock is %lld s %s HQ's, more than the %d s that are allowed; let both follow NTP",
                (long long)(tsig->server_time_s > now_s ? tsig->server_time_s - now_s : now_s - tsig->server_time_s),
                tsig->server_time_s > now_s ? "ahead of" : "behind", NP_TSIG_FUDGE_S);
        return say(out_verdict, NP_OUTBOX_FAILED,
                   "BADTIME: its clock and HQ's differ by more than %d s; let both follow NTP", NP_TSIG_FUDGE_S);
    case NP_TSIG_BADTRUNC:
        return say(out_verdict, NP_OUTBOX_FAILED, "BADTRUNC: it wants another length of signature");
    default:
        return say(out_verdict, NP_OUTBOX_FAILED, "TSIG error %u", (unsigned)tsig->error);
    }
}

/* An error without signature is believed only so far that something is wrong with the server as a whole. */
static int judge_unsigned(const struct np_tsig_key *key, const char *zone, unsigned rcode,
                          struct np_update_verdict *out_verdict)
{
    switch (rcode) {
    case NP_RCODE_NOERROR:
        return NP_E_SIGNATURE;
    case NP_RCODE_REFUSED:
        return say(out_verdict, NP_OUTBOX_FAILED,
                   "REFUSED without a signature: it takes no updates at all, none from this address, or does not know "
                   "the TSIG key '%.64s'",
                   key->name);
    case NP_RCODE_NOTIMP:
        return say(out_verdict, NP_OUTBOX_FAILED, "NOTIMP: it does not do dynamic updates");
    case RCODE_NOTAUTH:
        return say(out_verdict, NP_OUTBOX_FAILED, "NOTAUTH: it does not serve %.128s as a primary", zone);
    case NP_RCODE_SERVFAIL:
        return say(out_verdict, NP_OUTBOX_FAILED, "SERVFAIL without a signature: its log tells more");
    default:
        return say(out_verdict, NP_OUTBOX_FAILED, "rcode %u without a signature", rcode);
    }
}

static int judge_signed(const struct np_tsig_key *key, const char *zone, unsigned rcode,
                        struct np_update_verdict *out_verdict)
{
    switch (rcode) {
    case NP_RCODE_NOERROR:
        return say(out_verdict, NP_OUTBOX_DONE, "%s", "");
    case RCODE_NXRRSET:
        return say(out_verdict, NP_OUTBOX_FENCED,
                   "NXRRSET: its epoch of %.128s is not the one that HQ wrote; another HQ publishes this zone, or the "
                   "zone was restored from a copy ('nameplate-hq zone check' tells)",
                   zone);
    case NP_RCODE_REFUSED:
        return say(out_verdict, NP_OUTBOX_REFUSED,
                   "REFUSED: its policy does not let the TSIG key '%.64s' write this (BIND: update-policy, or "
                   "a frozen zone; Knot: acl with 'action: update'; PowerDNS: TSIG-ALLOW-DNSUPDATE)",
                   key->name);
    case NP_RCODE_FORMERR:
        return say(out_verdict, NP_OUTBOX_REFUSED, "FORMERR: it cannot read this update");
    case RCODE_NOTZONE:
        return say(out_verdict, NP_OUTBOX_REFUSED, "NOTZONE: it takes a name for one outside %.128s", zone);
    case RCODE_NOTAUTH:
        return say(out_verdict, NP_OUTBOX_FAILED, "NOTAUTH: it does not serve %.128s as a primary", zone);
    case NP_RCODE_NOTIMP:
        return say(out_verdict, NP_OUTBOX_FAILED, "NOTIMP: it does not do dynamic updates");
    case NP_RCODE_SERVFAIL:
        return say(out_verdict, NP_OUTBOX_BROKEN,
                   "SERVFAIL: its log tells more (a full disk, a journal that cannot be written)");
    default:
        return say(out_verdict, NP_OUTBOX_REFUSED, "rcode %u", rcode);
    }
}

int np_update_judge(const struct np_tsig_key *key, const char *zone, const uint8_t *mac, size_t mac_len,
                    const uint8_t *answer, size_t len, int64_t now_s, struct np_update_verdict *out_verdict)
{
    struct np_tsig_check check;
    struct np_tsig_answer tsig;
    struct np_reader r = np_reader_make(answer, len);
    np_read_skip(&r, 2);
    unsigned flags = np_read_u16(&r), rcode = flags & 15u;
    if (r.error || !(flags & NP_FLAG_QR) || (flags >> 11 & 15u) != OPCODE_UPDATE)
        return NP_E_SIGNATURE;
    np_tsig_check_init(&check, key, mac, mac_len);
    int rc = np_tsig_check(&check, answer, len, now_s, &tsig);
    np_tsig_check_deinit(&check);
    if (rc == -ENOMEM || rc == NP_E_MALFORMED)
        return NP_E_SIGNATURE;
    if (rc == NP_E_DATE)
        return say(out_verdict, NP_OUTBOX_FAILED, "its answers are signed at a time too far from HQ's clock");
    if (rcode == RCODE_NOTAUTH && tsig.present && tsig.error)
        return judge_tsig(key, &tsig, now_s, out_verdict);
    return rc ? judge_unsigned(key, zone, rcode, out_verdict) : judge_signed(key, zone, rcode, out_verdict);
}
