/* vanity: may a name that an owner has chosen be given at all? The operator's policy and the rules of the label, pure;
 * whether the name is free, and how many a device has had, the store knows (hq/store/naming.h).
 *
 * A label that passes is 1 to 63 letters, digits and hyphens with a letter in it, none of them at an end, no two of
 * them together, never "xn--" (RFC 5891); as long as the operator wants; nothing that the zone or the operator uses or
 * that somebody would take for theirs, also where digits stand for letters; without a banned word; and not of the form
 * that HQ makes itself, so that no owner can take a name that some box may yet get. */
#ifndef HQ_NAMES_VANITY_H
#define HQ_NAMES_VANITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hq/names/names.h"
#include "hq/refusal.h"

#define NP_WORDS_MAX       20000   /* words of one list: the longest public ones have 3,000 in a language */
#define NP_WORDS_FILE_MAX  1048576 /* bytes of its file */
#define NP_WORDS_ERROR_MAX 256

/* A list of words, lower case, in one piece of memory. */
struct np_words {
    char *text;         /* owned: the words, each with its NUL */
    const char **words; /* owned */
    size_t count;
};

/* The policy. Zero-initialised no name is given. The lists are the operator's, beside the built-in ones. */
struct np_vanity {
    bool allowed;
    int64_t least, greatest;         /* characters of a label */
    int64_t days;                    /* between two names of a device */
    int64_t per_device, per_network; /* names of a device in its life; asked for from one network in a year */
    struct np_words reserved;        /* a label that is one of these */
    struct np_words banned;          /* a label that has one of these in it */
};

/* Reads a list: a word a line, of letters, digits and hyphens; blanks at the ends and what is behind a '#' do not
 * count. Returns 0, -ENOMEM, or NP_E_MALFORMED or NP_E_LIMIT with a sentence in error. */
int np_words_parse(const char *text, size_t len, struct np_words *out_words, char error[NP_WORDS_ERROR_MAX]);

/* Frees; zeroed words are fine. */
void np_words_free(struct np_words *words);

/* Adds the label of a host that lies in the zone (HQ's own, a name server's) to the reserved words; another host is
 * passed over. Returns 0 or -ENOMEM. */
int np_vanity_reserve_host(struct np_vanity *vanity, const char *zone, const char *host);

/* May a device have the label? Returns 0 with it in lower case in out_label, or NP_E_REFUSED: vanity-off, bad-name or
 * name-reserved. The detail does not repeat a banned word. */
int np_vanity_check(const struct np_vanity *vanity, const char *label, char out_label[NP_LABEL_MAX + 1],
                    struct np_refusal *out_refusal);

/* Is the label of the form that np_names_propose makes? */
bool np_names_is_generated(const char *label);

#endif
