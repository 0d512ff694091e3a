/* What `nameplate-hq zone check` and `zone repair` print. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>

#include "hq/zonecheck.h"
#include "resolver/base/error.h"

static const char *zone_of(const struct np_zonecheck *check, const struct np_zonecheck_target *target,
                           char out[NP_NAME_MAX + 8])
{
    snprintf(out, NP_NAME_MAX + 8, "%s%s", target->challenge ? "acme." : "", check->config->origin);
    return out;
}

/* RFC 1982. */
static bool is_behind(uint32_t serial, uint32_t of)
{
    return (int32_t)(serial - of) < 0;
}

/* The serial that the others should follow: the first one's that was compared. NULL: none is known. */
static const uint32_t *primary_serial(const struct np_zonecheck *check)
{
    for (size_t i = 0; i < check->target_count; i++) {
        if (!check->targets[i].challenge && check->targets[i].has_serial)
            return &check->targets[i].serial;
    }
    return NULL;
}

/* ---- For a person ---- */

static void print_targets(const struct np_zonecheck *check)
{
    char server[NP_ADDR_TEXT_MAX], zone[NP_NAME_MAX + 8];
    printf("%-24s %-32s %10s %9s %9s %9s %9s %9s\n", "SERVER", "ZONE", "SERIAL", "NAMES", "MISSING", "DIFFERENT",
           "EXTRA", "PENDING");
    for (size_t i = 0; i < check->target_count; i++) {
        const struct np_zonecheck_target *target = &check->targets[i];
        printf("%-24s %-32s ", np_endpoint_format(&target->server, server), zone_of(check, target, zone));
        if (target->error[0])
            printf("%s\n", target->error);
        else
            printf("%10lu %9zu %9zu %9zu %9zu %9zu\n", (unsigned long)(target->has_serial ? target->serial : 0),
                   target->names, target->missing, target->different, target->extra, target->pending);
    }
}

static void print_nameservers(const struct np_zonecheck *check)
{
    const uint32_t *primary = primary_serial(check);
    char server[NP_ADDR_TEXT_MAX];
    printf("\n%-32s %-24s %10s\n", "NAME SERVER", "ADDRESS", "SERIAL");
    for (size_t i = 0; i < check->nameserver_count; i++) {
        const struct np_zonecheck_nameserver *nameserver = &check->nameservers[i];
        printf("%-32s %-24s ", nameserver->nameserver->name,
               np_endpoint_format(&nameserver->nameserver->address, server));
        if (!nameserver->has_serial)
            printf("%s\n", nameserver->error);
        else
            printf("%10lu%s\n", (unsigned long)nameserver->serial,
                   primary && is_behind(nameserver->serial, *primary) ? "  behind" : "");
    }
}

static void print_findings(const struct np_zonecheck *check)
{
    char server[NP_ADDR_TEXT_MAX];
    size_t shown = check->finding_count < NP_ZONECHECK_SHOWN ? check->finding_count : NP_ZONECHECK_SHOWN;
    if (shown == 0)
        return;
    printf("\n%-48s %-24s %s\n", "NAME", "SERVER", "FINDING");
    for (size_t i = 0; i < shown; i++) {
        const struct np_zonecheck_finding *finding = &check->findings[i];
        printf("%-48s %-24s %s%s\n", finding->name, np_endpoint_format(&check->targets[finding->target].server, server),
               np_audit_word(finding->finding), finding->pending ? ", its change is on its way" : "");
    }
    if (check->finding_count > shown)
        printf("... and %zu more; --json shows them all\n", check->finding_count - shown);
}

void np_zonecheck_print(const struct np_zonecheck *check)
{
    print_targets(check);
    print_nameservers(check);
    print_findings(check);
    printf("\n%zu names in the database. ", check->names);
    if (check->repaired)
        printf("%zu names were marked: the running server publishes them now; check again in a moment.\n",
               check->repaired);
    else if (!np_zonecheck_agrees(check))
        puts("The zone differs: 'nameplate-hq zone repair' has what differs published again.");
    else if (!np_zonecheck_complete(check))
        puts("Not every server could be compared.");
    else
        puts("The zone agrees with them.");
}

/* ---- For a program ---- */

static json_t *text_or_null(const char *text)
{
    return text[0] ? json_string(text) : json_null();
}

static json_t *serial_or_null(bool has_serial, uint32_t serial)
{
    return has_serial ? json_integer((json_int_t)serial) : json_null();
}

static json_t *targets_json(const struct np_zonecheck *check)
{
    json_t *list = json_array();
    char server[NP_ADDR_TEXT_MAX], zone[NP_NAME_MAX + 8];
    for (size_t i = 0; i < check->target_count; i++) {
        const struct np_zonecheck_target *t = &check->targets[i];
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:o,s:I,s:I,s:I,s:I,s:I,s:o}", "server",
                                              np_endpoint_format(&t->server, server), "zone", zone_of(check, t, zone),
                                              "method", t->transferred ? "transfer" : "questions", "serial",
                                              serial_or_null(t->has_serial, t->serial), "names", (json_int_t)t->names,
                                              "missing", (json_int_t)t->missing, "different", (json_int_t)t->different,
                                              "extra", (json_int_t)t->extra, "pending", (json_int_t)t->pending, "error",
                                              text_or_null(t->error)));
    }
    return list;
}

static json_t *nameservers_json(const struct np_zonecheck *check)
{
    const uint32_t *primary = primary_serial(check);
    json_t *list = json_array();
    char server[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < check->nameserver_count; i++) {
        const struct np_zonecheck_nameserver *n = &check->nameservers[i];
        bool behind = n->has_serial && primary && is_behind(n->serial, *primary);
        json_array_append_new(list, json_pack("{s:s,s:s,s:o,s:b,s:o}", "name", n->nameserver->name, "address",
                                              np_endpoint_format(&n->nameserver->address, server), "serial",
                                              serial_or_null(n->has_serial, n->serial), "behind", behind, "error",
                                              n->has_serial ? json_null() : text_or_null(n->error)));
    }
    return list;
}

static json_t *findings_json(const struct np_zonecheck *check)
{
    json_t *list = json_array();
    char server[NP_ADDR_TEXT_MAX], text[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < check->finding_count; i++) {
        const struct np_zonecheck_finding *f = &check->findings[i];
        json_t *should = json_array();
        for (size_t k = 0; k < f->should.v4_count; k++)
            json_array_append_new(should, json_string(np_addr_format(&f->should.v4[k], text)));
        for (size_t k = 0; k < f->should.v6_count; k++)
            json_array_append_new(should, json_string(np_addr_format(&f->should.v6[k], text)));
        json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:b,s:o}", "name", f->name, "server",
                                              np_endpoint_format(&check->targets[f->target].server, server), "finding",
                                              np_audit_word(f->finding), "pending", f->pending, "addresses", should));
    }
    return list;
}

int np_zonecheck_print_json(const struct np_zonecheck *check)
{
    json_t *root =
        json_pack("{s:s,s:s,s:I,s:b,s:b,s:o,s:o,s:o,s:I}", "zone", check->config->origin, "backend",
                  check->config->backend == NP_ZONE_RFC2136 ? "rfc2136" : "builtin", "names", (json_int_t)check->names,
                  "agrees", np_zonecheck_agrees(check), "complete", np_zonecheck_complete(check), "servers",
                  targets_json(check), "nameservers", nameservers_json(check), "findings", findings_json(check),
                  "repaired", (json_int_t)check->repaired);
    if (!root)
        return -ENOMEM;
    int rc = json_dumpf(root, stdout, JSON_INDENT(2)) ? -EIO : 0;
    json_decref(root);
    putchar('\n');
    return rc;
}
