/* bench_load: what dnsperf cannot: queries from many client addresses at a fixed rate, and the latency's distribution.
 *
 *   bench_load SERVER:PORT FIRST_SOURCE SOURCES RATE SECONDS FILE
 *
 * FILE has a line "name type" (A or AAAA) a query, as dnsperf's; it is gone through as often as needed. The queries
 * leave at their times whether answers come or not (open loop), from each source address in turn. Prints one line of
 * JSON:
 * {"sent":N,"answered":N,"bad":N,"p50_us":F,"p99_us":F,"p999_us":F,"max_us":F}; bad are answers without NOERROR, the
 * latency is from send() to the return of recv(). UDP over IPv4 alone. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "resolver/base/text.h"
#include "resolver/message.h"

#define SOURCES_MAX  250
#define QUERIES_MAX  2000000
#define QUERY_MAX    128  /* bytes of one query */
#define LINE_MAX_LEN 1100 /* a name in presentation form, and a type */
#define OPEN         4096 /* IDs of one source before they come round; a power of two */
#define GRACE_NS     1000000000LL
#define SECOND_NS    1000000000LL
#define EVENTS       64

struct query {
    uint8_t len;
    uint8_t data[QUERY_MAX];
};

struct source {
    int fd;
    uint16_t next_id;
    int64_t sent_ns[OPEN]; /* by ID; 0: not asked, or answered */
};

struct load {
    struct query *queries;
    size_t query_count;
    struct source *sources;
    unsigned source_count;
    int epoll;
    int64_t *latencies;
    size_t sent, answered, bad, total;
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "bench_load: %s: %s\n", what, errno ? strerror(errno) : "not valid");
    exit(1);
}

static void add_query(struct load *load, const char *name_text, const char *type)
{
    struct np_name name;
    struct query *query = &load->queries[load->query_count];
    if (np_name_parse(name_text, &name))
        die(name_text);
    uint16_t qtype = strcmp(type, "AAAA") == 0 ? NP_RR_AAAA : NP_RR_A;
    int len = np_query_write(query->data, sizeof query->data, 0, NP_FLAG_RD, &name, qtype, false, false);
    if (len < 0)
        die(name_text);
    query->len = (uint8_t)len;
    load->query_count++;
}

static void read_queries(struct load *load, const char *path)
{
    char line[LINE_MAX_LEN];
    size_t room = 0;
    FILE *file = fopen(path, "r");
    if (!file)
        die(path);
    while (fgets(line, sizeof line, file) && load->query_count < QUERIES_MAX) {
        char *space = strchr(line, ' ');
        if (!space)
            die(path);
        *space++ = 0;
        space[strcspn(space, "\n")] = 0;
        if (load->query_count == room) {
            room = room ? 2 * room : 1024;
            load->queries = realloc(load->queries, room * sizeof *load->queries);
            if (!load->queries)
                die("queries");
        }
        add_query(load, line, space);
    }
    fclose(file);
    if (load->query_count == 0)
        die(path);
}

static void open_source(struct load *load, struct source *source, const struct np_endpoint *local,
                        const struct np_endpoint *server)
{
    struct sockaddr_storage here, there;
    socklen_t here_len = np_endpoint_to_sockaddr(local, &here), there_len = np_endpoint_to_sockaddr(server, &there);
    struct epoll_event readable = {.events = EPOLLIN, .data.ptr = source};
    source->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (source->fd < 0 || bind(source->fd, (struct sockaddr *)&here, here_len) ||
        connect(source->fd, (struct sockaddr *)&there, there_len) ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, source->fd, &readable))
        die("source");
}

/* The addresses follow each other by their last byte. */
static void open_sources(struct load *load, const char *server_text, const char *first_text, const char *count_text)
{
    struct np_endpoint server, local = {0};
    int64_t count;
    if (np_endpoint_parse(server_text, 53, &server) || np_addr_parse(first_text, &local.addr) ||
        np_parse_int(count_text, 1, SOURCES_MAX, &count) || local.addr.bytes[3] + count > 256)
        die("address");
    load->source_count = (unsigned)count;
    load->sources = calloc(load->source_count, sizeof *load->sources);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!load->sources || load->epoll < 0)
        die("sources");
    for (unsigned i = 0; i < load->source_count; i++, local.addr.bytes[3]++)
        open_source(load, &load->sources[i], &local, &server);
}

static void send_one(struct load *load)
{
    struct source *source = &load->sources[load->sent % load->source_count];
    struct query *query = &load->queries[load->sent % load->query_count];
    uint16_t id = source->next_id++;
    query->data[0] = (uint8_t)(id >> 8);
    query->data[1] = (uint8_t)id;
    source->sent_ns[id % OPEN] = now_ns();
    (void)send(source->fd, query->data, query->len, 0); /* one that does not go counts as lost */
    load->sent++;
}

static void receive(struct load *load, struct source *source)
{
    uint8_t packet[NP_DNS_UDP_MAX];
    ssize_t n;
    while ((n = recv(source->fd, packet, sizeof packet, 0)) >= NP_DNS_HEADER_LEN) {
        int64_t *sent = &source->sent_ns[(packet[0] << 8 | packet[1]) % OPEN];
        if (*sent == 0)
            continue;
        load->latencies[load->answered++] = now_ns() - *sent;
        load->bad += (packet[3] & 15) != NP_RCODE_NOERROR;
        *sent = 0;
    }
}

static void wait_for_answers(struct load *load, int64_t until_ns)
{
    struct epoll_event events[EVENTS];
    int64_t left = until_ns - now_ns();
    struct timespec timeout = {left > 0 ? left / SECOND_NS : 0, left > 0 ? left % SECOND_NS : 0};
    int n = epoll_pwait2(load->epoll, events, EVENTS, &timeout, NULL);
    for (int i = 0; i < n; i++)
        receive(load, events[i].data.ptr);
}

static void run(struct load *load, double rate)
{
    int64_t start = now_ns(), grace = 0;
    while (load->sent < load->total) {
        int64_t due = start + (int64_t)((double)load->sent / rate * 1e9);
        if (due <= now_ns())
            send_one(load);
        wait_for_answers(load, load->sent < load->total ? start + (int64_t)((double)load->sent / rate * 1e9) : 0);
    }
    for (grace = now_ns() + GRACE_NS; load->answered < load->sent && now_ns() < grace;)
        wait_for_answers(load, grace);
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

static double quantile_us(const struct load *load, double q)
{
    size_t at = (size_t)(q * (double)load->answered);
    if (load->answered == 0)
        return 0;
    return (double)load->latencies[at < load->answered ? at : load->answered - 1] / 1000;
}

int main(int argc, char **argv)
{
    struct load load = {0};
    if (argc != 7) {
        fprintf(stderr, "usage: bench_load SERVER:PORT FIRST_SOURCE SOURCES RATE SECONDS FILE\n");
        return 2;
    }
    double rate = strtod(argv[4], NULL), seconds = strtod(argv[5], NULL);
    load.total = rate > 0 && seconds > 0 && rate * seconds < 1e8 ? (size_t)(rate * seconds) : 0;
    load.latencies = malloc((load.total + 1) * sizeof *load.latencies);
    if (load.total == 0 || !load.latencies)
        die("rate");
    read_queries(&load, argv[6]);
    open_sources(&load, argv[1], argv[2], argv[3]);
    run(&load, rate);
    qsort(load.latencies, load.answered, sizeof *load.latencies, ascending);
    printf("{\"sent\":%zu,\"answered\":%zu,\"bad\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%."
           "1f}\n",
           load.sent, load.answered, load.bad, quantile_us(&load, 0.5), quantile_us(&load, 0.99),
           quantile_us(&load, 0.999), quantile_us(&load, 1));
    return 0;
}
