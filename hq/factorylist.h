/* factorylist: the lists that a factory sends: CSV (RFC 4180) with a heading that names the columns, in any order:
 *
 *     serial,claim_code,model
 *     NP-0001,7K3M-Q9TD-52XH-0VCR,WAX-200
 *
 * Each column may be absent, but not both serial and claim_code; other columns are passed over. The separator is a
 * comma, or a semicolon where the heading has no comma. A field may be quoted, but may not hold a line break. UTF-8's
 * mark at the beginning and CR before LF are fine. Pure: one line in, one row out. */
#ifndef HQ_FACTORYLIST_H
#define HQ_FACTORYLIST_H

#include <stdbool.h>
#include <stddef.h>

#include "hq/proto/message.h"

#define NP_FACTORYLIST_LINE_MAX    1024 /* bytes of a line: three fields of 64, and what else a factory notes down */
#define NP_FACTORYLIST_COLUMNS_MAX 32
#define NP_FACTORYLIST_ERROR_MAX   256

/* Where the columns are; -1: absent. */
struct np_factorylist {
    int serial, claim_code, model;
    int count; /* columns of the heading */
    char separator;
};

/* One line. Empty: not told. */
struct np_factorylist_row {
    char serial[NP_SERIAL_MAX + 1];
    char code[NP_CLAIM_LEN + 1]; /* in its plain form */
    char model[NP_MODEL_MAX + 1];
};

/* Reads the heading: line has len bytes, with or without its line break. Returns 0, or NP_E_MALFORMED with a sentence
 * in error. */
int np_factorylist_heading(const char *line, size_t len, struct np_factorylist *out_list,
                           char error[NP_FACTORYLIST_ERROR_MAX]);

/* Reads a line below it. Returns 0, NP_E_NOT_FOUND for a line without content, or NP_E_MALFORMED with a sentence in
 * error. */
int np_factorylist_line(const struct np_factorylist *list, const char *line, size_t len,
                        struct np_factorylist_row *out_row, char error[NP_FACTORYLIST_ERROR_MAX]);

/* Is text a serial number that HQ takes: 1 to NP_SERIAL_MAX letters, digits and . _ - : / ? Nothing that would need
 * quoting in a file, a shell or a table. */
bool np_factorylist_is_serial(const char *text);

#endif
