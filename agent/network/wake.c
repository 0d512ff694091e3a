#include "agent/network/wake.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FAR_S ((int64_t)1 << 33) /* the year 2242: before that the clock is set or the machine is not */

struct np_wake {
    uv_poll_t poll;
    int fd;
    void (*woken)(void *ctx);
    void *ctx;
};

static int arm(int fd)
{
    struct itimerspec far = {.it_value = {.tv_sec = (time_t)FAR_S}};
    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &far, NULL) < 0 ? -errno : 0;
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct np_wake *wake = poll->data;
    uint64_t expired;
    (void)status;
    (void)events;
    ssize_t n = read(wake->fd, &expired, sizeof expired);
    if (n < 0 && errno != ECANCELED)
        return;
    if (n > 0)
        uv_poll_stop(poll); /* the clock says 2242 or later: each new timer would go off at once */
    else
        (void)arm(wake->fd);
    wake->woken(wake->ctx);
}

static void on_closed(uv_handle_t *handle)
{
    struct np_wake *wake = handle->data;
    close(wake->fd);
    free(wake);
}

int np_wake_new(uv_loop_t *loop, void (*woken)(void *ctx), void *ctx, struct np_wake **out_wake)
{
    struct np_wake *wake = malloc(sizeof *wake);
    if (!wake)
        return -ENOMEM;
    *wake = (struct np_wake){.woken = woken, .ctx = ctx};
    wake->fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    int rc = wake->fd < 0 ? -errno : arm(wake->fd);
    if (rc == 0)
        rc = uv_poll_init(loop, &wake->poll, wake->fd);
    if (rc) {
        if (wake->fd >= 0)
            close(wake->fd);
        free(wake);
        return rc;
    }
    wake->poll.data = wake;
    rc = uv_poll_start(&wake->poll, UV_READABLE, on_readable);
    if (rc) {
        np_wake_close(wake);
        return rc;
    }
    *out_wake = wake;
    return 0;
}

void np_wake_close(struct np_wake *wake)
{
    if (wake && !uv_is_closing((uv_handle_t *)&wake->poll))
        uv_close((uv_handle_t *)&wake->poll, on_closed);
}
