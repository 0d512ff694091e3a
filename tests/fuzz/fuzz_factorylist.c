/* A factory's list: the first line is its heading, the others are lines below it. A row that is taken is one that HQ
 * can store. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hq/factorylist.h"
#include "resolver/base/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_row(const struct np_factorylist_row *row)
{
    char code[NP_CLAIM_LEN + 1];
    if ((!row->serial[0] && !row->code[0]) || (row->serial[0] && !np_factorylist_is_serial(row->serial)) ||
        (row->code[0] && (np_claim_parse(row->code, code) || strcmp(code, row->code) != 0)))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *at = (const char *)data;
    char error[NP_FACTORYLIST_ERROR_MAX];
    struct np_factorylist list;
    bool heading = false;
    while (size > 0) {
        const char *end = memchr(at, '\n', size);
        size_t len = end ? (size_t)(end + 1 - at) : size;
        struct np_factorylist_row row;
        if (!heading) {
            if (np_factorylist_heading(at, len, &list, error))
                return 0;
            heading = true;
        } else if (np_factorylist_line(&list, at, len, &row, error) == 0) {
            check_row(&row);
        }
        at += len;
        size -= len;
    }
    return 0;
}
