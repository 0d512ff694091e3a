/* notify: what a daemon tells the service manager that started it (systemd's sd_notify(3) protocol, by hand: one
 * datagram to the socket that it names in the environment). Without a manager nothing happens. */
#ifndef RESOLVER_BASE_NOTIFY_H
#define RESOLVER_BASE_NOTIFY_H

#include <stdint.h>

/* Sends "READY=1", "STOPPING=1", "WATCHDOG=1" or "STATUS=text for people". A failure is logged. */
void np_notify(const char *text);

/* How often "WATCHDOG=1" is wanted, in ms: half of what the manager waits for ($WATCHDOG_USEC, where $WATCHDOG_PID is
 * this process or unset). 0: not at all. */
int64_t np_notify_watchdog_ms(void);

#endif
