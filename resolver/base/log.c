#include "resolver/base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/error.h"

static struct {
    const char *program;
    enum np_log_level level;
    bool priority;
} log_state = {"nameplate", NP_LOG_INFO, false};

void np_log_init(const char *program, enum np_log_level level)
{
    log_state.program = program;
    log_state.level = level;
    log_state.priority = getenv("JOURNAL_STREAM") || getenv("NP_LOG_PRIORITY");
}

int np_log_level_parse(const char *text, enum np_log_level *out_level)
{
    static const struct {
        const char *name;
        enum np_log_level level;
    } levels[] = {{"error", NP_LOG_ERROR},
                  {"warning", NP_LOG_WARNING},
                  {"notice", NP_LOG_NOTICE},
                  {"info", NP_LOG_INFO},
                  {"debug", NP_LOG_DEBUG}};
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        if (strcmp(text, levels[i].name) == 0) {
            *out_level = levels[i].level;
            return 0;
        }
    }
    return NP_E_UNKNOWN;
}

void np_log(enum np_log_level level, const char *format, ...)
{
    if (level > log_state.level)
        return;
    int saved = errno;
    char text[NP_LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);

    char line[NP_LOG_LINE_MAX * 4 + 64];
    int prefix = log_state.priority ? snprintf(line, 64, "<%d>%.50s: ", (int)level, log_state.program)
                                    : snprintf(line, 64, "%.50s: ", log_state.program);
    size_t n = (size_t)prefix;
    for (const char *p = text; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= 0x20 && c <= 0x7e) {
            line[n++] = (char)c;
        } else {
            static const char hex[] = "0123456789abcdef";
            line[n++] = '\\';
            line[n++] = 'x';
            line[n++] = hex[c >> 4];
            line[n++] = hex[c & 15];
        }
    }
    line[n++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, n); /* one write a line: lines of several processes do not mix */
    (void)written;
    errno = saved;
}
