/* log: lines on standard error, one a call, that a person can read and journald can sort.
 *
 * Only the shell of a program logs; library layers return errors. The level is the one piece of file-scope mutable
 * state in nameplate. A line is "program[role]: text"; with JOURNAL_STREAM or NP_LOG_PRIORITY set it begins with "<N>"
 * (sd-daemon(3)). Control characters and bytes over 0x7e in the formatted text are written as \xNN, so nothing that
 * came from the network can forge a line. A line longer than NP_LOG_LINE_MAX is cut. */
#ifndef RESOLVER_BASE_LOG_H
#define RESOLVER_BASE_LOG_H

#define NP_LOG_LINE_MAX 1024 /* bytes: a journald line stays far below its own limit */

enum np_log_level { NP_LOG_ERROR = 3, NP_LOG_WARNING = 4, NP_LOG_NOTICE = 5, NP_LOG_INFO = 6, NP_LOG_DEBUG = 7 };

/* Sets the name at the start of every line (kept by pointer: static storage) and the most detailed level shown. */
void np_log_init(const char *program, enum np_log_level level);

/* Parses "error", "warning", "notice", "info" or "debug". Returns 0 or NP_E_UNKNOWN. */
int np_log_level_parse(const char *text, enum np_log_level *out_level);

/* Logs one printf-formatted line. errno is preserved. */
void np_log(enum np_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define np_error(...)   np_log(NP_LOG_ERROR, __VA_ARGS__)
#define np_warning(...) np_log(NP_LOG_WARNING, __VA_ARGS__)
#define np_notice(...)  np_log(NP_LOG_NOTICE, __VA_ARGS__)
#define np_info(...)    np_log(NP_LOG_INFO, __VA_ARGS__)
#define np_debug(...)   np_log(NP_LOG_DEBUG, __VA_ARGS__)

#endif
