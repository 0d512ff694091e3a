#include "hq/refusal.h"

#include <stdarg.h>
#include <stdio.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

static void __attribute__((format(printf, 4, 0)))
fill(struct np_refusal *refusal, enum np_refusal_word word, int64_t retry_after_s, const char *format, va_list args)
{
    static const struct {
        const char *word;
        int status;
    } words[] = {
#define NP_REFUSAL_ROW(name, text, number) {text, number},
        NP_REFUSAL_MAP(NP_REFUSAL_ROW)
#undef NP_REFUSAL_ROW
    };
    char detail[sizeof refusal->problem.detail];
    *refusal = (struct np_refusal){.retry_after_s = retry_after_s};
    snprintf(refusal->problem.type, sizeof refusal->problem.type, "%s", words[word].word);
    refusal->problem.status = words[word].status;
    vsnprintf(detail, sizeof detail, format, args);
    np_text_sanitize(detail, refusal->problem.detail, sizeof refusal->problem.detail);
}

int np_refuse(struct np_refusal *out_refusal, enum np_refusal_word word, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(out_refusal, word, 0, format, args);
    va_end(args);
    return NP_E_REFUSED;
}

int np_refuse_for(struct np_refusal *out_refusal, enum np_refusal_word word, int64_t retry_after_s, const char *format,
                  ...)
{
    va_list args;
    va_start(args, format);
    fill(out_refusal, word, retry_after_s, format, args);
    va_end(args);
    return NP_E_REFUSED;
}
