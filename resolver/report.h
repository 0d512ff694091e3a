/* report: what `nameplate resolver` tells of itself: its metrics in a file (for node_exporter's textfile collector),
 * anew every NP_REPORT_MS, and lines in the log when it is asked. The agent's resolver tells the agent instead, and
 * writes no file.
 *
 * Lifecycle: np_report_start, np_report_now at will, np_report_stop; its memory may go when the loop has run. */
#ifndef RESOLVER_REPORT_H
#define RESOLVER_REPORT_H

#include <uv.h>

#include "resolver/resolver.h"

#define NP_REPORT_MS 15000 /* as often as a collector usually looks */

/* The caller's memory. */
struct np_report {
    uv_timer_t timer;
    struct np_resolver *resolver;
    const char *path; /* NULL: no file */
    int failure;      /* the error that was logged last: once is enough */
};

/* Begins; path is borrowed, and written at once. Returns 0, or what is wrong with the file. */
int np_report_start(struct np_report *report, uv_loop_t *loop, struct np_resolver *resolver, const char *path);

/* Writes the file and logs the counters. */
void np_report_now(struct np_report *report);

/* Writes the file for the last time. */
void np_report_stop(struct np_report *report);

#endif
