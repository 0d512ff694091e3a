#include "hq/names/names.h"

#include <stdio.h>
#include <string.h>

/* No vowels, so that a suffix never spells anything; no 0, 1 and l, which are misread. 28 characters. */
static const char suffix_characters[] = "23456789bcdfghjkmnpqrstvwxyz";

/* Labels that the zone uses itself, or that somebody would take for the operator's. */
static const char *const reserved[] = {"www", "mail",  "ns",    "ns1",   "ns2",        "hq",   "acme",   "rebind-test",
                                       "api", "admin", "login", "local", "plain-test", "wpad", "isatap", "localhost"};

/* Pairs of harmless words that make sense of another kind together: the illness, the death or the weapon that the
 * person is known for, or a dig at them. */
static const char *const bad_pairs[] = {
    "blissful-oppenheimer", "brilliant-oppenheimer", "gleaming-oppenheimer", "glowing-oppenheimer",
    "radiant-oppenheimer",  "glowing-curie",         "radiant-curie",        "radiant-becquerel",
    "gleaming-curie",       "quick-hawking",         "agile-hawking",        "nimble-hawking",
    "lively-hawking",       "spirited-hawking",      "swift-hawking",        "fresh-haber",
    "breezy-haber",         "balmy-haber",           "airy-haber",           "sharp-braille",
    "watchful-braille",     "observant-braille",     "bright-braille",       "clear-braille",
    "quiet-turing",         "buoyant-zeppelin",      "light-zeppelin",       "warm-zeppelin",
    "glowing-zeppelin",     "clean-semmelweis",      "polished-darwin",      "super-galton",
    "noble-galton",         "noble-shockley",        "super-shockley",       "fair-shockley",
    "fair-galton",          "round-galois",          "sharp-galois",
};

static bool is_listed(const char *label, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(list[i], label) == 0)
            return true;
    }
    return false;
}

bool np_names_reserved(const char *label)
{
    return is_listed(label, reserved, sizeof reserved / sizeof *reserved);
}

bool np_names_banned(const char *label)
{
    return np_names_reserved(label) || is_listed(label, bad_pairs, sizeof bad_pairs / sizeof *bad_pairs);
}

void np_names_propose(unsigned attempt, np_random_below_fn *below, void *ctx, char out[NP_LABEL_MAX + 1])
{
    size_t adjective_count, surname_count;
    const char *const *adjectives = np_names_adjectives(&adjective_count);
    const char *const *surnames = np_names_surnames(&surname_count);
    int used;
    do {
        const char *adjective = adjectives[below(ctx, (uint32_t)adjective_count)];
        const char *surname = surnames[below(ctx, (uint32_t)surname_count)];
        used = snprintf(out, NP_LABEL_MAX + 1, "%s-%s", adjective, surname);
    } while (np_names_banned(out)); /* a few pairs of 100,000 */
    if (attempt < NP_NAMES_PLAIN)
        return;
    char *at = out + used;
    *at++ = '-';
    for (unsigned i = 0; i < (attempt < NP_NAMES_SUFFIX ? 4u : 7u); i++)
        *at++ = suffix_characters[below(ctx, sizeof suffix_characters - 1)];
    *at = 0;
}
