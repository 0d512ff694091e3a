/* Prints each snapshot of agent/network/netwatch as one JSON line, for tests/net/test_netwatch.py.
 *
 * netwatch_print [RECEIVE_BUFFER_BYTES]: a small buffer provokes ENOBUFS. The member "latency_us" is the time from the
 * first kernel event that the snapshot covers to the line; "at_us" is CLOCK_MONOTONIC at the line. The end of standard
 * input ends the program. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "agent/network/netwatch.h"

struct printer {
    uv_loop_t loop;
    struct np_netwatch *watch;
    uv_pipe_t input;
    char bytes[256];
};

static json_t *link_json(const struct np_network *network, const struct np_link *link)
{
    json_t *addresses = json_array();
    for (size_t i = 0; i < network->address_count; i++) {
        const struct np_link_address *address = &network->addresses[i];
        char text[NP_ADDR_TEXT_MAX];
        if (address->ifindex != link->index)
            continue;
        json_array_append_new(
            addresses, json_pack("{s:s, s:b, s:b, s:b, s:b, s:I, s:I}", "address",
                                 np_prefix_format(&address->prefix, text), "secondary", address->secondary, "temporary",
                                 address->temporary, "tentative", address->tentative, "deprecated", address->deprecated,
                                 "preferred", (json_int_t)address->preferred_s, "valid", (json_int_t)address->valid_s));
    }
    return json_pack("{s:s, s:i, s:b, s:b, s:i, s:o}", "name", link->name, "index", (int)link->index, "up", link->up,
                     "running", link->running, "kind", (int)link->kind, "addresses", addresses);
}

static void on_changed(void *ctx, const struct np_network *network)
{
    struct printer *printer = ctx;
    json_t *links = json_array(), *routes = json_array();
    char text[NP_ADDR_TEXT_MAX];
    for (size_t i = 0; i < network->link_count; i++)
        json_array_append_new(links, link_json(network, &network->links[i]));
    for (size_t i = 0; i < network->route_count; i++) {
        const struct np_default_route *route = &network->routes[i];
        json_array_append_new(routes, json_pack("{s:i, s:i, s:i, s:s}", "family", route->family == AF_INET ? 4 : 6,
                                                "ifindex", (int)route->ifindex, "metric", (int)route->metric, "gateway",
                                                np_addr_format(&route->gateway, text)));
    }
    const struct np_netwatch_stats *stats = np_netwatch_stats(printer->watch);
    int64_t now_us = (int64_t)(uv_hrtime() / 1000);
    json_t *line =
        json_pack("{s:I, s:I, s:I, s:i, s:o, s:o, s:I, s:I, s:I}", "serial", (json_int_t)network->serial, "at_us",
                  (json_int_t)now_us, "latency_us", (json_int_t)(now_us - network->first_event_us), "dropped",
                  (int)network->dropped, "links", links, "routes", routes, "overruns", (json_int_t)stats->overruns,
                  "dumps", (json_int_t)stats->dumps, "events", (json_int_t)stats->events);
    char *json = json_dumps(line, JSON_COMPACT);
    if (!json)
        abort();
    puts(json);
    fflush(stdout);
    free(json);
    json_decref(line);
}

static void on_alloc(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    struct printer *printer = handle->data;
    (void)size;
    *out = uv_buf_init(printer->bytes, sizeof printer->bytes);
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct printer *printer = stream->data;
    (void)buf;
    if (n >= 0)
        return;
    np_netwatch_close(printer->watch);
    uv_close((uv_handle_t *)&printer->input, NULL);
}

int main(int argc, char **argv)
{
    static struct printer printer;
    struct np_netwatch_options options = {.receive_buffer = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 0};
    uv_loop_init(&printer.loop);
    uv_pipe_init(&printer.loop, &printer.input, 0);
    uv_pipe_open(&printer.input, 0);
    printer.input.data = &printer;
    int rc = np_netwatch_new(&printer.loop, &options, on_changed, &printer, &printer.watch);
    if (rc) {
        fprintf(stderr, "netwatch: %s\n", strerror(-rc));
        return 1;
    }
    uv_read_start((uv_stream_t *)&printer.input, on_alloc, on_input);
    uv_run(&printer.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&printer.loop) ? 1 : 0;
}
