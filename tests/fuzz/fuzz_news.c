/* agent/front/news: whatever is taken can be written, and what was written is read as the same. */
#include <stdlib.h>
#include <string.h>

#include "agent/front/news.h"
#include "agent/front/page_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_pages(const struct np_news *news)
{
    static uint8_t out[NP_PAGE_MAX];
    struct np_page page = {.name = "a.example", .url = "https://a.example/", .news = news};
    for (int kind = NP_PAGE_START; kind <= NP_PAGE_WAITING; kind++) {
        struct np_writer w = np_writer_make(out, sizeof out);
        page.kind = (enum np_page_kind)kind;
        np_page_write(&w, &page);
        if (w.error)
            abort();
    }
    struct np_writer w = np_writer_make(out, sizeof out);
    np_page_write_json(&w, &page);
    if (w.error)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct np_news news, again;
    if (np_news_parse((const char *)data, size, &news))
        return 0;
    char *text = np_news_encode(&news);
    if (!text || np_news_parse(text, strlen(text), &again) || memcmp(&news, &again, sizeof news) != 0)
        abort();
    free(text);
    write_pages(&news);
    return 0;
}
