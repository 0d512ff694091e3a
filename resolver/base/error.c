#include "resolver/base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

_Static_assert(!(EDQUOT >= 1001 && EDQUOT <= 1099), "no code of ours is an errno"); /* MIPS has it at 1133 */

/* The numbers differ by machine, and no C library but glibc knows the names. */
#define NAMED(number)                                                                                                  \
    {                                                                                                                  \
        number, #number                                                                                                \
    }
static const struct {
    int number;
    const char *name;
} errnos[] = {NAMED(EPERM),
              NAMED(ENOENT),
              NAMED(ESRCH),
              NAMED(EINTR),
              NAMED(EIO),
              NAMED(ENXIO),
              NAMED(E2BIG),
              NAMED(ENOEXEC),
              NAMED(EBADF),
              NAMED(ECHILD),
              NAMED(EAGAIN),
              NAMED(ENOMEM),
              NAMED(EACCES),
              NAMED(EFAULT),
              NAMED(EBUSY),
              NAMED(EEXIST),
              NAMED(EXDEV),
              NAMED(ENODEV),
              NAMED(ENOTDIR),
              NAMED(EISDIR),
              NAMED(EINVAL),
              NAMED(ENFILE),
              NAMED(EMFILE),
              NAMED(ENOTTY),
              NAMED(ETXTBSY),
              NAMED(EFBIG),
              NAMED(ENOSPC),
              NAMED(ESPIPE),
              NAMED(EROFS),
              NAMED(EMLINK),
              NAMED(EPIPE),
              NAMED(EDOM),
              NAMED(ERANGE),
              NAMED(EDEADLK),
              NAMED(ENAMETOOLONG),
              NAMED(ENOLCK),
              NAMED(ENOSYS),
              NAMED(ENOTEMPTY),
              NAMED(ELOOP),
              NAMED(ENODATA),
              NAMED(ETIME),
              NAMED(EPROTO),
              NAMED(EBADMSG),
              NAMED(EOVERFLOW),
              NAMED(EILSEQ),
              NAMED(EUSERS),
              NAMED(ENOTSOCK),
              NAMED(EDESTADDRREQ),
              NAMED(EMSGSIZE),
              NAMED(EPROTOTYPE),
              NAMED(ENOPROTOOPT),
              NAMED(EPROTONOSUPPORT),
              NAMED(ESOCKTNOSUPPORT),
              NAMED(EOPNOTSUPP),
              NAMED(EPFNOSUPPORT),
              NAMED(EAFNOSUPPORT),
              NAMED(EADDRINUSE),
              NAMED(EADDRNOTAVAIL),
              NAMED(ENETDOWN),
              NAMED(ENETUNREACH),
              NAMED(ENETRESET),
              NAMED(ECONNABORTED),
              NAMED(ECONNRESET),
              NAMED(ENOBUFS),
              NAMED(EISCONN),
              NAMED(ENOTCONN),
              NAMED(ESHUTDOWN),
              NAMED(ETIMEDOUT),
              NAMED(ECONNREFUSED),
              NAMED(EHOSTDOWN),
              NAMED(EHOSTUNREACH),
              NAMED(EALREADY),
              NAMED(EINPROGRESS),
              NAMED(ESTALE),
              NAMED(EDQUOT),
              NAMED(ECANCELED),
              NAMED(ENOKEY),
              NAMED(EKEYEXPIRED),
              NAMED(EOWNERDEAD),
              NAMED(ENOTRECOVERABLE)};

/* The name of -errno; NULL: it is none. */
static const char *errno_name(int err)
{
    for (size_t i = 0; i < sizeof errnos / sizeof *errnos; i++) {
        if (err == -errnos[i].number)
            return errnos[i].name;
    }
    return NULL;
}

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
    return errno_name(err) ? strerror(-err) : "unknown error"; /* of a known number it is static text */
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
    const char *name = errno_name(err);
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
