/* table: what the operator's tables share. */
#ifndef HQ_CLI_TABLE_H
#define HQ_CLI_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "hq/store/store.h"

#define NP_TABLE_TIME_MAX 32

/* "2026-11-29 18:30" (UTC); "-" for 0. Returns out. */
const char *np_table_time(int64_t when_s, char out[NP_TABLE_TIME_MAX]);

/* A row of an order on standard output; first: below its headings. */
void np_table_order(const struct np_order *order, bool first);

#endif
