/* Comparing a zone with what it should show: against a plain model of both sides, and the messages of a transfer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/zone/audit.h"
#include "hq/zone/transfer.h"
#include "resolver/base/error.h"
#include "resolver/message.h"

#define ORIGIN "devices.example"

static struct np_records_zone make_zone(void)
{
    struct np_records_zone zone;
    struct np_zone_config config = {.origin = ORIGIN, .ttl_s = 60};
    assert_int_equal(np_records_zone_init(&zone, &config), 0);
    return zone;
}

static struct np_zone_name make_name(const char *label, const char *v4)
{
    struct np_zone_name name = {.present = true};
    snprintf(name.name, sizeof name.name, "%s." ORIGIN, label);
    if (v4)
        assert_int_equal(np_addr_parse(v4, &name.published.v4[name.published.v4_count++]), 0);
    return name;
}

static struct np_records records_of(const struct np_records_zone *zone, const struct np_zone_name *name)
{
    struct np_records records;
    assert_int_equal(np_records_name(zone, name, &records), 0);
    return records;
}

/* The server has what HQ writes for this name. */
static void give(struct np_audit *audit, const struct np_records_zone *zone, const char *label, const char *v4)
{
    struct np_zone_name name = make_name(label, v4);
    struct np_records records = records_of(zone, &name);
    for (size_t i = records.count; i-- > 0;) /* in another order */
        assert_int_equal(np_audit_record(audit, &records.records[i]), 0);
}

static enum np_audit_finding expect(struct np_audit *audit, const struct np_records_zone *zone, const char *label,
                                    const char *v4)
{
    struct np_zone_name name = make_name(label, v4);
    struct np_records records = records_of(zone, &name);
    return np_audit_expect(audit, label, &records);
}

static struct np_record record(const char *owner, uint16_t type, const void *rdata, size_t len)
{
    struct np_record out = {.type = type, .rdata_len = len};
    assert_int_equal(np_name_parse(owner, &out.owner), 0);
    memcpy(out.rdata, rdata, len);
    return out;
}

struct rest {
    char text[512];
};

static int note_rest(void *ctx, const char *label, bool standing)
{
    struct rest *rest = ctx;
    size_t used = strlen(rest->text);
    snprintf(rest->text + used, sizeof rest->text - used, "%s%s ", label, standing ? "+" : "");
    return 0;
}

static void test_findings(void **state)
{
    (void)state;
    struct np_records_zone zone = make_zone();
    struct np_audit *audit;
    struct rest rest = {""};
    assert_int_equal(np_audit_new(&zone, &audit), 0);
    assert_int_equal(expect(audit, &zone, "nobody", "10.0.0.1"), NP_AUDIT_MISSING); /* an empty zone */
    give(audit, &zone, "same", "10.0.0.1");
    give(audit, &zone, "other-address", "10.0.0.2");
    give(audit, &zone, "more", "10.0.0.3");
    give(audit, &zone, "extra", NULL);
    give(audit, &zone, "GONE", "10.0.0.4");
    struct np_record more = record("more." ORIGIN, NP_RR_A, "\12\0\0\11", 4);
    assert_int_equal(np_audit_record(audit, &more), 0);
    struct np_record alone = record("alone." ORIGIN, NP_RR_A, "\12\0\0\1", 4); /* without the rest */
    assert_int_equal(np_audit_record(audit, &alone), 0);
    /* What is not a device's name is not looked at. */
    static const char *const others[] = {ORIGIN,         "a.b.c." ORIGIN,   "x.acme." ORIGIN,
                                         "acme." ORIGIN, "a.other.example", "_other.alone." ORIGIN};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct np_record other = record(others[i], NP_RR_A, "\12\0\0\1", 4);
        assert_int_equal(np_audit_record(audit, &other), 0);
    }
    assert_int_equal(np_audit_count(audit), 6);
    assert_int_equal(expect(audit, &zone, "same", "10.0.0.1"), NP_AUDIT_SAME);
    assert_int_equal(expect(audit, &zone, "other-address", "10.0.0.99"), NP_AUDIT_DIFFERENT);
    assert_int_equal(expect(audit, &zone, "more", "10.0.0.3"), NP_AUDIT_DIFFERENT);
    assert_int_equal(expect(audit, &zone, "alone", "10.0.0.1"), NP_AUDIT_DIFFERENT);
    assert_int_equal(expect(audit, &zone, "nobody", NULL), NP_AUDIT_MISSING);
    struct np_zone_name gone = make_name("gone", NULL);
    gone.present = false;
    struct np_records none = records_of(&zone, &gone);
    assert_int_equal(np_audit_expect(audit, "gone", &none), NP_AUDIT_EXTRA);
    assert_int_equal(np_audit_expect(audit, "never", &none), NP_AUDIT_SAME);
    assert_int_equal(np_audit_rest(audit, note_rest, &rest), 0);
    assert_string_equal(rest.text, "extra+ ");
    np_audit_free(audit);
}

/* The CNAME that only HQ makes tells its names from the operator's. */
static void test_standing(void **state)
{
    (void)state;
    struct np_records_zone zone = make_zone();
    struct np_audit *audit;
    struct rest rest = {""};
    assert_int_equal(np_audit_new(&zone, &audit), 0);
    static const struct {
        const char *owner, *target;
    } cnames[] = {
        {"_acme-challenge.ours." ORIGIN, "OURS.acme." ORIGIN},
        {"_ACME-challenge.Ours2." ORIGIN, "ours2.acme." ORIGIN},
        {"_acme-challenge.theirs." ORIGIN, "theirs.acme.other.example"},
        {"_acme-challenge.wrong." ORIGIN, "other.acme." ORIGIN},
        {"www." ORIGIN, "www.acme." ORIGIN},
    };
    for (size_t i = 0; i < sizeof cnames / sizeof *cnames; i++) {
        struct np_name target;
        assert_int_equal(np_name_parse(cnames[i].target, &target), 0);
        struct np_record cname = record(cnames[i].owner, NP_RR_CNAME, target.wire, target.len);
        assert_int_equal(np_audit_record(audit, &cname), 0);
    }
    assert_int_equal(np_audit_rest(audit, note_rest, &rest), 0);
    assert_string_equal(rest.text, "ours+ ours2+ theirs wrong www+ ");
    np_audit_free(audit);
}

static void test_many(void **state)
{
    (void)state;
    struct np_records_zone zone = make_zone();
    struct np_audit *audit;
    struct rest rest = {""};
    char label[32], v4[32];
    assert_int_equal(np_audit_new(&zone, &audit), 0);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(label, sizeof label, "n-%u", i);
        snprintf(v4, sizeof v4, "10.0.%u.%u", i / 250, i % 250);
        give(audit, &zone, label, v4);
    }
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(label, sizeof label, "N-%u", i);
        snprintf(v4, sizeof v4, "10.0.%u.%u", i / 250, i % 250 + (i == 4321));
        assert_int_equal(expect(audit, &zone, label, v4), i == 4321 ? NP_AUDIT_DIFFERENT : NP_AUDIT_SAME);
    }
    assert_int_equal(np_audit_rest(audit, note_rest, &rest), 0);
    assert_string_equal(rest.text, "");
    np_audit_free(audit);
}

/* ---- Messages of a transfer ---- */

struct message {
    uint8_t bytes[1024];
    struct np_writer w;
    unsigned answers;
};

static void start(struct message *m, bool question, unsigned rcode)
{
    *m = (struct message){.answers = 0};
    m->w = np_writer_make(m->bytes, sizeof m->bytes);
    np_write_u16(&m->w, 7);
    np_write_u16(&m->w, (uint16_t)(0x8400 | rcode));
    np_write_u16(&m->w, question);
    for (int i = 0; i < 3; i++)
        np_write_u16(&m->w, 0);
    np_write_bytes(&m->w, "\7devices\7example", 17); /* at 12, or the first record's owner */
    if (question) {
        np_write_u16(&m->w, NP_RR_AXFR);
        np_write_u16(&m->w, NP_CLASS_IN);
    }
}

/* owner_is_written: it stands there already. */
static void add(struct message *m, const char *owner, size_t owner_len, uint16_t type, const char *rdata, size_t len)
{
    np_write_bytes(&m->w, owner, owner_len);
    np_write_u16(&m->w, type);
    np_write_u16(&m->w, NP_CLASS_IN);
    np_write_u32(&m->w, 60);
    np_write_u16(&m->w, (uint16_t)len);
    np_write_bytes(&m->w, rdata, len);
    np_write_u16_at(&m->w, 6, (uint16_t)++m->answers);
}

#define APEX     "\xc0\x0c", 2
#define SOA(n)   NP_RR_SOA, "\xc0\x0c\xc0\x0c\0\0\0" n "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1", 24
#define FIRST(n) "", 0, SOA(n)

static void count_record(void *ctx, const struct np_record *r)
{
    struct rest *rest = ctx;
    char owner[NP_NAME_TEXT_MAX];
    size_t used = strlen(rest->text);
    snprintf(rest->text + used, sizeof rest->text - used, "%s %u %zu;", np_name_format(&r->owner, owner), r->type,
             r->rdata_len);
}

static int take(struct np_transfer *transfer, const struct message *m, struct rest *rest)
{
    struct np_name zone;
    unsigned rcode;
    assert_int_equal(m->w.error, 0);
    assert_int_equal(np_name_parse(ORIGIN, &zone), 0);
    return np_transfer_take(transfer, &zone, m->bytes, m->w.pos, count_record, rest, &rcode);
}

static void test_transfer(void **state)
{
    (void)state;
    struct np_transfer transfer = {.begun = false};
    struct message m;
    struct rest rest = {""};
    start(&m, true, 0);
    add(&m, APEX, SOA("\5"));
    add(&m, APEX, NP_RR_NS, "\3ns1\xc0\x0c", 6);
    add(&m, "\1a\xc0\x0c", 4, NP_RR_A, "\12\0\0\1", 4);
    add(&m, "\1a\xc0\x0c", 4, NP_RR_MX, "\0\0\0", 3);
    assert_int_equal(take(&transfer, &m, &rest), 0);
    assert_int_equal(transfer.serial, 5);
    start(&m, false, 0); /* later messages may have no question */
    add(&m, "", 0, 46, "signature", 9);
    add(&m, "\1b\xc0\x0c", 4, NP_RR_CNAME, "\1a\xc0\x0c", 4);
    add(&m, APEX, SOA("\5"));
    assert_int_equal(take(&transfer, &m, &rest), 1);
    assert_string_equal(rest.text, "a.devices.example 1 4;a.devices.example 15 3;b.devices.example 5 19;");
}

static void test_bad_transfers(void **state)
{
    (void)state;
    struct message m;
    struct rest rest = {""};
    struct np_transfer begun = {.begun = true, .serial = 5}, fresh = {.begun = false};
    struct np_transfer t = fresh;
    start(&m, true, 5);
    assert_int_equal(take(&t, &m, &rest), NP_E_DNS);
    start(&m, true, 0); /* begins without the SOA */
    add(&m, "\1a\xc0\x0c", 4, NP_RR_A, "\12\0\0\1", 4);
    assert_int_equal(take(&t, &m, &rest), NP_E_MALFORMED);
    t = fresh;
    start(&m, true, 0); /* another zone's */
    add(&m, "\1a\xc0\x0c", 4, SOA("\5"));
    assert_int_equal(take(&t, &m, &rest), NP_E_MALFORMED);
    t = begun;
    start(&m, true, 0); /* the zone changed in between */
    add(&m, APEX, SOA("\6"));
    assert_int_equal(take(&t, &m, &rest), NP_E_MALFORMED);
    t = begun;
    start(&m, true, 0); /* goes on after its end */
    add(&m, APEX, SOA("\5"));
    add(&m, "\1a\xc0\x0c", 4, NP_RR_A, "\12\0\0\1", 4);
    assert_int_equal(take(&t, &m, &rest), NP_E_MALFORMED);
    t = begun;
    start(&m, true, 0); /* data that does not end where it should */
    add(&m, "\1a\xc0\x0c", 4, NP_RR_CNAME, "\1a\xc0\x0c\0", 5);
    assert_int_equal(take(&t, &m, &rest), NP_E_MALFORMED);
    /* Cut anywhere: never the end. */
    start(&m, true, 0);
    add(&m, "\1a\xc0\x0c", 4, NP_RR_TXT, "\3abc", 4);
    add(&m, APEX, SOA("\5"));
    size_t whole = m.w.pos;
    for (m.w.pos = 0; m.w.pos < whole; m.w.pos++) {
        t = begun;
        assert_int_equal(take(&t, &m, &rest), NP_E_MALFORMED);
    }
    t = begun;
    assert_int_equal(take(&t, &m, &rest), 1);
}

/* Data that is longer than ours ever is comes cut, and equals nothing of ours. */
static void test_long_data(void **state)
{
    (void)state;
    struct message m;
    struct rest rest = {""};
    struct np_transfer t = {.begun = true};
    char text[300];
    memset(text, 'x', sizeof text);
    start(&m, true, 0);
    add(&m, "\1a\xc0\x0c", 4, NP_RR_TXT, text, sizeof text);
    add(&m, "\1b\xc0\x0c", 4, NP_RR_A, "\12\0\0\1", 4);
    assert_int_equal(take(&t, &m, &rest), 0);
    assert_string_equal(rest.text, "a.devices.example 16 256;b.devices.example 1 4;");
}

static void test_answers(void **state)
{
    (void)state;
    struct message m;
    struct rest rest = {""};
    struct np_name owner;
    unsigned rcode;
    assert_int_equal(np_name_parse("a." ORIGIN, &owner), 0);
    start(&m, true, 0);
    add(&m, "\1A\xc0\x0c", 4, NP_RR_A, "\12\0\0\1", 4);
    add(&m, "\1A\xc0\x0c", 4, NP_RR_TXT, "\3abc", 4);
    add(&m, "\1b\xc0\x0c", 4, NP_RR_A, "\12\0\0\2", 4);
    assert_int_equal(np_transfer_answer(&owner, NP_RR_A, m.bytes, m.w.pos, count_record, &rest, &rcode), 0);
    assert_string_equal(rest.text, "A.devices.example 1 4;");
    for (size_t len = 0; len < m.w.pos; len++)
        assert_int_equal(np_transfer_answer(&owner, NP_RR_A, m.bytes, len, count_record, &rest, &rcode),
                         NP_E_MALFORMED);
    start(&m, true, NP_RCODE_NXDOMAIN);
    assert_int_equal(np_transfer_answer(&owner, NP_RR_A, m.bytes, m.w.pos, count_record, &rest, &rcode), 0);
    start(&m, true, NP_RCODE_REFUSED);
    assert_int_equal(np_transfer_answer(&owner, NP_RR_A, m.bytes, m.w.pos, count_record, &rest, &rcode), NP_E_DNS);
    assert_int_equal(rcode, NP_RCODE_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings), cmocka_unit_test(test_standing),      cmocka_unit_test(test_many),
        cmocka_unit_test(test_transfer), cmocka_unit_test(test_bad_transfers), cmocka_unit_test(test_long_data),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
