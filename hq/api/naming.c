/* Names that owners choose: what a device is called, may it be called otherwise, and what would become public. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hq/api/internal.h"
#include "hq/store/ledger.h"
#include "hq/store/naming.h"
#include "resolver/base/error.h"

#define YEAR_S   (365 * 86400)
#define DAY_S    86400
#define DATE_MAX 16

/* "2026-11-29" */
static const char *date(int64_t at_s, char out[DATE_MAX])
{
    time_t when = (time_t)at_s;
    struct tm tm;
    if (!gmtime_r(&when, &tm) || strftime(out, DATE_MAX, "%Y-%m-%d", &tm) == 0)
        snprintf(out, DATE_MAX, "?");
    return out;
}

static int whole_name(const struct np_api_call *call, const char *label, char out[NP_NAME_MAX + 1])
{
    int n = snprintf(out, NP_NAME_MAX + 1, "%s.%s", label, call->api->zone);
    return n < 0 || n > NP_NAME_MAX ? NP_E_LIMIT : 0;
}

/* ---- What a device is called ---- */

int np_api_names(struct np_api_call *call, const struct np_device *device, struct np_names *out_names, char *out_grant)
{
    struct np_store *store = call->api->store;
    struct np_grant grant = {.issued_s = device->created_s};
    struct np_naming naming;
    struct np_crypto crypto;
    int rc = np_store_naming_end_due(store, device->id, np_api_now_s(call), 1);
    if (rc >= 0)
        rc = np_store_naming_get(store, device->id, &naming);
    if (rc)
        return np_api_store_failed(call, rc);
    np_naming_san(device, &naming, out_names);
    if (!out_grant)
        return 0;
    memcpy(grant.name, device->name, sizeof grant.name);
    memcpy(grant.thumbprint, device->thumbprint, sizeof grant.thumbprint);
    if (naming.old[0]) {
        snprintf(grant.old, sizeof grant.old, "%.*s", (int)strcspn(naming.old, "."), naming.old);
        grant.old_until_s = naming.old_until_s;
    }
    np_hq_key_crypto(call->api->grant_key, &crypto);
    rc = np_grant_sign(&crypto, &grant, out_grant);
    return rc ? np_api_answer(call, 200, rc, NULL) : 0;
}

bool np_api_read_grant(struct np_api_call *call, const char *text, const uint8_t thumbprint[32],
                       struct np_grant *out_grant)
{
    struct np_public_key public_key;
    struct np_grant grant;
    if (text[0] == 0)
        return false;
    np_hq_key_public(call->api->grant_key, &public_key);
    if (np_grant_verify(&call->crypto, text, &public_key, &grant) || memcmp(grant.thumbprint, thumbprint, 32) != 0)
        return false;
    const char *dot = strchr(grant.name, '.');
    if (!dot || strcmp(dot + 1, call->api->zone) != 0)
        return false; /* of another zone than today's */
    *out_grant = grant;
    return true;
}

int np_api_take_grant(struct np_api_call *call, const char *text, struct np_device *device)
{
    struct np_store *store = call->api->store;
    int64_t now_s = np_api_now_s(call);
    struct np_grant grant;
    char old[NP_NAME_MAX + 1] = "", had[NP_NAME_MAX + 1];
    if (!np_api_read_grant(call, text, device->thumbprint, &grant) || strcmp(grant.name, device->name) == 0)
        return 0;
    memcpy(had, device->name, sizeof had);
    if (grant.old[0] && whole_name(call, grant.old, old))
        return 0;
    int rc = np_store_naming_restore(store, device, grant.name, strcmp(old, had) == 0 ? grant.old_until_s : 0, now_s);
    if (rc == NP_E_CONFLICT)
        return 0;
    if (rc == 0 && old[0] && strcmp(old, had) != 0 && grant.old_until_s > now_s)
        rc = np_store_naming_restore_old(store, device, old, grant.old_until_s);
    return rc ? np_api_store_failed(call, rc) : np_api_audit(call, NP_AUDIT_GRANT, device, "its name is back");
}

/* ---- A wish ---- */

/* A device's wish, and what is known of it. */
struct wish {
    struct np_api_call *call;
    const struct np_device *device;
    char name[NP_NAME_MAX + 1];
    char network[NP_STORE_NETWORK_MAX];
    struct np_naming naming;
    struct np_renewal renewal;
};

static int not_now(const struct wish *wish, const char *why)
{
    return np_refuse(&wish->call->refusal, NP_REFUSE_NAME_NOT_NOW, "not now: %s", why);
}

/* A change of name begins with a certificate that is there, and at rest: what is served until the new one comes. */
static int check_certificate(struct wish *wish)
{
    struct np_store *store = wish->call->api->store;
    int64_t now_ms = np_api_now_ms(wish->call);
    struct np_order order;
    int rc = np_store_renewal_get(store, wish->device->id, &wish->renewal);
    if (rc == NP_E_NOT_FOUND)
        return not_now(wish, "this box has no certificate yet; ask again when it has one");
    if (rc == 0)
        rc = np_store_order_newest(store, wish->device->id, &order);
    if (rc)
        return np_api_store_failed(wish->call, rc);
    if (wish->renewal.not_after_s * 1000 <= now_ms)
        return not_now(wish, "this box's certificate has ended; ask again when it has a new one");
    if (order.state != NP_ORDER_DONE || wish->renewal.point_ms <= now_ms)
        return not_now(wish, "this box's certificate is just being renewed; ask again when that is done");
    return 0;
}

static int check_moment(struct wish *wish)
{
    int64_t recovery_until_s = 0;
    char text[160], until[DATE_MAX];
    int rc = np_store_recovery_get(wish->call->api->store, &recovery_until_s);
    if (rc)
        return np_api_store_failed(wish->call, rc);
    if (recovery_until_s > np_api_now_s(wish->call)) {
        snprintf(text, sizeof text, "this HQ waits until %s for devices that it may have forgotten, and their names",
                 date(recovery_until_s, until));
        return not_now(wish, text);
    }
    if (wish->naming.wanted[0])
        return not_now(wish, "another name is on its way; its certificate is being made");
    if (wish->naming.old[0]) {
        snprintf(text, sizeof text, "this box's name before is served until %s; ask again after that",
                 date(wish->naming.old_until_s, until));
        return not_now(wish, text);
    }
    return check_certificate(wish);
}

static int check_limits(struct wish *wish)
{
    struct np_api_call *call = wish->call;
    const struct np_vanity *vanity = &call->api->vanity;
    struct np_naming_counts counts;
    int64_t now_s = np_api_now_s(call);
    char text[128];
    int rc = np_store_naming_counts(call->api->store, wish->device->id, wish->network, now_s - YEAR_S, &counts);
    if (rc)
        return np_api_store_failed(call, rc);
    if (counts.device >= vanity->per_device) {
        snprintf(text, sizeof text, "this box has had %lld chosen names, and may have no more",
                 (long long)counts.device);
        return not_now(wish, text);
    }
    int64_t from_s = counts.last_s + vanity->days * DAY_S;
    if (counts.last_s && now_s < from_s)
        return np_refuse_for(&call->refusal, NP_REFUSE_RATE_LIMITED, from_s - now_s,
                             "a box may choose a name once in %lld days: this one from %s on", (long long)vanity->days,
                             date(from_s, text));
    if (counts.network >= vanity->per_network)
        return np_refuse_for(&call->refusal, NP_REFUSE_RATE_LIMITED, DAY_S,
                             "%lld names have been chosen from this network within a year; try again later",
                             (long long)counts.network);
    return 0;
}

static bool is_own(const struct wish *wish)
{
    return strcmp(wish->name, wish->device->name) == 0 || strcmp(wish->name, wish->naming.wanted) == 0;
}

/* The policy first, then whether the name is free, then the moment: who asks whether a name would do hears that before
 * he hears that he has to wait. */
static int judge(struct wish *wish, const char *label)
{
    struct np_api_call *call = wish->call;
    char lower[NP_LABEL_MAX + 1];
    int rc = np_vanity_check(&call->api->vanity, label, lower, &call->refusal);
    if (rc)
        return rc;
    if (whole_name(call, lower, wish->name))
        return np_refuse(&call->refusal, NP_REFUSE_BAD_NAME, "that name is too long with the zone behind it");
    if (is_own(wish))
        return 0; /* nothing is to be given */
    rc = np_store_naming_free(call->api->store, wish->device, wish->name);
    if (rc == NP_E_CONFLICT)
        return np_refuse(&call->refusal, NP_REFUSE_NAME_TAKEN,
                         "that name is a box's, or once was one's; choose another");
    if (rc)
        return np_api_store_failed(call, rc);
    rc = check_moment(wish);
    return rc ? rc : check_limits(wish);
}

static void __attribute__((format(printf, 2, 3))) tell(struct np_name_offer *offer, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(offer->becomes_public[offer->public_count++], sizeof offer->becomes_public[0], format, args);
    va_end(args);
}

/* In a person's words; nothing here is a secret, and all of it is for good. */
static void fill_offer(const struct wish *wish, struct np_name_offer *out)
{
    const struct np_device *device = wish->device;
    char until[DATE_MAX], address[NP_ADDR_TEXT_MAX] = "";
    int label = (int)strcspn(wish->name, "."), old = (int)strcspn(device->name, ".");
    memcpy(out->name, wish->name, sizeof out->name);
    out->until_s = wish->renewal.not_after_s;
    tell(out,
         "The name goes into the public logs of certificates (Certificate Transparency). Anybody can read them, and "
         "nobody can take it out again.");
    if (device->published.v4_count)
        np_addr_format(&device->published.v4[0], address);
    else if (device->published.v6_count)
        np_addr_format(&device->published.v6[0], address);
    if (address[0])
        tell(out, "The public DNS tells everybody who asks for the name this box's address at home (%s).", address);
    else
        tell(out, "The name is in the public DNS, without an address.");
    tell(out, "The first certificate shows both names, so that everybody can see that they are the same box's.");
    tell(out, "'%.*s' stays in those logs too. It leads here until %s, and is then never given to anybody again.",
         old < 64 ? old : 64, device->name, date(out->until_s, until));
    tell(out, "'%.*s' is for this box alone: when the box is reset or changes its name, nobody gets it any more.",
         label < 64 ? label : 64, wish->name);
}

/* Gives it. */
static int grant_wish(struct wish *wish)
{
    struct np_api_call *call = wish->call;
    int rc = np_store_naming_ask(call->api->store, wish->device, wish->name, wish->network, np_api_now_s(call));
    if (rc == NP_E_CONFLICT) /* through another HQ, since it was looked at */
        return np_refuse(&call->refusal, NP_REFUSE_NAME_TAKEN, "that name has just been given to another box");
    if (rc)
        return np_api_store_failed(call, rc);
    return np_api_audit(call, NP_AUDIT_NAME_ASK, wish->device, "%.120s, from %s", wish->name, wish->network);
}

static int answer(struct np_api_call *call, const struct np_device *device, struct np_name_answer *message)
{
    char *json = NULL;
    int rc = np_api_names(call, device, &message->names, message->grant);
    if (rc)
        return rc;
    message->time_s = np_api_now_s(call);
    rc = np_name_answer_encode(message, &json);
    return np_api_answer(call, 200, rc, json);
}

static int decide(struct np_api_call *call, const struct np_name_request *message, const struct np_device *device,
                  struct np_name_offer *out_offer)
{
    struct wish wish = {.call = call, .device = device};
    int rc = np_store_naming_end_due(call->api->store, device->id, np_api_now_s(call), 1);
    if (rc >= 0)
        rc = np_store_naming_get(call->api->store, device->id, &wish.naming);
    if (rc)
        return np_api_store_failed(call, rc);
    np_policy_network(&call->request->client, wish.network);
    rc = judge(&wish, message->name);
    if (rc || is_own(&wish))
        return rc;
    if (!message->check)
        return grant_wish(&wish);
    fill_offer(&wish, out_offer);
    return 0;
}

int np_api_name(struct np_api_call *call)
{
    struct np_name_request message;
    struct np_message_error error;
    struct np_jws *jws = NULL;
    struct np_device device;
    int rc = np_api_signed_device(call, &jws, &device);
    if (rc)
        return rc;
    struct np_name_answer *out = calloc(1, sizeof *out);
    rc = np_api_payload(call, np_name_request_parse((const char *)jws->payload, jws->payload_len, &message, &error),
                        &error);
    np_jws_free(jws);
    if (rc == 0 && !out)
        rc = np_api_answer(call, 200, -1, NULL);
    if (rc == 0)
        rc = np_api_take_grant(call, message.grant, &device);
    if (rc == 0 && message.name[0])
        rc = decide(call, &message, &device, &out->offer);
    if (rc == 0 && (rc = np_store_device_update(call->api->store, &device)))
        rc = np_api_store_failed(call, rc);
    if (rc == 0)
        rc = answer(call, &device, out);
    free(out);
    return rc;
}
