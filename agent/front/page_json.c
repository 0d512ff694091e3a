#include "agent/front/page_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static json_t *text_or_null(const char *text)
{
    return text && *text ? json_string(text) : json_null();
}

static json_t *certificate(const struct np_page *page)
{
    if (!page->not_after_s)
        return json_null();
    return json_pack("{s:o,s:I,s:I}", "issuer", text_or_null(page->issuer), "not_before",
                     (json_int_t)page->not_before_s, "not_after", (json_int_t)page->not_after_s);
}

static json_t *addresses(const struct np_page *page)
{
    json_t *array = json_array();
    for (size_t i = 0; array && i < page->address_count; i++)
        json_array_append_new(array, json_string(page->addresses[i]));
    return array;
}

static json_t *history(const struct np_news *news)
{
    json_t *array = json_array();
    for (size_t i = 0; array && news && i < news->history_count; i++) {
        const struct np_news_addresses *entry = &news->history[i];
        json_t *list = json_array();
        for (size_t k = 0; list && k < entry->count; k++)
            json_array_append_new(list, json_string(entry->addresses[k]));
        json_array_append_new(array, json_pack("{s:I,s:o}", "at", (json_int_t)entry->at_s, "addresses", list));
    }
    return array;
}

void np_page_write_json(struct np_writer *w, const struct np_page *page)
{
    char state[NP_PAGE_STATE_MAX];
    json_t *object =
        json_pack("{s:s,s:s,s:o,s:o,s:s,s:b,s:o,s:o,s:o}", "state", np_page_state(page, state), "level",
                  np_level_name(np_page_level(page)), "name", text_or_null(page->name), "url", text_or_null(page->url),
                  "verdict", np_verdict_name(np_page_verdict(page)), "online", page->news && page->news->online,
                  "certificate", certificate(page), "addresses", addresses(page), "history", history(page->news));
    char *text = object ? json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    if (text) {
        np_write_bytes(w, text, strlen(text));
        np_write_u8(w, '\n');
    }
    free(text);
    json_decref(object);
}
