/* bench_enrol: how many enrolments a second HQ takes when the devices' part is done beforehand: every request is signed
 * before the clock runs, with a nonce of its own.
 *
 *     bench_enrol hq    URL SERVER:PORT ANCHORS FACTORY-MASTER   (then lines on standard input)
 *     bench_enrol nonce URL SERVER:PORT ANCHORS -                HEAD /v1/nonce instead, the least that HQ can be asked
 *     bench_enrol hello URL SERVER:PORT ANCHORS -                GET / instead, to bench_hello
 *
 * Reads lines "COUNT CONNECTIONS kept|new": signs COUNT requests (told by {"signed": COUNT}), waits for an empty line,
 * sends them over so many connections at once, one at a time on each, which stay (kept) or are closed after each answer
 * (new); answers with a line of JSON: seconds, times, statuses, its own CPU time. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/certificate/exchange.h"
#include "agent/tls/http.h"
#include "resolver/base/error.h"
#include "resolver/base/random.h"
#include "tests/bench/fleet/box.h"
#include "tests/bench/fleet/crypto.h"

#define LANES_MAX 1024
#define SOURCES   0x7fc00000u /* 127.192.0.0/10 */

struct prepared {
    char *text;
    size_t len;
};

struct load;

/* One of the connections at a time. */
struct lane {
    struct load *load;
    unsigned number;
    struct link *link;
    struct np_http_parser parser;
    size_t request;
    uint64_t sent_us;
};

struct load {
    uv_loop_t loop;
    struct link_target target;
    char url[NP_URL_MAX + 1], host[NP_NAME_MAX + 1];
    uint8_t master[32];
    bool hello, nonce, new_each, head;
    struct lane lanes[LANES_MAX];
    struct prepared *requests;
    char (*nonces)[NP_NONCE_MAX + 1];
    size_t count, next, done;
    unsigned serial;  /* of the next device */
    unsigned sources; /* used */
    uint64_t begun_us;
    double began_cpu_s;
    struct tally_requests tally;
};

static void die(const char *what)
{
    fprintf(stderr, "bench_enrol: %s\n", what);
    exit(2);
}

/* ---- Sending ---- */

static void send_next(struct lane *lane);

static void on_answer(struct lane *lane)
{
    struct load *load = lane->load;
    const struct np_http_response *http = &lane->parser.response;
    tally_add(&load->tally.times, box_now_us() - lane->sent_us);
    load->tally.statuses[http->status > 0 && http->status < TALLY_STATUS_MAX ? http->status : 0]++;
    if (load->head)
        snprintf(load->nonces[lane->request], sizeof *load->nonces, "%s", http->nonce);
    load->done++;
    if (!http->keep_alive || load->new_each) {
        link_close(lane->link);
        lane->link = NULL;
    }
    send_next(lane);
}

static void on_data(void *ctx, const uint8_t *data, size_t len)
{
    struct lane *lane = ctx;
    size_t used;
    int rc = np_http_parser_feed(&lane->parser, data, len, &used);
    if (rc == 1)
        on_answer(lane);
    else if (rc < 0)
        die("an answer that cannot be read");
}

static void on_ended(void *ctx, int err)
{
    struct lane *lane = ctx;
    lane->link = NULL;
    if (!lane->sent_us)
        return;
    lane->load->tally.failed++;
    lane->load->done++;
    (void)err;
    send_next(lane);
}

static void send_next(struct lane *lane)
{
    static const struct link_events events = {.data = on_data, .ended = on_ended};
    struct load *load = lane->load;
    if (load->next == load->count) {
        lane->sent_us = 0;
        if (load->done == load->count)
            uv_stop(&load->loop);
        return;
    }
    lane->request = load->next++;
    lane->sent_us = box_now_us();
    np_http_parser_init(&lane->parser, load->head);
    if (!lane->link)
        lane->link = link_open(&load->loop, &load->target, htonl(SOURCES + load->sources++ % 0x3fffff), &events, lane);
    if (!lane->link)
        die("no connection can be made");
    link_send(lane->link, load->requests[lane->request].text, load->requests[lane->request].len);
}

static void run(struct load *load, unsigned lanes)
{
    tally_requests_clear(&load->tally);
    load->next = load->done = 0;
    load->begun_us = box_now_us();
    for (unsigned i = 0; i < lanes; i++)
        send_next(&load->lanes[i]);
    if (load->done < load->count)
        uv_run(&load->loop, UV_RUN_DEFAULT);
}

static void close_lanes(struct load *load)
{
    for (unsigned i = 0; i < LANES_MAX; i++) {
        link_close(load->lanes[i].link);
        load->lanes[i].link = NULL;
    }
    uv_run(&load->loop, UV_RUN_DEFAULT);
}

/* ---- Preparing ---- */

static void set_request(struct prepared *out, const char *method, const char *path, const char *host, const char *body)
{
    size_t room = 512 + (body ? strlen(body) : 0);
    out->text = malloc(room);
    if (!out->text)
        die("no memory");
    int n = snprintf(out->text, room, "%s %s HTTP/1.1\r\nHost: %s\r\n", method, path, host);
    if (body)
        n += snprintf(out->text + n, room - (size_t)n,
                      "Content-Type: application/jose+json\r\nContent-Length: %zu\r\n\r\n%s", strlen(body), body);
    else
        n += snprintf(out->text + n, room - (size_t)n, "\r\n");
    out->len = (size_t)n;
}

static void free_requests(struct load *load)
{
    for (size_t i = 0; load->requests && i < load->count; i++)
        free(load->requests[i].text);
    free(load->requests);
    load->requests = NULL;
}

static void allocate(struct load *load, size_t count)
{
    free_requests(load);
    load->count = count;
    load->requests = calloc(count, sizeof *load->requests);
    free(load->nonces);
    load->nonces = calloc(count, sizeof *load->nonces);
    if (!load->requests || !load->nonces)
        die("no memory");
}

static void fetch_nonces(struct load *load)
{
    for (size_t i = 0; i < load->count; i++)
        set_request(&load->requests[i], "HEAD", "/v1/nonce", load->host, NULL);
    load->head = true;
    load->new_each = false;
    run(load, 8);
    load->head = false;
    close_lanes(load);
    for (size_t i = 0; i < load->count; i++)
        free(load->requests[i].text);
    if (load->tally.statuses[204] != load->count)
        die("no nonces");
}

/* A new device's enrolment. */
static void sign(struct load *load, size_t i)
{
    static struct np_state state;
    struct np_exchange x;
    struct np_exchange_self self = {
        .url = load->url, .model = "enrol", .version = NP_VERSION, .factory = {.type = NP_CREDENTIAL_FACTORY_SECRET}};
    struct np_enrol_action action = {.type = NP_ACTION_SEND, .request = NP_REQUEST_ENROL};
    struct np_addr addr = {.family = AF_INET, .bytes = {192, 168, 1, 2}};
    memset(&state, 0, sizeof state);
    memcpy(action.nonce, load->nonces[i], sizeof action.nonce);
    action.addresses.addresses = (struct np_addresses){.v4 = {addr}, .v4_count = 1};
    snprintf(self.factory.serial, sizeof self.factory.serial, "ENROL-%08u", load->serial++);
    fleet_factory_secret(load->master, self.factory.serial, self.factory.secret);
    np_random_bytes(state.epoch, sizeof state.epoch);
    np_random_bytes(state.token, sizeof state.token);
    if (fleet_make_key(&state.identity) || np_exchange_build(&self, &state, NULL, &action, &x))
        die("a request cannot be signed");
    set_request(&load->requests[i], x.method, x.path, load->host, x.body);
    np_exchange_free(&x);
}

static void prepare(struct load *load, size_t count)
{
    allocate(load, count);
    if (!load->hello && !load->nonce)
        fetch_nonces(load);
    for (size_t i = 0; i < count; i++) {
        if (load->hello)
            set_request(&load->requests[i], "GET", "/", load->host, NULL);
        else if (load->nonce)
            set_request(&load->requests[i], "HEAD", "/v1/nonce", load->host, NULL);
        else
            sign(load, i);
    }
}

static double cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* One line of the input. */
static void command(struct load *load, const char *line)
{
    unsigned long count = 0;
    unsigned lanes = 0;
    char kind[8] = "", go[8];
    if (sscanf(line, "%lu %u %7s", &count, &lanes, kind) != 3 || !count || !lanes || lanes > LANES_MAX)
        die("COUNT CONNECTIONS kept|new");
    prepare(load, count);
    printf("{\"signed\": %lu}\n", count);
    fflush(stdout);
    if (!fgets(go, sizeof go, stdin))
        exit(0);
    load->new_each = strcmp(kind, "new") == 0;
    load->head = load->nonce;
    double before = cpu_s();
    run(load, lanes);
    double seconds = (double)(box_now_us() - load->begun_us) / 1e6;
    json_t *json = tally_requests_json(&load->tally);
    json_object_set_new(json, "seconds", json_real(seconds));
    json_object_set_new(json, "cpu_s", json_real(cpu_s() - before));
    json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    putchar('\n');
    fflush(stdout);
    json_decref(json);
    close_lanes(load);
}

static void read_arguments(struct load *load, int argc, char **argv)
{
    struct np_endpoint server;
    if (argc != 6)
        die("usage: bench_enrol hq|nonce|hello URL SERVER:PORT ANCHORS FACTORY-MASTER|-");
    load->hello = strcmp(argv[1], "hello") == 0;
    load->nonce = strcmp(argv[1], "nonce") == 0;
    snprintf(load->url, sizeof load->url, "%s", argv[2]);
    snprintf(load->host, sizeof load->host, "%s", strncmp(argv[2], "https://", 8) == 0 ? argv[2] + 8 : "");
    load->host[strcspn(load->host, ":/")] = 0;
    if (!load->host[0] || np_endpoint_parse(argv[3], 443, &server) || server.addr.family != AF_INET)
        die("URL is https://HOST[:PORT], SERVER an IPv4 address");
    load->target.server.sin_family = AF_INET;
    load->target.server.sin_port = htons(server.port);
    memcpy(&load->target.server.sin_addr, server.addr.bytes, 4);
    load->target.host = load->host;
    load->target.tls = link_tls(argv[4], true);
    if (!load->target.tls)
        die("the anchors cannot be read");
    if (!load->hello && !load->nonce && fleet_read_master(argv[5], load->master))
        die("the factory master cannot be read");
}

int main(int argc, char **argv)
{
    static struct load load;
    char line[128];
    struct rlimit files;
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    uv_loop_init(&load.loop);
    for (unsigned i = 0; i < LANES_MAX; i++) {
        load.lanes[i].load = &load;
        load.lanes[i].number = i;
    }
    read_arguments(&load, argc, argv);
    while (fgets(line, sizeof line, stdin))
        command(&load, line);
    return 0;
}
