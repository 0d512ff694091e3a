#include "hq/acme/ari.h"

#include <string.h>
#include <time.h>

#include "hq/acme/resource.h"
#include "hq/crypto.h"
#include "hq/proto/json.h"
#include "resolver/base/error.h"

#define FIRST_PARTS   20  /* of the life: over the first of them first questions are spread, and nothing is renewed */
#define SHORT_PARTS   100 /* of a short life: the least pause between two questions */
#define DOUBLINGS_MAX 20

/* ---- What the CA says ---- */

/* Two digits at p; -1: they are none. */
static int two_digits(const char *p)
{
    return p[0] >= '0' && p[0] <= '9' && p[1] >= '0' && p[1] <= '9' ? (p[0] - '0') * 10 + p[1] - '0' : -1;
}

/* "Z" or "+01:00" in seconds. */
static int parse_offset(const char *p, int64_t *out_s)
{
    *out_s = 0;
    if ((p[0] == 'Z' || p[0] == 'z') && p[1] == 0)
        return 0;
    if ((p[0] != '+' && p[0] != '-') || strlen(p) != 6 || p[3] != ':')
        return NP_E_MALFORMED;
    int hours = two_digits(p + 1), minutes = two_digits(p + 4);
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
        return NP_E_MALFORMED;
    *out_s = (p[0] == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return 0;
}

/* A date-time of RFC 3339 in Unix ms; fractions of a second are cut. */
static int parse_time(const char *text, int64_t *out_ms)
{
    struct tm tm = {0};
    int64_t offset_s;
    size_t len = strlen(text);
    if (len < 20 || len > 40 || text[4] != '-' || text[7] != '-' || text[13] != ':' || text[16] != ':' ||
        (text[10] != 'T' && text[10] != 't'))
        return NP_E_MALFORMED;
    int high = two_digits(text), low = two_digits(text + 2), month = two_digits(text + 5), day = two_digits(text + 8);
    int hour = two_digits(text + 11), minute = two_digits(text + 14), second = two_digits(text + 17);
    if (high < 19 || low < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 || minute < 0 ||
        minute > 59 || second < 0 || second > 60)
        return NP_E_MALFORMED;
    const char *p = text + 19;
    if (*p == '.') {
        size_t digits = strspn(p + 1, "0123456789");
        if (digits == 0)
            return NP_E_MALFORMED;
        p += 1 + digits;
    }
    if (parse_offset(p, &offset_s))
        return NP_E_MALFORMED;
    tm.tm_year = high * 100 + low - 1900;
    tm.tm_mon = month - 1;
    tm.tm_mday = day;
    tm.tm_hour = hour;
    tm.tm_min = minute;
    tm.tm_sec = second;
    *out_ms = ((int64_t)timegm(&tm) - offset_s) * 1000;
    return 0;
}

static void get_time(struct np_json_in *in, const char *member, int64_t *out_ms)
{
    char text[48] = "";
    np_json_text(in, member, text, sizeof text);
    if (in->rc == 0 && parse_time(text, out_ms))
        np_json_fail(in, member, NP_E_MALFORMED);
}

int np_ari_parse(const char *json, size_t len, struct np_ari_info *out_info)
{
    struct np_ari_info info = {0};
    json_t *object = len <= NP_ACME_BODY_MAX ? np_json_load(json, len) : NULL;
    if (!object)
        return NP_E_MALFORMED;
    struct np_json_in in = {object, 0, NULL};
    json_t *window = np_json_member(&in, "suggestedWindow", JSON_OBJECT);
    struct np_json_in inner = {window, in.rc, NULL};
    get_time(&inner, "start", &info.window.from_ms);
    get_time(&inner, "end", &info.window.until_ms);
    if (inner.rc == 0 && info.window.until_ms <= info.window.from_ms)
        inner.rc = NP_E_DATE;
    const char *url = json_string_value(json_object_get(object, "explanationURL"));
    if (url && np_acme_is_url(url))
        memcpy(info.explanation, url, strlen(url) + 1);
    json_decref(object);
    if (inner.rc == 0)
        *out_info = info;
    return inner.rc;
}

/* ---- What becomes of it ---- */

static int64_t life_ms(int64_t not_before_s, int64_t not_after_s)
{
    return (not_after_s - not_before_s) * 1000;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Before that no window counts. */
static int64_t earliest_ms(const struct np_ari_facts *facts)
{
    struct np_renewal_window own;
    int64_t young_ms = least(NP_ARI_YOUNG_MS, life_ms(facts->not_before_s, facts->not_after_s) / FIRST_PARTS);
    np_renewal_window_of_life(facts->not_before_s, facts->not_after_s, &own);
    for (int64_t i = 0; i < facts->early && i < DOUBLINGS_MAX; i++)
        young_ms *= 2;
    return least(facts->not_before_s * 1000 + young_ms, np_renewal_point(&own, facts->device));
}

void np_ari_plan(const struct np_ari_facts *facts, const struct np_renewal_window *window, int64_t now_ms,
                 struct np_ari_plan *out_plan)
{
    struct np_ari_plan plan = {.point_ms = facts->point_ms, .due_ms = facts->due_ms};
    int64_t first_ms = earliest_ms(facts);
    int64_t last_ms = facts->not_after_s * 1000 - life_ms(facts->not_before_s, facts->not_after_s) / 4;
    plan.moved = window->from_ms != facts->known.from_ms || window->until_ms != facts->known.until_ms;
    if (plan.moved) {
        plan.point_ms = least(np_renewal_point(window, facts->device), last_ms);
        if (plan.point_ms < first_ms)
            plan.point_ms = first_ms;
        if (facts->attempts == 0)
            plan.due_ms = plan.point_ms > now_ms ? plan.point_ms : now_ms;
    }
    *out_plan = plan;
}

int64_t np_ari_first_ms(int64_t not_before_s, int64_t not_after_s, const char *device)
{
    int64_t over_ms = least(NP_ARI_ASK_MS, life_ms(not_before_s, not_after_s) / FIRST_PARTS);
    return not_before_s * 1000 + (over_ms > 0 ? (int64_t)np_hq_spread("ari", device, (uint64_t)over_ms) : 0);
}

int64_t np_ari_pause_ms(int64_t not_before_s, int64_t not_after_s, int64_t retry_after_ms)
{
    int64_t pause_ms = retry_after_ms > 0 ? retry_after_ms : NP_ARI_ASK_MS;
    int64_t min_ms = least(NP_ARI_ASK_MIN_MS, life_ms(not_before_s, not_after_s) / SHORT_PARTS);
    return pause_ms < min_ms ? min_ms : least(pause_ms, NP_ARI_ASK_MAX_MS);
}

int64_t np_ari_retry_ms(int64_t not_before_s, int64_t not_after_s, int64_t failures, int64_t retry_after_ms)
{
    int64_t pause_ms = np_ari_pause_ms(not_before_s, not_after_s, 1);
    for (int64_t i = 1; i < failures && i < DOUBLINGS_MAX; i++)
        pause_ms *= 2;
    pause_ms = least(pause_ms, NP_ARI_ASK_MS);
    return retry_after_ms > pause_ms ? np_ari_pause_ms(not_before_s, not_after_s, retry_after_ms) : pause_ms;
}
