/* Floods a DNS server with mutated queries, in lockstep with it: after each burst a good query must be answered, so
 * that every packet reaches the parser and none dies in a full buffer. Prints what came back as JSON.
 *
 *   dns_flood SERVER PORT COUNT SEED NAME CORPUS SOURCE...
 *
 * NAME is a name that the server answers at once, CORPUS a folder of queries (as of tests/fuzz: the first byte is not
 * part of the packet), each SOURCE an address to send from. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver/base/file.h"
#include "resolver/base/text.h"
#include "resolver/message.h"

#define BURST       128 /* packets between two good queries: fewer than any socket buffer holds */
#define PACKET_MAX  1400
#define SEEDS_MAX   256
#define SOURCES_MAX 16
#define TRIES       5 /* a good query is sent so often */
#define WAIT_MS     5000
#define BUFFER      (1 << 20)

struct seed {
    uint8_t data[PACKET_MAX];
    size_t len;
};

struct flood {
    struct np_name name;
    struct seed seeds[SEEDS_MAX];
    size_t seed_count;
    int socks[SOURCES_MAX];
    size_t sock_count;
    uint64_t random;
    uint16_t fence; /* ID of the good query that is waited for */
    unsigned long sent, answers, rcodes[16];
};

static void die(const char *what)
{
    fprintf(stderr, "dns_flood: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* xorshift64*: the same seed makes the same flood. */
static uint32_t below(struct flood *flood, uint32_t bound)
{
    flood->random ^= flood->random >> 12;
    flood->random ^= flood->random << 25;
    flood->random ^= flood->random >> 27;
    return (uint32_t)((flood->random * 0x2545f4914f6cdd1du >> 32) * bound >> 32);
}

static void read_seeds(struct flood *flood, const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        die(path);
    for (struct dirent *entry; (entry = readdir(folder)) && flood->seed_count < SEEDS_MAX;) {
        char file[4096];
        uint8_t *data;
        size_t len;
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || np_file_read(file, 1 << 16, &data, &len))
            continue;
        struct seed *seed = &flood->seeds[flood->seed_count];
        if (len > 1 && len - 1 <= PACKET_MAX) {
            seed->len = len - 1;
            memcpy(seed->data, data + 1, seed->len);
            flood->seed_count++;
        }
        free(data);
    }
    closedir(folder);
    if (flood->seed_count == 0)
        die("an empty corpus");
}

static void open_source(struct flood *flood, const char *source, const char *server, const char *port)
{
    struct np_endpoint from = {0}, to = {0};
    int64_t number;
    struct sockaddr_storage sa;
    const int size = BUFFER;
    if (np_parse_int(port, 1, UINT16_MAX, &number))
        die(port);
    to.port = (uint16_t)number;
    if (np_addr_parse(source, &from.addr) || np_addr_parse(server, &to.addr) || flood->sock_count == SOURCES_MAX)
        die(source);
    int fd = socket(from.addr.family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size))
        die("socket");
    socklen_t len = np_endpoint_to_sockaddr(&from, &sa);
    if (bind(fd, (struct sockaddr *)&sa, len))
        die(source);
    len = np_endpoint_to_sockaddr(&to, &sa);
    if (connect(fd, (struct sockaddr *)&sa, len))
        die(server);
    flood->socks[flood->sock_count++] = fd;
}

/* One change to a packet. */
static size_t mutate(struct flood *flood, uint8_t *packet, size_t len)
{
    static const uint8_t liked[] = {0, 1, 0x29, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xc0, 0xff};
    if (len == 0)
        return 0;
    size_t at = below(flood, (uint32_t)len), n = 1 + below(flood, 24);
    const struct seed *other = &flood->seeds[below(flood, (uint32_t)flood->seed_count)];
    switch (below(flood, 10)) {
    case 0:
        packet[at] ^= (uint8_t)(1u << below(flood, 8));
        return len;
    case 1:
        packet[at] = liked[below(flood, sizeof liked)];
        return len;
    case 2:
        packet[below(flood, len < 12 ? (uint32_t)len : 12)] = (uint8_t)below(flood, 256); /* the header */
        return len;
    case 3:
        return at;
    case 4: /* a piece again */
        if (len + n > PACKET_MAX || at + n > len)
            return len;
        memmove(packet + at + n, packet + at, len - at);
        return len + n;
    case 5: /* the rest of another query */
        if (at >= other->len)
            return len;
        memcpy(packet + at, other->data + at, other->len - at);
        return other->len;
    case 6: /* noise behind it */
        for (size_t i = 0; i < n && len < PACKET_MAX; i++)
            packet[len++] = (uint8_t)below(flood, 256);
        return len;
    case 7: /* a letter of the name */
        at = 13 + below(flood, 16);
        if (at < len && packet[at] >= '0')
            packet[at] = (uint8_t)('a' + below(flood, 26));
        return len;
    case 8: /* the type, where there is nothing or a plain OPT behind it */
        if (len > 18)
            packet[len - (packet[11] && len > 26 ? 14 : 3)] = (uint8_t)below(flood, 256);
        return len;
    default:
        packet[at] = (uint8_t)below(flood, 256);
        return len;
    }
}

static size_t make_packet(struct flood *flood, uint8_t packet[PACKET_MAX])
{
    if (below(flood, 16) == 0) { /* noise from end to end */
        size_t len = below(flood, 200);
        for (size_t i = 0; i < len; i++)
            packet[i] = (uint8_t)below(flood, 256);
        return len;
    }
    const struct seed *seed = &flood->seeds[below(flood, (uint32_t)flood->seed_count)];
    size_t len = seed->len;
    memcpy(packet, seed->data, len);
    for (uint32_t i = below(flood, 4); i > 0; i--)
        len = mutate(flood, packet, len);
    return len;
}

/* Takes an answer; true when it is the good query's. */
static bool take(struct flood *flood, const uint8_t *answer, size_t len)
{
    if (len < NP_DNS_HEADER_LEN || !(answer[2] & 0x80)) {
        fprintf(stderr, "dns_flood: something came back that is no answer\n");
        exit(1);
    }
    flood->answers++;
    flood->rcodes[answer[3] & 15]++;
    return (answer[0] << 8 | answer[1]) == flood->fence && answer[7] == 1 && (answer[2] & 0x04);
}

static void await_good(struct flood *flood, int fd)
{
    uint8_t packet[512], answer[4096];
    flood->fence++;
    int len = np_query_write(packet, sizeof packet, flood->fence, NP_FLAG_RD, &flood->name, NP_RR_A, false, false);
    for (int i = 0; i < TRIES; i++) {
        if (len < 0 || send(fd, packet, (size_t)len, 0) < 0)
            die("send");
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        while (poll(&poll_fd, 1, WAIT_MS) > 0) {
            ssize_t n = recv(fd, answer, sizeof answer, 0);
            if (n < 0)
                die("recv");
            if (take(flood, answer, (size_t)n))
                return;
        }
    }
    fprintf(stderr, "dns_flood: no answer to a good query after %lu packets\n", flood->sent);
    exit(1);
}

int main(int argc, char **argv)
{
    struct flood *flood = calloc(1, sizeof *flood);
    if (!flood || argc < 8)
        return 2;
    unsigned long count = strtoul(argv[3], NULL, 10);
    flood->random = strtoul(argv[4], NULL, 10) * 2654435761u + 1;
    if (np_name_parse(argv[5], &flood->name))
        die(argv[5]);
    read_seeds(flood, argv[6]);
    for (int i = 7; i < argc; i++)
        open_source(flood, argv[i], argv[1], argv[2]);
    while (flood->sent < count) {
        int fd = flood->socks[below(flood, (uint32_t)flood->sock_count)];
        for (int i = 0; i < BURST && flood->sent < count; i++) {
            uint8_t packet[PACKET_MAX];
            size_t len = make_packet(flood, packet);
            if (send(fd, packet, len, 0) < 0)
                die("send");
            flood->sent++;
        }
        await_good(flood, fd);
    }
    printf("{\"sent\": %lu, \"answers\": %lu, \"rcodes\": [", flood->sent, flood->answers);
    for (int i = 0; i < 16; i++)
        printf("%s%lu", i ? ", " : "", flood->rcodes[i]);
    printf("]}\n");
    free(flood);
    return 0;
}
