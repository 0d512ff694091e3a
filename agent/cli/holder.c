#include "agent/cli/holder.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "resolver/base/file.h"
#include "resolver/base/text.h"

#define TABLE_MAX  (4 * 1024 * 1024) /* a busy machine has some 10,000 sockets of 150 bytes a line */
#define TCP_LISTEN 0x0a
#define PATH_LEN   64
#define ROW_WORDS  10
#define WORD_LEN   48 /* the longest that matters is an IPv6 address in hex with its port */

/* "0100007F:0035", as the kernel prints it: words of 32 bits in the machine's own order. */
static bool read_local(const char *text, struct np_endpoint *out)
{
    uint8_t bytes[16];
    size_t digits = strspn(text, "0123456789ABCDEF"), words = digits / 8;
    char word[9] = "", *end;
    if ((digits != 8 && digits != 32) || text[digits] != ':')
        return false;
    for (size_t i = 0; i < words; i++) {
        memcpy(word, text + 8 * i, 8);
        uint32_t value = (uint32_t)strtoul(word, NULL, 16);
        memcpy(bytes + 4 * i, &value, 4);
    }
    out->addr = np_addr_from_bytes(bytes, 4 * words);
    out->port = (uint16_t)strtoul(text + digits + 1, &end, 16);
    return end == text + digits + 5;
}

static bool is_in_the_way(const struct np_endpoint *local, const struct np_endpoint *wanted)
{
    struct np_addr inner = local->addr, want = wanted->addr;
    if (local->port != wanted->port)
        return false;
    if (np_addr_classify(&local->addr) == NP_ADDR_UNSPECIFIED)
        return local->addr.family == want.family || local->addr.family == AF_INET6; /* :: takes IPv4 too, by default */
    (void)np_addr_embedded_v4(&local->addr, &inner);
    want.scope = 0;
    return np_addr_equal(&inner, &want);
}

/* The next word of the line that *at is in, cut to what fits; moves *at behind it. */
static void take_word(const char **at, char *out, size_t size)
{
    *at += strspn(*at, " \t");
    size_t len = strcspn(*at, " \t\n"), kept = len < size ? len : size - 1;
    memcpy(out, *at, kept);
    out[kept] = 0;
    *at += len;
}

/* One line: number, local, remote, state, queues, timer, retransmits, uid, timeout, inode. */
static bool read_row(const char *line, struct np_endpoint *out_local, unsigned long *out_state, int64_t *out_uid,
                     int64_t *out_inode)
{
    char words[ROW_WORDS][WORD_LEN];
    for (int i = 0; i < ROW_WORDS; i++)
        take_word(&line, words[i], sizeof words[i]);
    *out_state = strtoul(words[3], NULL, 16);
    return read_local(words[1], out_local) && np_parse_int(words[7], 0, UINT32_MAX, out_uid) == 0 &&
           np_parse_int(words[9], 0, INT64_MAX, out_inode) == 0;
}

bool np_holder_find(const char *table, bool tcp, const struct np_endpoint *wanted, uint64_t *out_inode,
                    unsigned *out_uid)
{
    for (const char *line = table; line; line = strchr(line, '\n')) {
        struct np_endpoint local;
        unsigned long state;
        int64_t uid, inode;
        line += *line == '\n';
        if (!read_row(line, &local, &state, &uid, &inode) || !is_in_the_way(&local, wanted) ||
            (tcp && state != TCP_LISTEN))
            continue;
        *out_inode = (uint64_t)inode;
        *out_uid = (unsigned)uid;
        return true;
    }
    return false;
}

static bool holds(const char *pid, const char *socket_name)
{
    char path[PATH_LEN], link[PATH_LEN];
    bool found = false;
    snprintf(path, sizeof path, "/proc/%.12s/fd", pid);
    DIR *folder = opendir(path);
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        ssize_t len = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);
        link[len > 0 ? len : 0] = 0;
        found = strcmp(link, socket_name) == 0;
    }
    if (folder)
        closedir(folder);
    return found;
}

/* The process with that socket; needs to be root, or its owner. */
static bool find_process(uint64_t inode, char *out, size_t size)
{
    char name[PATH_LEN], path[PATH_LEN];
    bool found = false;
    snprintf(name, sizeof name, "socket:[%" PRIu64 "]", inode);
    DIR *folder = opendir("/proc");
    for (struct dirent *entry; folder && !found && (entry = readdir(folder));) {
        uint8_t *comm;
        size_t len;
        if (strspn(entry->d_name, "0123456789") != strlen(entry->d_name) || !holds(entry->d_name, name))
            continue;
        found = true;
        snprintf(path, sizeof path, "/proc/%.12s/comm", entry->d_name);
        snprintf(out, size, "pid %.12s", entry->d_name);
        if (np_file_read(path, 4096, &comm, &len))
            break;
        comm[strcspn((char *)comm, "\n")] = 0;
        if (np_is_token((char *)comm, NP_HOLDER_NAME_MAX))
            snprintf(out, size, "%s (pid %.12s)", (char *)comm, entry->d_name);
        free(comm);
    }
    if (folder)
        closedir(folder);
    return found;
}

bool np_holder_describe(int64_t pid, bool tcp, const struct np_endpoint *wanted, char *out, size_t size)
{
    const char *const tables[2] = {tcp ? "tcp" : "udp", tcp ? "tcp6" : "udp6"};
    char path[PATH_LEN];
    for (int i = 0; i < 2; i++) {
        uint8_t *table;
        size_t len;
        uint64_t inode;
        unsigned uid;
        snprintf(path, sizeof path, "/proc/%" PRId64 "/net/%s", pid, tables[i]);
        if (np_file_read(path, TABLE_MAX, &table, &len)) {
            snprintf(path, sizeof path, "/proc/net/%s", tables[i]);
            if (np_file_read(path, TABLE_MAX, &table, &len))
                continue;
        }
        bool found = np_holder_find((char *)table, tcp, wanted, &inode, &uid);
        free(table);
        if (found && !find_process(inode, out, size))
            snprintf(out, size, "a process of uid %u", uid);
        if (found)
            return true;
    }
    return false;
}
