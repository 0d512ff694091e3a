#include "resolver/base/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

void np_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || !*path || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (address.sun_path[0] == '@')
        address.sun_path[0] = 0; /* an abstract address, whose length counts */
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, len) < 0)
        np_warning("the service manager could not be told '%s': %s", text, np_strerror(-errno));
    close(fd);
}

int64_t np_notify_watchdog_ms(void)
{
    const char *pid = getenv("WATCHDOG_PID"), *usec = getenv("WATCHDOG_USEC");
    int64_t number;
    if (pid && (np_parse_int(pid, 1, INT32_MAX, &number) || number != getpid()))
        return 0;
    if (!usec || np_parse_int(usec, 2000, INT64_MAX, &number))
        return 0;
    return number / 2000;
}
