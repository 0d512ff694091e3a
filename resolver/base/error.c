#include "resolver/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ERRNO_MAX 4095 /* the kernel's; MIPS has EDQUOT past 1000, among our own codes one day */
_Static_assert(EDQUOT<-NP_E_MALFORMED || EDQUOT> - NP_E_DNS, "no code of ours is an errno");

const char *np_strerror(int err)
{
    switch (err) {
    case 0:
        return "success";
#define NP_ERR_TEXT(name, number, text)                                                                                \
    case number:                                                                                                       \
        return text;
        NP_ERR_MAP(NP_ERR_TEXT)
#undef NP_ERR_TEXT
    default:
        break;
    }
    const char *text = err < 0 && err >= -ERRNO_MAX ? strerrordesc_np(-err) : NULL;
    return text ? text : "unknown error";
}

const char *np_err_name(int err)
{
    switch (err) {
    case 0:
        return "NP_OK";
#define NP_ERR_NAME(name, number, text)                                                                                \
    case number:                                                                                                       \
        return #name;
        NP_ERR_MAP(NP_ERR_NAME)
#undef NP_ERR_NAME
    default:
        break;
    }
    const char *name = err < 0 && err >= -ERRNO_MAX ? strerrorname_np(-err) : NULL;
    return name ? name : "unknown";
}

int np_explain(char *out, size_t size, int err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(out, size, format, args);
    va_end(args);
    return err;
}
