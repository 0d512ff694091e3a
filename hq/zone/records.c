#include "hq/zone/records.h"

#include <string.h>

#include "hq/zone/table.h"
#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/message.h"

static void clear(struct np_records *records, const struct np_name *owner, uint16_t type)
{
    records->cleared[records->cleared_count].owner = *owner;
    records->cleared[records->cleared_count++].type = type;
}

static struct np_record *add(struct np_records *records, const struct np_name *owner, uint16_t type, uint32_t ttl,
                             const void *rdata, size_t len)
{
    struct np_record *record = &records->records[records->count++];
    *record = (struct np_record){.owner = *owner, .type = type, .ttl = ttl, .rdata_len = len};
    memcpy(record->rdata, rdata, len);
    return record;
}

static void add_address(struct np_records *records, const struct np_name *owner, uint32_t ttl,
                        const struct np_addr *addr)
{
    add(records, owner, addr->family == AF_INET ? NP_RR_A : NP_RR_AAAA, ttl, addr->bytes, np_addr_len(addr));
}

/* RFC 7505 and RFC 7208: no mail comes to or from any of our names. */
static void add_no_mail(struct np_records *records, const struct np_name *owner, uint32_t ttl)
{
    static const uint8_t null_mx[] = {0, 0, 0};
    static const char spf[] = "\013v=spf1 -all";
    add(records, owner, NP_RR_MX, ttl, null_mx, sizeof null_mx);
    add(records, owner, NP_RR_TXT, ttl, spf, sizeof spf - 1);
}

int np_records_zone_init(struct np_records_zone *zone, const struct np_zone_config *config)
{
    zone->ttl_s = config->ttl_s;
    int rc = np_name_parse(config->origin, &zone->origin);
    np_name_lower(&zone->origin);
    return rc ? rc : np_name_prepend("acme", &zone->origin, &zone->challenge_origin);
}

int np_records_name(const struct np_records_zone *zone, const struct np_zone_name *name, struct np_records *out_records)
{
    struct np_name owner, challenge, target;
    char label[NP_TABLE_LABEL_MAX + 1];
    out_records->count = out_records->cleared_count = 0;
    size_t len = strcspn(name->name, ".");
    if (len == 0 || len > NP_TABLE_LABEL_MAX || np_name_parse(name->name, &owner) ||
        np_name_labels(&owner) != np_name_labels(&zone->origin) + 1 || !np_name_within(&owner, &zone->origin))
        return NP_E_NAME;
    memcpy(label, name->name, len);
    label[len] = 0;
    if (np_name_prepend("_acme-challenge", &owner, &challenge) ||
        np_name_prepend(label, &zone->challenge_origin, &target))
        return NP_E_NAME;
    clear(out_records, &owner, NP_RR_ANY);
    clear(out_records, &challenge, NP_RR_ANY);
    if (!name->present)
        return 0;
    for (size_t i = 0; i < name->published.v4_count && i < NP_STORE_V4_MAX; i++)
        add_address(out_records, &owner, zone->ttl_s, &name->published.v4[i]);
    for (size_t i = 0; i < name->published.v6_count && i < NP_STORE_V6_MAX; i++)
        add_address(out_records, &owner, zone->ttl_s, &name->published.v6[i]);
    add_no_mail(out_records, &owner, zone->ttl_s);
    add(out_records, &challenge, NP_RR_CNAME, zone->ttl_s, target.wire, target.len);
    return 0;
}

int np_records_challenge(const struct np_records_zone *zone, const char *name,
                         const char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1], size_t count,
                         struct np_records *out_records)
{
    struct np_name owner;
    uint8_t rdata[NP_ZONE_TXT_LEN + 1] = {NP_ZONE_TXT_LEN};
    out_records->count = out_records->cleared_count = 0;
    if (np_name_parse(name, &owner) || np_name_labels(&owner) != np_name_labels(&zone->challenge_origin) + 1 ||
        !np_name_within(&owner, &zone->challenge_origin))
        return NP_E_NAME;
    clear(out_records, &owner, NP_RR_TXT);
    for (size_t i = 0; i < count && i < NP_ZONE_TXT_MAX; i++) {
        memcpy(rdata + 1, values[i], NP_ZONE_TXT_LEN);
        add(out_records, &owner, NP_RR_TXT, NP_ZONE_CHALLENGE_S, rdata, sizeof rdata);
    }
    return 0;
}

int np_records_caa(const char *issuer, const char *account, uint8_t out_rdata[NP_RECORD_RDATA_MAX],
                   size_t *out_rdata_len)
{
    static const char tag[] = "issue", uri[] = "; accounturi=";
    struct np_writer w = np_writer_make(out_rdata, NP_RECORD_RDATA_MAX);
    np_write_u8(&w, 0);
    np_write_u8(&w, sizeof tag - 1);
    np_write_bytes(&w, tag, sizeof tag - 1);
    np_write_bytes(&w, issuer, strnlen(issuer, NP_ZONE_CAA_LEN));
    if (account[0]) {
        np_write_bytes(&w, uri, sizeof uri - 1);
        np_write_bytes(&w, account, strlen(account));
    }
    if (w.error)
        return NP_E_LIMIT;
    *out_rdata_len = w.pos;
    return 0;
}

static int add_host(const struct np_records_zone *zone, const struct np_zone_config *config, struct np_records *records)
{
    struct np_name host;
    if (!config->host[0] || config->host_address_count == 0)
        return 0;
    if (np_name_parse(config->host, &host))
        return NP_E_MALFORMED;
    np_name_lower(&host);
    clear(records, &host, NP_RR_A);
    clear(records, &host, NP_RR_AAAA);
    for (size_t i = 0; i < config->host_address_count && i < NP_ZONE_HOST_MAX; i++)
        add_address(records, &host, zone->ttl_s, &config->host_addresses[i]);
    return 0;
}

static int add_probe(const struct np_records_zone *zone, const char *label, const struct np_addr *addresses,
                     size_t count, struct np_records *records)
{
    struct np_name parent, owner;
    if (count == 0)
        return 0;
    if (np_name_prepend(label, &zone->origin, &parent) || np_name_prepend("*", &parent, &owner))
        return NP_E_LIMIT;
    clear(records, &owner, NP_RR_ANY);
    for (size_t i = 0; i < count && i < NP_ZONE_PROBE_MAX; i++)
        add_address(records, &owner, zone->ttl_s, &addresses[i]);
    add_no_mail(records, &owner, zone->ttl_s);
    return 0;
}

int np_records_own(const struct np_records_zone *zone, const struct np_zone_config *config,
                   const struct np_zone_accounts *accounts, struct np_records *out_records)
{
    out_records->count = out_records->cleared_count = 0;
    if (config->caa_count)
        clear(out_records, &zone->origin, NP_RR_CAA);
    for (size_t i = 0; i < config->caa_count && i < NP_ZONE_CAA_MAX; i++) {
        uint8_t rdata[NP_RECORD_RDATA_MAX];
        size_t len = 0;
        int rc = np_records_caa(config->caa[i], accounts ? accounts->url[i] : "", rdata, &len);
        if (rc)
            return rc;
        add(out_records, &zone->origin, NP_RR_CAA, zone->ttl_s, rdata, len);
    }
    int rc = add_host(zone, config, out_records);
    if (rc == 0)
        rc = add_probe(zone, "rebind-test", config->probe_private, config->probe_private_count, out_records);
    if (rc == 0)
        rc = add_probe(zone, "plain-test", config->probe_public, config->probe_public_count, out_records);
    return rc;
}

int np_records_epoch(const struct np_name *origin, const char *epoch, struct np_record *out_record)
{
    size_t len = strlen(epoch);
    *out_record = (struct np_record){.type = NP_RR_TXT, .rdata_len = len + 1};
    if (len > 255 || len + 1 > sizeof out_record->rdata || np_name_prepend("_nameplate", origin, &out_record->owner))
        return NP_E_LIMIT;
    out_record->rdata[0] = (uint8_t)len;
    memcpy(out_record->rdata + 1, epoch, len);
    return 0;
}

/* Of the types that we publish, MX and CNAME have a name in their rdata. */
static size_t name_offset(uint16_t type)
{
    return type == NP_RR_CNAME ? 0 : type == NP_RR_MX ? 2 : SIZE_MAX;
}

bool np_record_equal(const struct np_record *a, const struct np_record *b)
{
    if (a->type != b->type || a->rdata_len != b->rdata_len || !np_name_equal(&a->owner, &b->owner))
        return false;
    size_t plain = name_offset(a->type);
    if (plain > a->rdata_len)
        return memcmp(a->rdata, b->rdata, a->rdata_len) == 0;
    for (size_t i = 0; i < a->rdata_len; i++) {
        uint8_t x = a->rdata[i], y = b->rdata[i];
        bool letter = i >= plain && (uint8_t)((x | 0x20) - 'a') < 26;
        if (x != y && !(letter && (x ^ y) == 0x20))
            return false;
    }
    return true;
}
