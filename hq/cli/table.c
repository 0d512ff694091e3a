#include "hq/cli/table.h"

#include <stdio.h>
#include <time.h>

const char *np_table_time(int64_t when_s, char out[NP_TABLE_TIME_MAX])
{
    time_t when = (time_t)when_s;
    struct tm tm;
    if (when_s == 0 || !gmtime_r(&when, &tm) || strftime(out, NP_TABLE_TIME_MAX, "%Y-%m-%d %H:%M", &tm) == 0)
        snprintf(out, NP_TABLE_TIME_MAX, "-");
    return out;
}

void np_table_order(const struct np_order *o, bool first)
{
    static const char *const priorities[] = {"urgent", "new", "routine", "open"};
    char created[NP_TABLE_TIME_MAX], next[NP_TABLE_TIME_MAX];
    if (first)
        printf("%-22s  %-40s %-11s %-8s %-16s  %-16s %5s  %s\n", "ORDER", "NAME", "STATE", "PRIORITY", "CREATED (UTC)",
               "NEXT TRY", "TRIES", "ERROR");
    printf("%-22s  %-40s %-11s %-8s %-16s  %-16s %5lld  %s\n", o->id,
           o->authorization_count ? o->authorizations[0].name : "-", np_order_state_name(o->state),
           o->priority <= NP_PRIORITY_OPEN ? priorities[o->priority] : "?",
           np_table_time(o->created_ms / 1000, created),
           o->state == NP_ORDER_BACKOFF ? np_table_time(o->next_try_ms / 1000, next) : "-", (long long)o->attempts,
           o->error[0] ? o->error : "-");
}
