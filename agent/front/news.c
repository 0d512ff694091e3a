#include "agent/front/news.h"

#include <jansson.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

static const char *const names[] = {
#define NP_VERDICT_TEXT(name, text) [name] = (text),
    NP_VERDICT_MAP(NP_VERDICT_TEXT)
#undef NP_VERDICT_TEXT
};

const char *np_verdict_name(enum np_verdict_kind kind)
{
    return names[kind];
}

enum np_verdict_kind np_verdict_parse(const char *text)
{
    for (int i = 0; i < NP_VERDICT_KINDS; i++) {
        if (strcmp(names[i], text) == 0)
            return (enum np_verdict_kind)i;
    }
    return NP_VERDICT_UNKNOWN;
}

static const char *const level_names[] = {
    [NP_LEVEL_UNKNOWN] = "unknown", [NP_LEVEL_GREEN] = "green", [NP_LEVEL_YELLOW] = "yellow", [NP_LEVEL_RED] = "red"};

const char *np_level_name(enum np_level level)
{
    return level_names[level];
}

static enum np_level parse_level(const char *text)
{
    for (int i = NP_LEVEL_GREEN; text && i <= NP_LEVEL_RED; i++) {
        if (strcmp(level_names[i], text) == 0)
            return (enum np_level)i;
    }
    return NP_LEVEL_UNKNOWN;
}

static bool same_addresses(const struct np_news_addresses *a, const struct np_news_addresses *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->addresses[i], b->addresses[i]) == 0;
    return same;
}

bool np_news_add_addresses(struct np_news *news, const struct np_news_addresses *addresses)
{
    if (news->history_count > 0 && same_addresses(&news->history[0], addresses))
        return false;
    size_t kept = news->history_count < NP_NEWS_HISTORY_MAX ? news->history_count : NP_NEWS_HISTORY_MAX - 1;
    memmove(&news->history[1], &news->history[0], kept * sizeof news->history[0]);
    news->history[0] = *addresses;
    news->history_count = kept + 1;
    return true;
}

static json_t *texts_json(const char *first, size_t stride, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < count; i++)
        json_array_append_new(array, json_string(first + i * stride));
    return array;
}

char *np_news_encode(const struct np_news *news)
{
    const struct np_verdict *verdict = &news->verdict;
    json_t *history = json_array();
    for (size_t i = 0; history && i < news->history_count; i++) {
        const struct np_news_addresses *entry = &news->history[i];
        json_array_append_new(history,
                              json_pack("{s:I,s:o}", "at", (json_int_t)entry->at_s, "addresses",
                                        texts_json(entry->addresses[0], sizeof entry->addresses[0], entry->count)));
    }
    json_t *object = json_pack(
        "{s:s,s:s,s:I,s:b,s:s,s:o,s:o}", "verdict", np_verdict_name(verdict->kind), "by", verdict->by, "checked",
        (json_int_t)verdict->checked_s, "online", news->online, "level", np_level_name(news->level), "mend",
        texts_json(verdict->mend[0], sizeof verdict->mend[0], verdict->mend_count), "history", history);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

/* Strings of array as printable texts of at most stride - 1 characters. */
static size_t read_texts(const json_t *array, char *first, size_t stride, size_t max)
{
    size_t count = 0, size = json_array_size(array);
    for (size_t i = 0; i < size && count < max; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text)
            np_text_sanitize(text, first + count++ * stride, stride);
    }
    return count;
}

static void read_history(const json_t *array, struct np_news *news)
{
    size_t size = json_array_size(array);
    for (size_t i = 0; i < size && news->history_count < NP_NEWS_HISTORY_MAX; i++) {
        const json_t *item = json_array_get(array, i);
        struct np_news_addresses *entry = &news->history[news->history_count];
        if (!json_is_object(item))
            continue;
        entry->at_s = json_integer_value(json_object_get(item, "at"));
        entry->count = read_texts(json_object_get(item, "addresses"), entry->addresses[0], sizeof entry->addresses[0],
                                  NP_NEWS_ADDRESSES_MAX);
        news->history_count++;
    }
}

int np_news_parse(const char *text, size_t len, struct np_news *out_news)
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
    struct np_news news = {0};
    if (!json_is_object(root)) {
        json_decref(root);
        return NP_E_MALFORMED;
    }
    const char *verdict = json_string_value(json_object_get(root, "verdict"));
    const char *by = json_string_value(json_object_get(root, "by"));
    news.verdict.kind = verdict ? np_verdict_parse(verdict) : NP_VERDICT_UNKNOWN;
    np_text_sanitize(by ? by : "", news.verdict.by, sizeof news.verdict.by);
    news.verdict.checked_s = json_integer_value(json_object_get(root, "checked"));
    news.online = json_is_true(json_object_get(root, "online"));
    news.level = parse_level(json_string_value(json_object_get(root, "level")));
    news.verdict.mend_count =
        read_texts(json_object_get(root, "mend"), news.verdict.mend[0], sizeof news.verdict.mend[0], NP_NEWS_LINES_MAX);
    read_history(json_object_get(root, "history"), &news);
    json_decref(root);
    *out_news = news;
    return 0;
}
