#include "hq/acme/limits.h"

#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define HOUR_MS INT64_C(3600000)
#define DAY_MS  (24 * HOUR_MS)

const char *np_limit_name(enum np_limit kind)
{
    static const char *const names[NP_LIMIT_KINDS] = {"orders", "domain", "names", "failures", "pause"};
    return (unsigned)kind < NP_LIMIT_KINDS ? names[kind] : "?";
}

bool np_limits_preset(const char *name, struct np_limits *out_limits)
{
    /* letsencrypt.org/docs/rate-limits and /docs/staging-environment, as of late 2026. */
    static const struct {
        const char *name;
        struct np_limits limits;
    } presets[] = {
        {"letsencrypt",
         {.rules = {{300, 3 * HOUR_MS}, {50, 7 * DAY_MS}, {5, 7 * DAY_MS}, {5, HOUR_MS}}, .renewals_exempt = true}},
        {"letsencrypt-staging",
         {.rules = {{1500, 3 * HOUR_MS}, {0, 0}, {30000, 7 * DAY_MS}, {200, HOUR_MS}}, .renewals_exempt = true}},
        {"none", {.renewals_exempt = false}},
    };
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++) {
        if (strcmp(presets[i].name, name) != 0)
            continue;
        memcpy(out_limits->rules, presets[i].limits.rules, sizeof out_limits->rules);
        out_limits->renewals_exempt = presets[i].limits.renewals_exempt;
        return true;
    }
    return false;
}

const char *np_limits_preset_of(const char *directory)
{
    static const char scheme[] = "https://", staging[] = "acme-staging", owner[] = ".letsencrypt.org";
    const char *host = strncmp(directory, scheme, sizeof scheme - 1) == 0 ? directory + sizeof scheme - 1 : directory;
    size_t len = strcspn(host, ":/");
    if (len <= sizeof owner - 1 || strncmp(host + len - (sizeof owner - 1), owner, sizeof owner - 1) != 0)
        return "none";
    return strncmp(host, staging, sizeof staging - 1) == 0 ? "letsencrypt-staging" : "letsencrypt";
}

int np_limit_rule_parse(const char *text, struct np_limit_rule *out_rule)
{
    static const struct {
        char letter;
        int64_t seconds;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 7 * 86400}};
    char part[16];
    const char *slash = strchr(text, '/');
    int64_t count, number;
    if (strcmp(text, "none") == 0) {
        *out_rule = (struct np_limit_rule){0, 0};
        return 0;
    }
    size_t len = slash ? (size_t)(slash - text) : 0;
    if (len == 0 || len >= sizeof part)
        return NP_E_MALFORMED;
    memcpy(part, text, len);
    part[len] = 0;
    if (np_parse_int(part, 1, NP_LIMIT_COUNT_MAX, &count))
        return NP_E_MALFORMED;
    len = strlen(slash + 1);
    if (len < 2 || len >= sizeof part)
        return NP_E_MALFORMED;
    memcpy(part, slash + 1, len);
    part[len - 1] = 0;
    if (np_parse_int(part, 1, NP_LIMIT_PERIOD_MAX_S, &number))
        return NP_E_MALFORMED;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (units[i].letter != slash[len] || number > NP_LIMIT_PERIOD_MAX_S / units[i].seconds)
            continue;
        *out_rule = (struct np_limit_rule){count, number * units[i].seconds * 1000};
        return 0;
    }
    return NP_E_MALFORMED;
}

void np_limits_headroom(struct np_limits *limits, int64_t percent)
{
    for (size_t i = 0; i < NP_LIMIT_RULES; i++) {
        struct np_limit_rule *rule = &limits->rules[i];
        if (rule->count == 0)
            continue;
        rule->count -= (rule->count * percent + 99) / 100;
        if (rule->count < 1)
            rule->count = 1;
    }
}

/* ---- One bucket ---- */

/* Rounded up: never faster than the CA. */
static int64_t interval_ms(const struct np_limit_rule *rule)
{
    return (rule->period_ms + rule->count - 1) / rule->count;
}

int64_t np_limit_wait_ms(const struct np_limit_rule *rule, int64_t full_ms, int64_t reserve, int64_t n, int64_t now_ms)
{
    if (rule->count == 0)
        return 0;
    int64_t interval = interval_ms(rule), base_ms = full_ms > now_ms ? full_ms : now_ms;
    int64_t most_ms = now_ms + rule->period_ms + NP_LIMIT_REFUSED_MAX_MS;
    if (base_ms > most_ms) /* the clock was set back */
        base_ms = most_ms;
    /* With all of them in the bucket, the one that is left after the reserve is the last that may go. */
    if (reserve > rule->count - 1)
        reserve = rule->count - 1;
    int64_t wait_ms = base_ms + (n + reserve - rule->count) * interval - now_ms;
    return wait_ms > 0 ? wait_ms : 0;
}

int64_t np_limit_take(const struct np_limit_rule *rule, int64_t full_ms, int64_t now_ms)
{
    return rule->count == 0 ? full_ms : (full_ms > now_ms ? full_ms : now_ms) + interval_ms(rule);
}

int64_t np_limit_give_back(const struct np_limit_rule *rule, int64_t full_ms)
{
    int64_t given_ms = rule->count == 0 ? full_ms : full_ms - interval_ms(rule);
    return given_ms > 0 ? given_ms : 0;
}

int64_t np_limit_exhaust(const struct np_limit_rule *rule, int64_t full_ms, int64_t wait_ms, int64_t now_ms)
{
    if (rule->count == 0)
        return full_ms;
    int64_t empty_ms = now_ms + wait_ms + (rule->count - 1) * interval_ms(rule);
    return empty_ms > full_ms ? empty_ms : full_ms;
}

int64_t np_limit_level(const struct np_limit_rule *rule, int64_t full_ms, int64_t now_ms)
{
    if (rule->count == 0 || full_ms <= now_ms)
        return rule->count;
    int64_t missing = (full_ms - now_ms + interval_ms(rule) - 1) / interval_ms(rule);
    return missing < rule->count ? rule->count - missing : 0;
}

/* ---- An order ---- */

static int64_t reserve_of(const struct np_limit_rule *rule, enum np_order_priority priority)
{
    static const int64_t kept_percent[] = {
        [NP_PRIORITY_URGENT] = 0, [NP_PRIORITY_NEW] = 50, [NP_PRIORITY_ROUTINE] = 50, [NP_PRIORITY_OPEN] = 75};
    return rule->count * kept_percent[priority] / 100;
}

bool np_limits_counts(const struct np_limits *limits, enum np_exemption exemption, enum np_limit kind)
{
    switch (kind) {
    case NP_LIMIT_ORDERS:
    case NP_LIMIT_DOMAIN:
        return exemption == NP_EXEMPT_NONE || (exemption == NP_EXEMPT_RENEWAL && !limits->renewals_exempt);
    case NP_LIMIT_NAMES:
        return exemption != NP_EXEMPT_ARI;
    case NP_LIMIT_FAILURES:
    case NP_LIMIT_PAUSE:
        return true;
    }
    return true;
}

bool np_limits_is_shared(const struct np_limits *limits, enum np_limit kind)
{
    return kind == NP_LIMIT_ORDERS || kind == NP_LIMIT_PAUSE || (kind == NP_LIMIT_DOMAIN && !limits->public_suffix);
}

int64_t np_limits_wait_ms(const struct np_limits *limits, const struct np_limit_view *view, int64_t n, int64_t now_ms,
                          enum np_limit *out_kind)
{
    int64_t longest_ms = 0;
    *out_kind = NP_LIMIT_PAUSE;
    for (enum np_limit kind = NP_LIMIT_ORDERS; kind < NP_LIMIT_KINDS; kind++) {
        int64_t wait_ms;
        if (!np_limits_counts(limits, view->exemption, kind))
            continue;
        if (kind == NP_LIMIT_PAUSE) {
            wait_ms = view->full_ms[kind] - now_ms;
        } else {
            const struct np_limit_rule *rule = &limits->rules[kind];
            bool shared = np_limits_is_shared(limits, kind);
            wait_ms = np_limit_wait_ms(rule, view->full_ms[kind], shared ? reserve_of(rule, view->priority) : 0,
                                       shared ? n : 1, now_ms);
        }
        if (wait_ms > longest_ms) {
            longest_ms = wait_ms;
            *out_kind = kind;
        }
    }
    return longest_ms;
}

unsigned np_limits_pay(const struct np_limits *limits, struct np_limit_view *view, int64_t now_ms)
{
    unsigned paid = 0;
    for (enum np_limit kind = NP_LIMIT_ORDERS; kind <= NP_LIMIT_NAMES; kind++) {
        if (limits->rules[kind].count == 0 || !np_limits_counts(limits, view->exemption, kind))
            continue;
        view->full_ms[kind] = np_limit_take(&limits->rules[kind], view->full_ms[kind], now_ms);
        paid |= 1U << kind;
    }
    return paid;
}

enum np_limit np_limit_of_refusal(const char *detail)
{
    static const struct {
        const char *words;
        enum np_limit kind;
    } table[] = {
        {"new-orders-per-account", NP_LIMIT_ORDERS},
        {"too many new orders", NP_LIMIT_ORDERS},
        {"exact set of", NP_LIMIT_NAMES}, /* before the next: both are "certificates already issued" */
        {"per-exact-set", NP_LIMIT_NAMES},
        {"per-registered-domain", NP_LIMIT_DOMAIN},
        {"already issued for", NP_LIMIT_DOMAIN},
        {"failed authorizations", NP_LIMIT_FAILURES},
        {"authorization-failures", NP_LIMIT_FAILURES},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strstr(detail, table[i].words))
            return table[i].kind;
    }
    return NP_LIMIT_PAUSE;
}

int64_t np_limit_pause_ms(int64_t retry_after_ms, unsigned refusals)
{
    int64_t most_ms = NP_LIMIT_PAUSE_MS;
    for (unsigned i = 0; i < refusals && most_ms < NP_LIMIT_PAUSE_MAX_MS; i++)
        most_ms *= 2;
    if (most_ms > NP_LIMIT_PAUSE_MAX_MS)
        most_ms = NP_LIMIT_PAUSE_MAX_MS;
    return retry_after_ms > 0 && retry_after_ms < most_ms ? retry_after_ms : most_ms;
}
