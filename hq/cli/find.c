#include "hq/cli/find.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hq/cli/table.h"
#include "hq/cli/verb.h"
#include "hq/store/browse.h"
#include "hq/store/naming.h"
#include "resolver/base/config.h"

#define NEAR_MAX    2000 /* names that are compared with a word that is none */
#define NEAR_PREFIX 2    /* characters that they have in common with it */

/* What a word may mean. */
struct candidates {
    struct np_store *store;
    const char *word;
    size_t exact, similar, live;
    struct np_device found;               /* the exact one, or the only one */
    struct np_device list[NP_FIND_SHOWN]; /* exact ones first */
};

static bool is_name(const char *name, const char *word)
{
    size_t label = strcspn(name, ".");
    return strcasecmp(name, word) == 0 || (strlen(word) == label && strncasecmp(name, word, label) == 0);
}

/* Also one of the names that it has beside its own, or has had. */
static bool is_exact(struct np_store *store, const struct np_device *d, const char *word)
{
    struct np_naming_row rows[NP_NAMING_PAST_MAX];
    size_t count = 0;
    if (strcmp(d->id, word) == 0 || strcmp(d->serial, word) == 0 || is_name(d->name, word))
        return true;
    if (np_store_naming_rows(store, d->id, rows, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        if (is_name(rows[i].name, word))
            return true;
    }
    return false;
}

static int consider(void *ctx, const struct np_device *device)
{
    struct candidates *c = ctx;
    bool exact = is_exact(c->store, device, c->word);
    if (c->exact + c->similar < NP_FIND_SHOWN)
        c->list[c->exact + c->similar] = *device;
    bool live = exact && device->state != NP_DEVICE_RETIRED;
    if (live || (exact && c->live == 0))
        c->found = *device;
    c->live += live;
    c->exact += exact;
    c->similar += !exact;
    return 0;
}

/* The names that begin as the word does. */
struct names {
    char (*names)[NP_NAME_MAX + 1];
    const char *labels[NEAR_MAX];
    size_t count;
};

static int collect_name(void *ctx, const struct np_device *device)
{
    struct names *names = ctx;
    size_t label = strcspn(device->name, ".");
    memcpy(names->names[names->count], device->name, label);
    names->names[names->count][label] = 0;
    names->labels[names->count] = names->names[names->count];
    names->count++;
    return 0;
}

int np_find_unknown(struct np_store *store, const char *word)
{
    struct names *names = calloc(1, sizeof *names);
    char label[NP_NAME_MAX + 1], begin[NEAR_PREFIX + 1];
    const char *near = NULL;
    snprintf(label, sizeof label, "%.*s", (int)strcspn(word, "."), word);
    snprintf(begin, sizeof begin, "%.*s", NEAR_PREFIX, label);
    if (names)
        names->names = calloc(NEAR_MAX, sizeof *names->names);
    if (names && names->names && np_store_devices_find(store, begin, NEAR_MAX, collect_name, names) == 0)
        near = np_nearest(label, names->labels, names->count);
    if (near)
        fprintf(stderr, "nameplate-hq: there is no device '%.120s', did you mean '%s'?\n", word, near);
    else
        fprintf(stderr,
                "nameplate-hq: there is no device '%.120s': give its id, its name, or its serial number; "
                "'nameplate-hq device find TEXT' looks for the beginning of one\n",
                word);
    if (names)
        free(names->names);
    free(names);
    return NP_EXIT_FAILED;
}

static int ambiguous(const struct candidates *c)
{
    char created[NP_TABLE_TIME_MAX];
    size_t count = c->exact + c->similar;
    if (count == 1) {
        fprintf(stderr, "nameplate-hq: there is no device '%.120s', did you mean '%s'?\n", c->word, c->list[0].name);
        return NP_EXIT_FAILED;
    }
    fprintf(stderr, "nameplate-hq: '%.120s' may be any of these devices%s:\n", c->word,
            count < NP_FIND_SHOWN ? "" : ", and of more");
    for (size_t i = 0; i < count && i < NP_FIND_SHOWN; i++)
        fprintf(stderr, "  %s  %-40s %-16s %-8s enrolled %s\n", c->list[i].id, c->list[i].name,
                c->list[i].serial[0] ? c->list[i].serial : "-",
                np_device_filter_name(np_device_shown_state(&c->list[i])),
                np_table_time(c->list[i].created_s, created));
    return NP_EXIT_FAILED;
}

int np_find_device(struct np_store *store, const char *word, struct np_device *out_device)
{
    struct candidates *c = calloc(1, sizeof *c);
    if (!c)
        return np_verb_failed("out of memory");
    c->word = word;
    c->store = store;
    int rc = np_store_devices_find(store, word, NP_FIND_SHOWN, consider, c), status = 0;
    if (rc)
        status = np_verb_store_failed(store, rc);
    else if (c->exact == 1 || c->live == 1)
        *out_device = c->found;
    else if (c->exact + c->similar)
        status = ambiguous(c);
    else
        status = np_find_unknown(store, word);
    free(c);
    return status;
}
