#include "agent/control.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

struct client {
    uv_pipe_t pipe;
    uv_timer_t timer;
    uv_write_t write;
    struct np_control *control;
    char request[NP_CONTROL_REQUEST_MAX + 1];
    size_t len;
    char *answer;
    uint64_t ticket; /* 0: has not asked yet, or was answered */
    unsigned open_handles;
    struct client *next;
};

struct np_control {
    uv_pipe_t listener;
    char *path;
    np_control_fn *answer;
    void *ctx;
    struct client *clients;
    unsigned client_count;
    uint64_t last_ticket;
    bool closing, listener_closed;
};

static void release(struct np_control *control)
{
    if (!control->closing || !control->listener_closed || control->clients)
        return;
    free(control->path);
    free(control);
}

static void on_client_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;
    struct np_control *control = client->control;
    if (--client->open_handles > 0)
        return;
    struct client **link = &control->clients;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    control->client_count--;
    free(client->answer);
    free(client);
    release(control);
}

static void close_client(struct client *client)
{
    if (uv_is_closing((uv_handle_t *)&client->pipe))
        return;
    uv_close((uv_handle_t *)&client->pipe, on_client_closed);
    uv_close((uv_handle_t *)&client->timer, on_client_closed);
}

static void on_timeout(uv_timer_t *timer)
{
    close_client(timer->data);
}

static void on_written(uv_write_t *request, int status)
{
    (void)status;
    close_client(request->data);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct client *client = handle->data;
    (void)suggested;
    *buffer = uv_buf_init(client->request + client->len, (unsigned)(NP_CONTROL_REQUEST_MAX - client->len));
}

static bool is_owner(const uv_pipe_t *pipe)
{
    struct ucred peer;
    socklen_t len = sizeof peer;
    int fd;
    if (uv_fileno((const uv_handle_t *)pipe, &fd) || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
        return false;
    return peer.uid == 0 || peer.uid == geteuid();
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    struct client *client = stream->data;
    (void)buffer;
    if (n == 0)
        return;
    if (n < 0) {
        close_client(client);
        return;
    }
    client->len += (size_t)n;
    client->request[client->len] = 0;
    char *newline = strchr(client->request, '\n');
    if (!newline && client->len < NP_CONTROL_REQUEST_MAX)
        return;
    uv_read_stop(stream);
    if (newline)
        *newline = 0;
    struct np_control *control = client->control;
    client->ticket = ++control->last_ticket;
    control->answer(control->ctx, client->ticket, client->request, is_owner(&client->pipe));
}

void np_control_answer_take(struct np_control *control, uint64_t ticket, char *text)
{
    struct client *client = control->clients;
    while (client && client->ticket != ticket)
        client = client->next;
    if (!client || uv_is_closing((uv_handle_t *)&client->pipe)) {
        free(text);
        return;
    }
    client->ticket = 0;
    client->answer = text;
    client->write.data = client;
    uv_buf_t out = uv_buf_init(text, text ? (unsigned)strlen(text) : 0);
    if (!text || uv_write(&client->write, (uv_stream_t *)&client->pipe, &out, 1, on_written) < 0)
        close_client(client);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct np_control *control = listener->data;
    struct client *client = status == 0 ? calloc(1, sizeof *client) : NULL;
    if (!client)
        return;
    uv_pipe_init(listener->loop, &client->pipe, 0);
    uv_timer_init(listener->loop, &client->timer);
    client->pipe.data = client->timer.data = client;
    client->open_handles = 2;
    client->control = control;
    client->next = control->clients;
    control->clients = client;
    control->client_count++;
    if (uv_accept(listener, (uv_stream_t *)&client->pipe) < 0 || control->client_count > NP_CONTROL_CLIENTS_MAX ||
        uv_read_start((uv_stream_t *)&client->pipe, on_alloc, on_read) < 0) {
        close_client(client);
        return;
    }
    uv_timer_start(&client->timer, on_timeout, NP_CONTROL_TIMEOUT_MS, 0);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct np_control *control = handle->data;
    control->listener_closed = true;
    release(control);
}

int np_control_new(uv_loop_t *loop, const char *path, np_control_fn *answer, void *ctx, struct np_control **out_control)
{
    struct np_control *control = calloc(1, sizeof *control);
    if (!control)
        return -ENOMEM;
    control->path = strdup(path);
    if (!control->path) {
        free(control);
        return -ENOMEM;
    }
    control->answer = answer;
    control->ctx = ctx;
    uv_pipe_init(loop, &control->listener, 0);
    control->listener.data = control;
    unlink(path);
    /* Nobody may connect between bind and chmod. */
    mode_t old = umask(0177);
    int rc = uv_pipe_bind(&control->listener, path);
    umask(old);
    if (rc == 0 && chmod(path, 0660) < 0)
        rc = -errno;
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&control->listener, NP_CONTROL_CLIENTS_MAX, on_connection);
    if (rc) {
        control->closing = true;
        uv_close((uv_handle_t *)&control->listener, on_listener_closed);
        return rc;
    }
    *out_control = control;
    return 0;
}

void np_control_close(struct np_control *control)
{
    if (!control || control->closing)
        return;
    control->closing = true;
    unlink(control->path);
    for (struct client *client = control->clients; client; client = client->next)
        close_client(client);
    uv_close((uv_handle_t *)&control->listener, on_listener_closed);
}
