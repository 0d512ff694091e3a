#include "hq/names/vanity.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

#define LDH "abcdefghijklmnopqrstuvwxyz0123456789-"

/* Labels of services, and those that people take for the operator's: refused as a whole, with digits behind ("ns3"),
 * and written with digits for letters. hq/names/names.c has those that the zone itself uses. */
static const char *const services[] = {
    "autoconfig", "autodiscover", "blog",        "broadcasthost", "cdn",     "cloud",   "dashboard",
    "demo",       "dev",          "dns",         "docs",          "doh",     "dot",     "download",
    "downloads",  "email",        "example",     "ftp",           "gateway", "help",    "home",
    "hostmaster", "imap",         "info",        "invalid",       "ipv4",    "ipv6",    "kerberos",
    "ldap",       "lan",          "localdomain", "mailer",        "metrics", "mta",     "mtasts",
    "mx",         "my",           "netops",      "news",          "nobody",  "noc",     "ntp",
    "null",       "onion",        "openvpn",     "operator",      "pop",     "pop3",    "portal",
    "postmaster", "proxy",        "radius",      "resolver",      "router",  "server",  "shop",
    "sip",        "smtp",         "spam",        "ssh",           "ssl",     "staging", "static",
    "status",     "stun",         "syslog",      "telnet",        "test",    "time",    "tls",
    "turn",       "undefined",    "usenet",      "vpn",           "web",     "webmail", "webmaster",
    "whois",      "wiki",         "wordpress",   "www",           "xmpp",
};

/* Words that say "trust me": refused wherever they stand between hyphens. */
static const char *const trusted[] = {
    "abuse",    "account", "accounts",    "acme",     "admin",    "administrator", "auth",      "bank",     "banking",
    "billing",  "ca",      "certificate", "firmware", "hq",       "login",         "nameplate", "oauth",    "official",
    "password", "payment", "paypal",      "pay",      "register", "root",          "secure",    "security", "signin",
    "signup",   "sso",     "support",     "sysadmin", "update",   "updates",       "verify",    "wallet",
};

/* Nobody's name on somebody else's screen: refused anywhere in a label, or only as a word of its own where they are
 * also a part of harmless ones ("grape", "essex", "scunthorpe"). The operator's list goes further. */
static const char *const banned_anywhere[] = {"arschloch", "faggot", "fuck", "hitler", "hurensohn", "nigger"};
static const char *const banned_words[] = {"bitch", "cunt", "fag", "kkk",  "nazi", "nazis", "porn",
                                           "porno", "rape", "sex", "shit", "slut", "whore"};

#define COUNT(list) (sizeof(list) / sizeof *(list))

/* ---- The operator's lists ---- */

static int complain(char error[NP_WORDS_ERROR_MAX], int rc, size_t line, const char *why)
{
    snprintf(error, NP_WORDS_ERROR_MAX, "line %zu: %s", line, why);
    return rc;
}

/* One line's word, in place and in lower case; NULL: it has none. */
static char *take_word(char *line)
{
    line[strcspn(line, "#\r")] = 0;
    line += strspn(line, " \t");
    size_t len = strlen(line);
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        line[--len] = 0;
    for (size_t i = 0; i < len; i++)
        line[i] = (char)(line[i] >= 'A' && line[i] <= 'Z' ? line[i] + 32 : line[i]);
    return len > 0 ? line : NULL;
}

int np_words_parse(const char *text, size_t len, struct np_words *out_words, char error[NP_WORDS_ERROR_MAX])
{
    struct np_words words = {.text = malloc(len + 1)};
    int rc = words.text ? 0 : -ENOMEM;
    size_t line = 0;
    if (rc)
        return complain(error, rc, 0, np_strerror(rc));
    memcpy(words.text, text, len);
    words.text[len] = 0;
    if (strlen(words.text) != len)
        rc = complain(error, NP_E_MALFORMED, 0, "the file has a zero byte in it");
    for (char *at = words.text, *next; rc == 0 && at; at = next) {
        line++;
        next = strchr(at, '\n');
        if (next)
            *next++ = 0;
        char *word = take_word(at);
        if (!word)
            continue;
        if (strspn(word, LDH) != strlen(word) || strlen(word) > NP_LABEL_MAX) {
            rc = complain(error, NP_E_MALFORMED, line, "a word has 1 to 63 letters, digits and hyphens");
            break;
        }
        if (words.count == NP_WORDS_MAX) {
            rc = complain(error, NP_E_LIMIT, line, "there are too many words");
            break;
        }
        const char **grown =
            words.count % 64 ? words.words : reallocarray(words.words, words.count + 64, sizeof *grown);
        if (!grown) {
            rc = complain(error, -ENOMEM, line, np_strerror(-ENOMEM));
            break;
        }
        words.words = grown;
        words.words[words.count++] = word;
    }
    if (rc)
        np_words_free(&words);
    else
        *out_words = words;
    return rc;
}

void np_words_free(struct np_words *words)
{
    free(words->text);
    free(words->words);
    *words = (struct np_words){0};
}

int np_vanity_reserve_host(struct np_vanity *vanity, const char *zone, const char *host)
{
    struct np_words *words = &vanity->reserved;
    size_t len = strlen(host), tail = strlen(zone) + 1, old = 0;
    if (len <= tail || host[len - tail] != '.' || strcmp(host + len - tail + 1, zone) != 0)
        return 0;
    const char *label = host + len - tail;
    while (label > host && label[-1] != '.')
        label--;
    size_t label_len = (size_t)(host + len - tail - label);
    for (size_t i = 0; i < words->count; i++)
        old += strlen(words->words[i]) + 1;
    /* The words may lie anywhere in the old piece: they move into a new one. */
    struct np_words grown = {.text = malloc(old + label_len + 1),
                             .words = calloc(words->count + 64, sizeof *grown.words)};
    if (!grown.text || !grown.words) {
        np_words_free(&grown);
        return -ENOMEM;
    }
    char *at = grown.text;
    for (size_t i = 0; i < words->count; i++) {
        grown.words[grown.count++] = at;
        at = stpcpy(at, words->words[i]) + 1;
    }
    memcpy(at, label, label_len);
    at[label_len] = 0;
    grown.words[grown.count++] = at;
    np_words_free(words);
    *words = grown;
    return 0;
}

/* ---- A label ---- */

/* How a word looks at a glance: digits as the letters that they stand for, without hyphens. out has room for the
 * label. */
static void fold_digits(const char *label, char *out)
{
    static const char seen[] = "0134578i", as[] = "oleastbl";
    size_t n = 0;
    for (const char *p = label; *p; p++) {
        const char *alike = strchr(seen, *p);
        if (*p != '-')
            out[n++] = alike ? as[alike - seen] : *p;
    }
    out[n] = 0;
}

/* fold_digits, and pairs as the letter that they look like. Two words that look alike have one skeleton; a word inside
 * of another may lose a letter of its own to its neighbour, so that inside is looked for in both forms. */
static void skeleton(const char *label, char *out)
{
    size_t n = 0;
    fold_digits(label, out);
    for (const char *p = out; *p; p++) {
        if (*p == 'n' && n > 0 && out[n - 1] == 'r')
            out[n - 1] = 'm'; /* rn */
        else if (*p == 'v' && n > 0 && out[n - 1] == 'v')
            out[n - 1] = 'w'; /* vv */
        else
            out[n++] = *p;
    }
    out[n] = 0;
}

/* The label without hyphens and without the digits at its end. */
static void plain(const char *label, char *out)
{
    size_t n = 0;
    for (const char *p = label; *p; p++) {
        if (*p != '-')
            out[n++] = *p;
    }
    while (n > 0 && out[n - 1] >= '0' && out[n - 1] <= '9')
        n--;
    out[n] = 0;
}

/* A label in the forms that words are compared with. */
struct forms {
    const char *label;
    char plain[NP_LABEL_MAX + 1], skeleton[NP_LABEL_MAX + 1], plain_skeleton[NP_LABEL_MAX + 1];
};

static void make_forms(const char *label, struct forms *out)
{
    out->label = label;
    plain(label, out->plain);
    skeleton(label, out->skeleton);
    skeleton(out->plain, out->plain_skeleton);
}

static bool is_word(const struct forms *forms, const char *word)
{
    char wanted[NP_LABEL_MAX + 1], bare[NP_LABEL_MAX + 1];
    skeleton(word, wanted);
    plain(word, bare);
    return strcmp(forms->label, word) == 0 || (bare[0] && strcmp(forms->plain, bare) == 0) ||
           strcmp(forms->skeleton, wanted) == 0 || strcmp(forms->plain_skeleton, wanted) == 0;
}

static bool is_any(const struct forms *forms, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_word(forms, words[i]))
            return true;
    }
    return false;
}

/* Is the label, or any part of it between hyphens, one of the words? */
static bool part_is_any(const char *label, const char *const *words, size_t count)
{
    char part[NP_LABEL_MAX + 1];
    struct forms forms;
    make_forms(label, &forms);
    if (is_any(&forms, words, count))
        return true;
    for (const char *at = label; *at;) {
        size_t len = strcspn(at, "-");
        memcpy(part, at, len);
        part[len] = 0;
        make_forms(part, &forms);
        if (is_any(&forms, words, count))
            return true;
        at += len + (at[len] == '-');
    }
    return false;
}

static bool has_any(const char *label, const char *const *words, size_t count)
{
    char folded[NP_LABEL_MAX + 1], whole[NP_LABEL_MAX + 1], wanted[NP_LABEL_MAX + 1];
    fold_digits(label, folded);
    skeleton(label, whole);
    for (size_t i = 0; i < count; i++) {
        fold_digits(words[i], wanted);
        if (wanted[0] && strstr(folded, wanted))
            return true;
        skeleton(words[i], wanted);
        if (wanted[0] && strstr(whole, wanted))
            return true;
    }
    return false;
}

static bool is_suffix(const char *text)
{
    size_t len = strlen(text);
    return *text == 0 || (*text == '-' && (len == 5 || len == 8) && !strchr(text + 1, '-'));
}

bool np_names_is_generated(const char *label)
{
    size_t adjective_count, surname_count;
    const char *const *adjectives = np_names_adjectives(&adjective_count);
    const char *const *surnames = np_names_surnames(&surname_count);
    size_t first = strcspn(label, "-");
    if (!label[first])
        return false;
    for (size_t i = 0; i < adjective_count; i++) {
        if (strlen(adjectives[i]) != first || strncmp(adjectives[i], label, first) != 0)
            continue;
        for (size_t k = 0; k < surname_count; k++) {
            size_t len = strlen(surnames[k]);
            if (strncmp(label + first + 1, surnames[k], len) == 0 && is_suffix(label + first + 1 + len))
                return true;
        }
    }
    return false;
}

static int bad(struct np_refusal *out_refusal, const char *why)
{
    return np_refuse(out_refusal, NP_REFUSE_BAD_NAME, "that name is not possible: %s", why);
}

/* RFC 1035 section 2.3.1, RFC 5891 section 4.2.3.1. */
static int check_shape(const struct np_vanity *vanity, const char *label, struct np_refusal *out_refusal)
{
    size_t len = strlen(label);
    if (len > NP_LABEL_MAX || (int64_t)len < vanity->least || (int64_t)len > vanity->greatest)
        return np_refuse(out_refusal, NP_REFUSE_BAD_NAME,
                         "that name is not possible: it must have %lld to %lld characters", (long long)vanity->least,
                         (long long)vanity->greatest);
    if (len == 0 || strspn(label, LDH) != len)
        return bad(out_refusal, "it may have the letters a to z, digits and hyphens, without a dot");
    if (label[0] == '-' || label[len - 1] == '-')
        return bad(out_refusal, "it may not begin or end with a hyphen");
    if (strstr(label, "--"))
        return bad(out_refusal, "two hyphens may not stand together (so begin names in other alphabets)");
    if (strspn(label, "0123456789-") == len)
        return bad(out_refusal, "it needs at least one letter");
    return 0;
}

int np_vanity_check(const struct np_vanity *vanity, const char *label, char out_label[NP_LABEL_MAX + 1],
                    struct np_refusal *out_refusal)
{
    char lower[NP_LABEL_MAX + 2]; /* one more: too long stays too long */
    struct forms forms;
    if (!vanity->allowed)
        return np_refuse(out_refusal, NP_REFUSE_VANITY_OFF,
                         "this HQ gives the names itself; its operator can let owners choose ('vanity')");
    snprintf(lower, sizeof lower, "%s", label);
    for (char *p = lower; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    int rc = check_shape(vanity, lower, out_refusal);
    if (rc)
        return rc;
    make_forms(lower, &forms);
    if (np_names_is_generated(lower))
        return np_refuse(out_refusal, NP_REFUSE_NAME_RESERVED,
                         "that name looks like those that HQ makes itself; choose one of another kind");
    if (np_names_reserved(lower) || np_names_reserved(forms.plain) || is_any(&forms, services, COUNT(services)) ||
        part_is_any(lower, trusted, COUNT(trusted)) || is_any(&forms, vanity->reserved.words, vanity->reserved.count))
        return np_refuse(out_refusal, NP_REFUSE_NAME_RESERVED,
                         "that name is reserved: it is, or looks like, a service's or the operator's; choose another");
    if (np_names_banned(lower) || has_any(lower, banned_anywhere, COUNT(banned_anywhere)) ||
        part_is_any(lower, banned_words, COUNT(banned_words)) ||
        has_any(lower, vanity->banned.words, vanity->banned.count))
        return np_refuse(out_refusal, NP_REFUSE_NAME_RESERVED,
                         "that name has a word in it that HQ gives to nobody; choose another");
    memcpy(out_label, lower, strlen(lower) + 1);
    return 0;
}
