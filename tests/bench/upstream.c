/* bench_upstream: the Internet of the bench: a name server that knows every name, so that what is measured is the
 * resolver in front of it.
 *
 *   bench_upstream ADDR:PORT DELAY_MS
 *
 * A and AAAA get one public address made of the name's hash, everything else NODATA; TTL one hour. Each answer leaves
 * DELAY_MS after its query came, as if the server were that far away; many may be on their way at once. The TXT record
 * of served.bench says how many queries were answered. UDP over IPv4 alone. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#include "resolver/message.h"

#define TTL        3600
#define WAITING    65536 /* answers on their way: 65 ms at a million a second; a power of two */
#define PACKET_MAX 512   /* our answers are short: no name here is longer than 100 bytes */
#define BUFFER     (4 << 20)
#define SECOND_NS  1000000000LL

/* An answer on its way. */
struct answer {
    int64_t due_ns;
    struct sockaddr_in peer;
    uint16_t len;
    uint8_t data[PACKET_MAX];
};

struct upstream {
    int fd;
    int64_t delay_ns;
    uint64_t served;
    size_t first, last; /* of the ring; equal: empty */
    struct answer ring[WAITING];
};

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void add_records(const struct upstream *upstream, const struct np_query *query, struct np_answer *answer)
{
    static const uint32_t timers[4] = {7200, 900, 1209600, TTL};
    static const struct np_name root = {1, ""}, counter = {14, "\6served\5bench"};
    uint64_t hash = np_name_hash(&query->qname, 0);
    uint8_t v4[4] = {198, 51, 100, (uint8_t)hash}, v6[16] = {0x20, 0x01, 0x0d, 0xb8}, text[24];
    memcpy(v6 + 8, &hash, sizeof hash);
    if (query->qtype == NP_RR_A) {
        np_answer_rr(answer, NP_SECTION_ANSWER, &query->qname, NP_RR_A, TTL, v4, sizeof v4);
    } else if (query->qtype == NP_RR_AAAA) {
        np_answer_rr(answer, NP_SECTION_ANSWER, &query->qname, NP_RR_AAAA, TTL, v6, sizeof v6);
    } else if (query->qtype == NP_RR_TXT && np_name_equal(&query->qname, &counter)) {
        int len = snprintf((char *)text + 1, sizeof text - 1, "%llu", (unsigned long long)upstream->served);
        text[0] = (uint8_t)len;
        np_answer_rr(answer, NP_SECTION_ANSWER, &query->qname, NP_RR_TXT, 0, text, 1 + (size_t)len);
    } else {
        np_answer_soa(answer, NP_SECTION_AUTHORITY, &root, TTL, &root, &root, 1, timers);
    }
}

static void receive(struct upstream *upstream)
{
    uint8_t packet[PACKET_MAX];
    while (upstream->last - upstream->first < WAITING) {
        struct answer *out = &upstream->ring[upstream->last % WAITING];
        socklen_t peer_len = sizeof out->peer;
        ssize_t n =
            recvfrom(upstream->fd, packet, sizeof packet, MSG_DONTWAIT, (struct sockaddr *)&out->peer, &peer_len);
        struct np_query query;
        struct np_answer answer;
        if (n < 0)
            return;
        if (np_query_parse(packet, (size_t)n, &query) != NP_QUERY_GOOD)
            continue;
        np_answer_start(&answer, &query, out->data, sizeof out->data, NP_FLAG_RA);
        add_records(upstream, &query, &answer);
        out->len = (uint16_t)np_answer_finish(&answer);
        out->due_ns = now_ns() + upstream->delay_ns;
        upstream->last++;
    }
}

static void send_due(struct upstream *upstream)
{
    int64_t now = now_ns();
    while (upstream->first != upstream->last && upstream->ring[upstream->first % WAITING].due_ns <= now) {
        const struct answer *out = &upstream->ring[upstream->first++ % WAITING];
        (void)sendto(upstream->fd, out->data, out->len, 0, (const struct sockaddr *)&out->peer, sizeof out->peer);
        upstream->served++;
    }
}

static void serve(struct upstream *upstream)
{
    struct pollfd readable = {upstream->fd, POLLIN, 0};
    for (;;) {
        int64_t wait =
            upstream->first == upstream->last ? SECOND_NS : upstream->ring[upstream->first % WAITING].due_ns - now_ns();
        struct timespec timeout = {wait > 0 ? wait / SECOND_NS : 0, wait > 0 ? wait % SECOND_NS : 0};
        (void)ppoll(&readable, 1, &timeout, NULL);
        receive(upstream);
        send_due(upstream);
    }
}

static int open_socket(const char *address)
{
    struct np_endpoint endpoint;
    struct sockaddr_storage local;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = BUFFER;
    if (fd < 0 || np_endpoint_parse(address, 0, &endpoint))
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    socklen_t len = np_endpoint_to_sockaddr(&endpoint, &local);
    return bind(fd, (struct sockaddr *)&local, len) ? -1 : fd;
}

int main(int argc, char **argv)
{
    struct upstream *upstream = calloc(1, sizeof *upstream);
    if (!upstream || argc != 3) {
        fprintf(stderr, "usage: bench_upstream ADDR:PORT DELAY_MS\n");
        return 2;
    }
    upstream->delay_ns = (int64_t)(strtod(argv[2], NULL) * 1e6);
    upstream->fd = open_socket(argv[1]);
    if (upstream->fd < 0) {
        fprintf(stderr, "bench_upstream: %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    (void)prctl(PR_SET_TIMERSLACK, 1UL); /* ns: answers leave when they are due, not in bundles */
    serve(upstream);
}
