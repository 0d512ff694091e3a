#include "hq/zone/transfer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/zone/update.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"

#define RCODE_NOTAUTH 9
#define RECONNECTS    5 /* a server may end a connection after so many questions; each one must bring some answers */

/* ---- Reading ---- */

/* Of the types that HQ publishes, those with a name in their data, and how many bytes stand before it. */
static bool has_name(uint16_t type, size_t *out_before)
{
    *out_before = type == NP_RR_MX ? 2 : 0;
    return type == NP_RR_MX || type == NP_RR_CNAME;
}

static bool is_published_type(uint16_t type)
{
    return type == NP_RR_A || type == NP_RR_AAAA || type == NP_RR_MX || type == NP_RR_TXT || type == NP_RR_CNAME ||
           type == NP_RR_CAA;
}

/* Reads the data of a record at r (which covers the whole message) up to end. */
static int read_rdata(struct np_reader *r, size_t end, struct np_record *record)
{
    size_t before, len = end - r->pos;
    if (!has_name(record->type, &before)) {
        record->rdata_len = len < NP_RECORD_RDATA_MAX ? len : NP_RECORD_RDATA_MAX;
        np_read_copy(r, record->rdata, record->rdata_len);
        np_read_seek(r, end);
        return r->error ? NP_E_MALFORMED : 0;
    }
    struct np_name name;
    np_read_copy(r, record->rdata, before);
    np_name_read(r, &name);
    if (r->error || r->pos != end || before + name.len > NP_RECORD_RDATA_MAX)
        return NP_E_MALFORMED;
    memcpy(record->rdata + before, name.wire, name.len);
    record->rdata_len = before + name.len;
    return 0;
}

/* The header and the questions of a message. */
struct head {
    unsigned flags, answers;
};

static int read_head(struct np_reader *r, struct head *out_head)
{
    struct np_name name;
    np_read_skip(r, 2);
    out_head->flags = np_read_u16(r);
    unsigned questions = np_read_u16(r);
    out_head->answers = np_read_u16(r);
    np_read_skip(r, 4);
    for (unsigned i = 0; i < questions && !r->error; i++) {
        np_name_read(r, &name);
        np_read_skip(r, 4);
    }
    return r->error || !(out_head->flags & NP_FLAG_QR) ? NP_E_MALFORMED : 0;
}

/* The next record of the answer section; *out_class and the position of its end beside it. */
static int read_record(struct np_reader *r, struct np_record *record, uint16_t *out_class, size_t *out_end)
{
    np_name_read(r, &record->owner);
    record->type = np_read_u16(r);
    *out_class = np_read_u16(r);
    record->ttl = np_read_u32(r);
    uint16_t len = np_read_u16(r);
    *out_end = r->pos + len;
    return r->error || *out_end > r->size ? NP_E_MALFORMED : 0;
}

static int read_serial(struct np_reader *r, size_t end, uint32_t *out_serial)
{
    struct np_name name;
    np_name_read(r, &name);
    np_name_read(r, &name);
    *out_serial = np_read_u32(r);
    return r->error || r->pos > end ? NP_E_MALFORMED : 0;
}

/* The SOA of a transfer: the first and the last record of it. 1: it was the last. */
static int take_soa(struct np_transfer *transfer, const struct np_name *zone, const struct np_record *record,
                    struct np_reader *r, size_t end)
{
    uint32_t serial;
    if (!np_name_equal(&record->owner, zone) || read_serial(r, end, &serial))
        return NP_E_MALFORMED;
    if (transfer->begun)
        return serial == transfer->serial ? 1 : NP_E_MALFORMED;
    transfer->begun = true;
    transfer->serial = serial;
    return 0;
}

int np_transfer_take(struct np_transfer *transfer, const struct np_name *zone, const uint8_t *message, size_t len,
                     np_transfer_fn *each, void *ctx, unsigned *out_rcode)
{
    struct np_reader r = np_reader_make(message, len);
    struct np_record record;
    struct head head;
    uint16_t class;
    size_t end;
    int rc = read_head(&r, &head);
    *out_rcode = head.flags & 15u;
    if (rc == 0 && *out_rcode)
        return NP_E_DNS;
    for (unsigned i = 0; i < head.answers && rc == 0; i++) {
        rc = read_record(&r, &record, &class, &end);
        if (rc == 0 && record.type == NP_RR_SOA)
            rc = take_soa(transfer, zone, &record, &r, end);
        else if (rc == 0 && (!transfer->begun || class != NP_CLASS_IN))
            rc = NP_E_MALFORMED;
        else if (rc == 0 && is_published_type(record.type)) {
            rc = read_rdata(&r, end, &record);
            if (rc == 0)
                each(ctx, &record);
        }
        if (rc == 0)
            np_read_seek(&r, end);
        if (rc == 1 && i + 1 < head.answers)
            rc = NP_E_MALFORMED;
    }
    return rc == 0 && r.error ? NP_E_MALFORMED : rc;
}

int np_transfer_answer(const struct np_name *owner, uint16_t type, const uint8_t *message, size_t len,
                       np_transfer_fn *each, void *ctx, unsigned *out_rcode)
{
    struct np_reader r = np_reader_make(message, len);
    struct np_record record;
    struct head head;
    uint16_t class;
    size_t end;
    int rc = read_head(&r, &head);
    *out_rcode = head.flags & 15u;
    if (rc == 0 && *out_rcode != NP_RCODE_NOERROR && *out_rcode != NP_RCODE_NXDOMAIN)
        return NP_E_DNS;
    for (unsigned i = 0; i < head.answers && rc == 0; i++) {
        rc = read_record(&r, &record, &class, &end);
        if (rc == 0 && class == NP_CLASS_IN && record.type == type && np_name_equal(&record.owner, owner)) {
            rc = read_rdata(&r, end, &record);
            if (rc == 0)
                each(ctx, &record);
        }
        np_read_seek(&r, end);
    }
    return rc == 0 && r.error ? NP_E_MALFORMED : rc;
}

/* ---- Transfers ---- */

static const char *rcode_word(unsigned rcode)
{
    static const char *const words[] = {"NOERROR",  "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED",
                                        "YXDOMAIN", "YXRRSET", "NXRRSET",  "NOTAUTH",  "NOTZONE"};
    return rcode < sizeof words / sizeof *words ? words[rcode] : "an unknown rcode";
}

static int refused(char why[NP_TRANSFER_WHY_MAX], unsigned rcode)
{
    return np_explain(
        why, NP_TRANSFER_WHY_MAX, rcode == NP_RCODE_REFUSED || rcode == RCODE_NOTAUTH ? NP_E_REFUSED : NP_E_DNS,
        "the transfer was answered with %s; is the key allowed to transfer (BIND: allow-transfer, Knot: acl with "
        "'action: transfer', PowerDNS: TSIG-ALLOW-AXFR)?",
        rcode_word(rcode));
}

/* Everything that comes until the end of the transfer has been signed. */
static int receive_all(struct np_talk *talk, const struct np_name *zone, struct np_tsig_check *check,
                       np_transfer_fn *each, void *ctx, struct np_transfer *transfer, char why[NP_TRANSFER_WHY_MAX])
{
    for (int ended = 0;;) {
        struct np_tsig_answer tsig;
        unsigned rcode = 0;
        int rc = np_talk_receive(talk);
        if (rc)
            return np_explain(why, NP_TRANSFER_WHY_MAX, rc, "%s", np_strerror(rc));
        int believed = np_tsig_check(check, talk->buffer, talk->len, (int64_t)time(NULL), &tsig);
        if (ended == 0)
            ended = np_transfer_take(transfer, zone, talk->buffer, talk->len, each, ctx, &rcode);
        if (ended == NP_E_DNS)
            return refused(why, rcode);
        if (believed && believed != NP_E_MISSING)
            return np_explain(why, NP_TRANSFER_WHY_MAX, believed, "the transfer is not signed as it should be: %s",
                              np_strerror(believed));
        if (ended < 0)
            return np_explain(why, NP_TRANSFER_WHY_MAX, ended, "the transfer cannot be read");
        if (ended == 1 && believed == 0)
            return 0;
    }
}

int np_transfer_run(const struct np_endpoint *server, const struct np_name *zone, const struct np_tsig_key *key,
                    np_transfer_fn *each, void *ctx, uint32_t *out_serial, char why[NP_TRANSFER_WHY_MAX])
{
    struct np_transfer transfer = {.begun = false};
    struct np_update_message query = {.wire = NULL};
    struct np_tsig_check check;
    uint16_t id;
    struct np_talk *talk = malloc(sizeof *talk);
    np_random_bytes(&id, sizeof id);
    int rc = talk ? np_update_axfr(zone, id, key, &query) : -ENOMEM;
    if (rc) {
        free(talk);
        return np_explain(why, NP_TRANSFER_WHY_MAX, rc, "%s", np_strerror(rc));
    }
    np_tsig_check_init(&check, key, query.mac, query.mac_len);
    rc = np_talk_open(talk, server);
    if (rc == 0)
        rc = np_talk_send(talk, query.wire, query.len);
    if (rc)
        np_explain(why, NP_TRANSFER_WHY_MAX, rc, "%s", np_strerror(rc));
    else
        rc = receive_all(talk, zone, &check, each, ctx, &transfer, why);
    if (rc == 0)
        *out_serial = transfer.serial;
    np_talk_close(talk);
    np_tsig_check_deinit(&check);
    free(query.wire);
    free(talk);
    return rc;
}

/* ---- Asking ---- */

/* Questions on their way. Their ID is their place and a random part, so that they are found again. */
struct asking {
    struct np_talk talk;
    struct {
        bool used;
        struct np_name owner;
        uint16_t type, id;
    } questions[NP_TRANSFER_WINDOW];
    size_t count;
    size_t answered; /* on this connection */
    bool ended;
};

static int send_question(struct asking *asking, size_t slot)
{
    uint8_t packet[NP_DNS_UDP_PLAIN];
    uint16_t random;
    np_random_bytes(&random, sizeof random);
    asking->questions[slot].id = (uint16_t)(random / NP_TRANSFER_WINDOW % 2000 * NP_TRANSFER_WINDOW + slot);
    int len = np_query_write(packet, sizeof packet, asking->questions[slot].id, 0, &asking->questions[slot].owner,
                             asking->questions[slot].type, false, false);
    return len < 0 ? len : np_talk_send(&asking->talk, packet, (size_t)len);
}

static int fill_window(struct asking *asking, np_transfer_next_fn *next, void *ctx)
{
    for (size_t slot = 0; slot < NP_TRANSFER_WINDOW; slot++) {
        if (asking->questions[slot].used || asking->ended)
            continue;
        if (!next(ctx, &asking->questions[slot].owner, &asking->questions[slot].type)) {
            asking->ended = true;
            return 0;
        }
        asking->questions[slot].used = true;
        asking->count++;
        int rc = send_question(asking, slot);
        if (rc)
            return rc;
    }
    return 0;
}

static int take_answer(struct asking *asking, np_transfer_fn *each, void *ctx, char why[NP_TRANSFER_WHY_MAX])
{
    unsigned rcode = 0;
    struct np_reader r = np_reader_make(asking->talk.buffer, asking->talk.len);
    uint16_t id = np_read_u16(&r);
    size_t slot = id % NP_TRANSFER_WINDOW;
    if (r.error || !asking->questions[slot].used || asking->questions[slot].id != id)
        return np_explain(why, NP_TRANSFER_WHY_MAX, NP_E_MALFORMED, "an answer that nobody asked for");
    int rc = np_transfer_answer(&asking->questions[slot].owner, asking->questions[slot].type, asking->talk.buffer,
                                asking->talk.len, each, ctx, &rcode);
    if (rc)
        return np_explain(why, NP_TRANSFER_WHY_MAX, rc, "a question was answered with %s",
                          rc == NP_E_DNS ? rcode_word(rcode) : "nonsense");
    asking->questions[slot].used = false;
    asking->count--;
    asking->answered++;
    return 0;
}

/* Connects (again), and asks once more what has no answer yet. */
static int connect_again(struct asking *asking, const struct np_endpoint *server)
{
    np_talk_close(&asking->talk);
    asking->answered = 0;
    int rc = np_talk_open(&asking->talk, server);
    for (size_t slot = 0; slot < NP_TRANSFER_WINDOW && rc == 0; slot++) {
        if (asking->questions[slot].used)
            rc = send_question(asking, slot);
    }
    return rc;
}

int np_transfer_ask(const struct np_endpoint *server, np_transfer_next_fn *next, np_transfer_fn *each, void *ctx,
                    char why[NP_TRANSFER_WHY_MAX])
{
    struct asking *asking = calloc(1, sizeof *asking);
    if (!asking)
        return np_explain(why, NP_TRANSFER_WHY_MAX, -ENOMEM, "out of memory");
    asking->talk.fd = -1;
    int rc = connect_again(asking, server), failures = 0;
    while (rc == 0) {
        rc = fill_window(asking, next, ctx);
        if (rc == 0 && asking->count == 0)
            break;
        if (rc == 0)
            rc = np_talk_receive(&asking->talk);
        if (rc == 0) {
            rc = take_answer(asking, each, ctx, why);
            if (rc)
                goto out;
            continue;
        }
        failures = asking->answered ? 0 : failures + 1;
        if (failures < RECONNECTS)
            rc = connect_again(asking, server);
    }
    if (rc)
        np_explain(why, NP_TRANSFER_WHY_MAX, rc, "%s", np_strerror(rc));
out:
    np_talk_close(&asking->talk);
    free(asking);
    return rc;
}

int np_transfer_serial(const struct np_endpoint *server, const struct np_name *zone, uint32_t *out_serial,
                       char why[NP_TRANSFER_WHY_MAX])
{
    uint8_t packet[NP_DNS_UDP_PLAIN];
    struct np_record record;
    struct head head;
    uint16_t id, class;
    size_t end;
    struct np_talk *talk = malloc(sizeof *talk);
    if (!talk)
        return np_explain(why, NP_TRANSFER_WHY_MAX, -ENOMEM, "out of memory");
    np_random_bytes(&id, sizeof id);
    int len = np_query_write(packet, sizeof packet, id, 0, zone, NP_RR_SOA, false, false);
    int rc = len < 0 ? len : np_talk_open(talk, server);
    if (rc == 0)
        rc = np_talk_send(talk, packet, (size_t)len);
    if (rc == 0)
        rc = np_talk_receive(talk);
    struct np_reader r = np_reader_make(talk->buffer, talk->len);
    if (rc) {
        np_explain(why, NP_TRANSFER_WHY_MAX, rc, "%s", np_strerror(rc));
    } else if (read_head(&r, &head) || (head.flags & 15u) || head.answers == 0 ||
               read_record(&r, &record, &class, &end) || record.type != NP_RR_SOA || read_serial(&r, end, out_serial)) {
        rc = np_explain(why, NP_TRANSFER_WHY_MAX, NP_E_DNS, "no SOA in the answer (%s)", rcode_word(head.flags & 15u));
    }
    np_talk_close(talk);
    free(talk);
    return rc;
}
