/* A line of the ledger: what can be parsed gives the same line again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "hq/ledger.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct np_ledger_entry entry, again;
    char line[NP_LEDGER_LINE_MAX + 1];
    if (np_ledger_parse((const char *)data, size, &entry))
        return 0;
    size_t len = np_ledger_format(&entry, line);
    if (len == 0 || len > NP_LEDGER_LINE_MAX || line[len - 1] != '\n' || np_ledger_parse(line, len - 1, &again))
        abort();
    if (again.seq != entry.seq || again.at_s != entry.at_s || again.kind != entry.kind ||
        strcmp(again.value, entry.value) != 0)
        abort();
    return 0;
}
