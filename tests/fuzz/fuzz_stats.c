/* The resolver's counters, as the agent reads them from a process that it does not trust: what can be parsed can be
 * encoded, and gives the same text again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct np_stats stats, again;
    if (np_stats_parse((const char *)data, size, &stats))
        return 0;
    char *text = np_stats_encode(&stats);
    if (!text || stats.upstream_count > NP_STATS_UPSTREAMS_MAX)
        abort();
    if (np_stats_parse(text, strlen(text), &again))
        abort();
    char *text_again = np_stats_encode(&again);
    if (!text_again || strcmp(text, text_again) != 0)
        abort();
    free(text);
    free(text_again);
    return 0;
}
