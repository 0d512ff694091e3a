/* hq/zone/transfer and audit: whatever comes as a message of a zone transfer, or as an answer, is read without harm,
 * and each record that comes out fits and can be counted. The first byte chooses: a transfer's message, or an answer.
 */
#include <stdlib.h>
#include <string.h>

#include "hq/zone/audit.h"
#include "hq/zone/transfer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take(void *ctx, const struct np_record *record)
{
    if (record->rdata_len > sizeof record->rdata || record->owner.len == 0 || np_audit_record(ctx, record))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct np_zone_config config = {.origin = "devices.example", .ttl_s = 60};
    struct np_records_zone zone;
    struct np_transfer transfer = {.begun = false};
    struct np_audit *audit;
    unsigned rcode;
    if (size == 0 || size > NP_DNS_MESSAGE_MAX + 1)
        return 0;
    if (np_records_zone_init(&zone, &config) || np_audit_new(&zone, &audit))
        abort();
    if (data[0] & 1)
        (void)np_transfer_answer(&zone.origin, data[0] & 2 ? NP_RR_MX : NP_RR_A, data + 1, size - 1, take, audit,
                                 &rcode);
    else
        (void)np_transfer_take(&transfer, &zone.origin, data + 1, size - 1, take, audit, &rcode);
    np_audit_free(audit);
    return 0;
}
