/* A name that an owner wants (the first line), and the operator's list of words (the rest): what is let through is a
 * label that every resolver takes, none of HQ's own, none of the list, and let through again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hq/names/vanity.h"
#include "resolver/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct np_vanity *vanity, const char *label)
{
    char lower[NP_LABEL_MAX + 1], again[NP_LABEL_MAX + 1];
    struct np_refusal refusal;
    if (np_vanity_check(vanity, label, lower, &refusal)) {
        if (!refusal.problem.detail[0] || refusal.problem.status < 400)
            abort();
        return;
    }
    if (!np_is_hostname(lower) || strchr(lower, '.') || strstr(lower, "--") || np_names_banned(lower) ||
        np_names_is_generated(lower) || np_vanity_check(vanity, lower, again, &refusal) || strcmp(lower, again) != 0)
        abort();
    for (size_t i = 0; i < vanity->reserved.count; i++) {
        if (strcmp(vanity->reserved.words[i], lower) == 0)
            abort();
    }
    for (size_t i = 0; i < vanity->banned.count; i++) {
        if (strstr(lower, vanity->banned.words[i]) && vanity->banned.words[i][strspn(vanity->banned.words[i], "-")])
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct np_vanity vanity = {.allowed = true, .least = 1, .greatest = NP_LABEL_MAX};
    char label[256], error[NP_WORDS_ERROR_MAX];
    const uint8_t *end = memchr(data, '\n', size);
    size_t len = end ? (size_t)(end - data) : size;
    const char *words = end ? (const char *)end + 1 : "";
    size_t words_len = end ? size - len - 1 : 0;
    if (len >= sizeof label)
        return 0;
    memcpy(label, data, len);
    label[len] = 0;
    check(&vanity, label);
    if (np_words_parse(words, words_len, &vanity.reserved, error) == 0)
        check(&vanity, label);
    np_words_free(&vanity.reserved);
    if (np_words_parse(words, words_len, &vanity.banned, error) == 0)
        check(&vanity, label);
    if (np_vanity_reserve_host(&vanity, "devices.example", label))
        abort();
    check(&vanity, label);
    np_words_free(&vanity.reserved);
    np_words_free(&vanity.banned);
    return 0;
}
