#include "agent/front/page.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/front/pages.h"
#include "agent/front/template.h"
#include "agent/identity/keys.h"
#include "resolver/base/text.h"

static const struct np_page_file *const bodies[] = {
    [NP_PAGE_START] = &np_page_file_start_html,
    [NP_PAGE_STATUS] = &np_page_file_status_html,
    [NP_PAGE_WAITING] = &np_page_file_waiting_html,
    [NP_PAGE_NOT_FOUND] = &np_page_file_not_found_html,
    [NP_PAGE_BACKEND] = &np_page_file_backend_html,
    [NP_PAGE_MOVED] = &np_page_file_moved_html,
    [NP_PAGE_MISDIRECTED] = &np_page_file_misdirected_html,
    [NP_PAGE_ERROR] = &np_page_file_error_html,
};

/* A page while it is written, and room for a value. */
struct filling {
    const struct np_page *page;
    char *text;
};

#define TEXT_MAX (NP_NEWS_ADDRESSES_MAX * (NP_NEWS_ADDRESS_MAX + 2) + 1)

static bool is_set(const char *text)
{
    return text && *text;
}

/* Does the page tell about the device? */
static bool tells(const struct np_page *page)
{
    return page->kind == NP_PAGE_START || page->kind == NP_PAGE_STATUS || page->kind == NP_PAGE_WAITING;
}

static bool has_qrcode(const struct np_page *page)
{
    return page->kind == NP_PAGE_STATUS && is_set(page->url);
}

enum np_verdict_kind np_page_verdict(const struct np_page *page)
{
    enum np_verdict_kind kind = page->news ? page->news->verdict.kind : NP_VERDICT_UNKNOWN;
    if (!is_set(page->name))
        return NP_VERDICT_NO_NAME;
    if (!is_set(page->url)) /* no name: only one that its owner gave it, for which there is no certificate */
        return kind == NP_VERDICT_EXPIRED || kind == NP_VERDICT_NO_NAME ? kind : NP_VERDICT_NO_CERTIFICATE;
    bool late = kind == NP_VERDICT_NO_NAME || kind == NP_VERDICT_NO_CERTIFICATE || kind == NP_VERDICT_EXPIRED;
    return late ? NP_VERDICT_UNKNOWN : kind;
}

enum np_level np_page_level(const struct np_page *page)
{
    return page->news ? page->news->level : NP_LEVEL_UNKNOWN;
}

const char *np_page_state(const struct np_page *page, char buffer[NP_PAGE_STATE_MAX])
{
    snprintf(buffer, NP_PAGE_STATE_MAX, "%s %s %d %lld", np_level_name(np_page_level(page)),
             np_verdict_name(np_page_verdict(page)), page->news && page->news->online, (long long)page->not_after_s);
    return buffer;
}

/* "12 March 2027", in UTC. */
static const char *date(int64_t seconds, char text[TEXT_MAX])
{
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    struct tm tm;
    time_t time = (time_t)seconds;
    snprintf(text, TEXT_MAX, "?");
    if (gmtime_r(&time, &tm))
        snprintf(text, TEXT_MAX, "%d %s %d", tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900);
    return text;
}

/* "12 March 2027, 15:04". */
static const char *moment(int64_t seconds, char text[TEXT_MAX])
{
    struct tm tm;
    time_t time = (time_t)seconds;
    if (seconds <= 0 || !gmtime_r(&time, &tm))
        return "";
    date(seconds, text);
    size_t len = strlen(text);
    snprintf(text + len, TEXT_MAX - len, ", %02d:%02d UTC", tm.tm_hour, tm.tm_min);
    return text;
}

static const char *history_addresses(const struct np_news_addresses *entry, char text[TEXT_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < entry->count && i < NP_NEWS_ADDRESSES_MAX; i++)
        len += (size_t)snprintf(text + len, TEXT_MAX - len, "%s%s", i ? ", " : "", entry->addresses[i]);
    return len ? text : "none";
}

static const char *title(const struct np_page *page)
{
    switch (page->kind) {
    case NP_PAGE_START:
    case NP_PAGE_STATUS:
    case NP_PAGE_WAITING:
        return is_set(page->name) ? page->name : "Your device";
    case NP_PAGE_NOT_FOUND:
        return "There is no such page";
    case NP_PAGE_BACKEND:
        return "One moment";
    case NP_PAGE_MOVED:
        return "Moved";
    case NP_PAGE_MISDIRECTED:
        return "Not this device";
    case NP_PAGE_ERROR:
        break;
    }
    return is_set(page->reason) ? page->reason : "Error";
}

static const char *flag(bool set)
{
    return set ? "yes" : "";
}

/* What is the same whatever the page tells. */
static const char *frame_value(const struct np_page *page, const char *key, char text[TEXT_MAX])
{
    if (strcmp(key, "title") == 0)
        return title(page);
    if (strcmp(key, "style") == 0)
        return np_page_file_style_css.text;
    if (strcmp(key, "body") == 0)
        return bodies[page->kind]->text;
    if (strcmp(key, "verdict") == 0)
        return np_page_file_verdict_html.text;
    if (strcmp(key, "trouble") == 0)
        return np_page_file_trouble_html.text;
    if (strcmp(key, "details") == 0)
        return np_page_file_details_html.text;
    if (strcmp(key, "script") == 0)
        return tells(page) ? np_page_file_page_js.text : "";
    if (strcmp(key, "qrcode") == 0)
        return has_qrcode(page) ? np_page_file_qrcode_min_js.text : "";
    if (strcmp(key, "state") == 0)
        return tells(page) ? np_page_state(page, text) : "";
    return NULL;
}

/* What comes from the agent's news. */
static const char *news_value(const struct np_page *page, const char *key, size_t index, char text[TEXT_MAX])
{
    static const struct np_news none;
    const struct np_news *news = page->news ? page->news : &none;
    const struct np_verdict *verdict = &news->verdict;
    enum np_verdict_kind kind = np_page_verdict(page);
    bool told = verdict->kind == kind; /* else by and mend belong to something else */
    if (strcmp(key, "online") == 0)
        return flag(news->online);
    if (strcmp(key, "by") == 0)
        return told ? verdict->by : "";
    if (strcmp(key, "has-mend") == 0)
        return flag(told && verdict->mend_count > 0);
    if (strcmp(key, "rules") == 0)
        return flag(kind == NP_VERDICT_UNKNOWN || (kind == NP_VERDICT_FILTERED && verdict->mend_count == 0));
    if (strcmp(key, "checked") == 0)
        return told ? moment(verdict->checked_s, text) : "";
    const char *level = np_level_name(news->level);
    if (strncmp(key, "level-", 6) == 0 && strcmp(key + 6, level) == 0)
        return "yes";
    if (strcmp(key, "has-history") == 0)
        return flag(news->history_count > 0);
    if (strcmp(key, "line") == 0)
        return index < verdict->mend_count ? verdict->mend[index] : "";
    if (strcmp(key, "when") == 0)
        return index < news->history_count ? moment(news->history[index].at_s, text) : "";
    if (strcmp(key, "what") == 0)
        return index < news->history_count ? history_addresses(&news->history[index], text) : "";
    return strcmp(key, np_verdict_name(kind)) == 0 ? "yes" : NULL;
}

static const char *device_value(const struct np_page *page, const char *key, size_t index, char text[TEXT_MAX])
{
    const struct {
        const char *key, *value;
    } plain[] = {
        {"name", page->name},
        {"url", page->url},
        {"here", page->here},
        {"issuer", page->issuer},
        {"reason", page->reason},
        {"secure", flag(page->secure)},
        {"fallback", flag(page->fallback)},
        {"go", flag(page->go && page->probe)},
        {"probe", page->probe ? page->url : ""},
        {"start", page->secure || !is_set(page->url) ? "/" : page->url},
        {"has-addresses", flag(page->address_count > 0)},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (strcmp(key, plain[i].key) == 0)
            return plain[i].value;
    }
    if (strcmp(key, "from") == 0)
        return page->not_after_s ? date(page->not_before_s, text) : "";
    if (strcmp(key, "until") == 0)
        return page->not_after_s ? date(page->not_after_s, text) : "";
    if (strcmp(key, "address") == 0)
        return index < page->address_count ? page->addresses[index] : "";
    if (strcmp(key, "status") != 0)
        return NULL;
    snprintf(text, TEXT_MAX, "%d", page->status);
    return text;
}

static const char *value(const void *ctx, const char *key_at, size_t key_len, size_t index)
{
    const struct filling *filling = ctx;
    char key[NP_TEMPLATE_KEY_MAX + 1];
    if (key_len > NP_TEMPLATE_KEY_MAX)
        return NULL;
    memcpy(key, key_at, key_len);
    key[key_len] = '\0';
    const char *found = frame_value(filling->page, key, filling->text);
    if (!found)
        found = device_value(filling->page, key, index, filling->text);
    return found ? found : news_value(filling->page, key, index, filling->text);
}

static long count(const void *ctx, const char *key, size_t key_len)
{
    const struct filling *filling = ctx;
    const struct np_news *news = filling->page->news;
    if (key_len == 9 && memcmp(key, "addresses", 9) == 0)
        return (long)filling->page->address_count;
    if (key_len == 4 && memcmp(key, "mend", 4) == 0)
        return news ? (long)news->verdict.mend_count : 0;
    if (key_len == 7 && memcmp(key, "history", 7) == 0)
        return news ? (long)news->history_count : 0;
    return -1;
}

void np_page_write(struct np_writer *w, const struct np_page *page)
{
    char text[TEXT_MAX];
    struct filling filling = {page, text};
    struct np_template_values values = {&filling, value, count};
    np_template_write(w, np_page_file_layout_html.text, np_page_file_layout_html.len, &values);
}

/* " 'sha256-...'" */
static void put_hash(struct np_writer *w, const struct np_page_file *file)
{
    uint8_t hash[32];
    char text[NP_BASE64URL_LEN(sizeof hash)], source[NP_BASE64URL_LEN(sizeof hash) + 16];
    np_sha256(file->text, file->len, hash);
    np_base64url_encode(hash, sizeof hash, text);
    /* CSP takes base64url's letters as well (CSP 3, hash-source), but wants the padding. */
    int len = snprintf(source, sizeof source, " 'sha256-%s='", text);
    np_write_bytes(w, source, (size_t)len);
}

static void put(struct np_writer *w, const char *text)
{
    np_write_bytes(w, text, strlen(text));
}

/* "https://NAME:PORT" of url; nothing where a name has letters that would end the directive. */
static void put_origin(struct np_writer *w, const char *url)
{
    size_t len = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789-_.:/");
    if (len == 0 || url[len] || url[len - 1] != '/')
        return;
    put(w, " ");
    np_write_bytes(w, url, len - 1);
}

const char *np_page_policy(const struct np_page *page, char buffer[NP_PAGE_POLICY_MAX])
{
    struct np_writer w = np_writer_make(buffer, NP_PAGE_POLICY_MAX - 1);
    put(&w, "default-src 'none'; style-src");
    put_hash(&w, &np_page_file_style_css);
    if (tells(page)) {
        put(&w, "; script-src");
        put_hash(&w, &np_page_file_page_js);
        if (has_qrcode(page))
            put_hash(&w, &np_page_file_qrcode_min_js);
        put(&w, "; connect-src 'self'");
        if (page->probe && is_set(page->url))
            put_origin(&w, page->url);
    }
    put(&w, "; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
    buffer[w.pos] = '\0';
    return buffer;
}
