#include "hq/acme/adopt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"

static void finish(struct np_adopt *adopt)
{
    adopt->running = false;
    adopt->finished = true;
    free(adopt->urls);
    adopt->urls = NULL;
    adopt->done(adopt->ctx);
}

static void next(struct np_adopt *adopt);

static void on_order(void *ctx, const struct np_acme_reply *reply)
{
    struct np_adopt *adopt = ctx;
    struct np_adopt_order *found = &adopt->orders[adopt->order_count];
    const char *url = adopt->urls[adopt->asked++];
    if (reply->rc == 0 && np_acme_order_parse(reply->body, reply->len, &found->order) == 0 &&
        (found->order.status == NP_ACME_PENDING || found->order.status == NP_ACME_READY)) {
        memcpy(found->url, url, sizeof found->url);
        adopt->order_count++;
    }
    next(adopt);
}

static void next(struct np_adopt *adopt)
{
    if (adopt->asked == adopt->url_count ||
        np_acme_post(adopt->acme, adopt->urls[adopt->asked], NULL, NULL, on_order, adopt))
        finish(adopt);
}

static bool is_excluded(const struct np_adopt *adopt, const char *url)
{
    for (size_t i = 0; i < adopt->excluded_count; i++) {
        if (strcmp(adopt->excluded[i], url) == 0)
            return true;
    }
    return false;
}

/* Appends a page, keeping the last NP_ADOPT_MAX URLs: lists grow at their end. */
static void take_page(struct np_adopt *adopt, const struct np_acme_list *page)
{
    for (size_t i = 0; i < page->count; i++) {
        if (is_excluded(adopt, page->urls[i]))
            continue;
        if (adopt->url_count == NP_ADOPT_MAX)
            memmove(adopt->urls[0], adopt->urls[1], --adopt->url_count * sizeof adopt->urls[0]);
        memcpy(adopt->urls[adopt->url_count++], page->urls[i], sizeof adopt->urls[0]);
    }
}

static void on_list(void *ctx, const struct np_acme_reply *reply)
{
    struct np_adopt *adopt = ctx;
    struct np_acme_list page;
    int rc = reply->rc ? reply->rc : np_acme_list_parse(reply->body, reply->len, &page);
    if (rc) {
        np_info("acme: the account's list of orders cannot be read: %s", np_strerror(rc));
        next(adopt);
        return;
    }
    take_page(adopt, &page);
    free(page.urls);
    if (!reply->next[0] || ++adopt->pages >= NP_ADOPT_PAGES ||
        np_acme_post(adopt->acme, reply->next, NULL, NULL, on_list, adopt))
        next(adopt);
}

void np_adopt_start(struct np_adopt *adopt, struct np_acme *acme, void (*done)(void *ctx), void *ctx)
{
    const char *url = np_acme_orders_url(acme);
    adopt->acme = acme;
    adopt->done = done;
    adopt->ctx = ctx;
    adopt->running = true;
    adopt->urls = calloc(NP_ADOPT_MAX, sizeof *adopt->urls);
    adopt->orders = calloc(NP_ADOPT_MAX, sizeof *adopt->orders);
    if (!url[0] || !adopt->urls || !adopt->orders || np_acme_post(acme, url, NULL, NULL, on_list, adopt))
        finish(adopt);
}

void np_adopt_skip(struct np_adopt *adopt)
{
    adopt->finished = true;
}

int np_adopt_exclude(struct np_adopt *adopt, const char *url)
{
    char(*grown)[NP_URL_MAX + 1] = reallocarray(adopt->excluded, adopt->excluded_count + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    adopt->excluded = grown;
    snprintf(adopt->excluded[adopt->excluded_count++], sizeof *grown, "%s", url);
    return 0;
}

bool np_adopt_take(struct np_adopt *adopt, const struct np_order *order, struct np_adopt_order *out_order)
{
    for (size_t i = 0; i < adopt->order_count; i++) {
        if (!np_order_matches(order, &adopt->orders[i].order))
            continue;
        *out_order = adopt->orders[i];
        adopt->orders[i] = adopt->orders[--adopt->order_count];
        return true;
    }
    return false;
}

void np_adopt_deinit(struct np_adopt *adopt)
{
    free(adopt->urls);
    free(adopt->orders);
    free(adopt->excluded);
    memset(adopt, 0, sizeof *adopt);
}
