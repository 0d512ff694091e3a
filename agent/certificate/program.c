#include "agent/certificate/program.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/monotonic.h"
#include "resolver/base/text.h"

#define LINE_MAX_LEN 160 /* of what the program says */
#define REAP_MS      20
#define LAST_READS                                                                                                     \
    16 /* what is in the pipe when the program has ended: 64 KiB at most, of which the first 8 are enough */

/* What the program says, cut into lines. */
struct said {
    const char *label;
    char line[LINE_MAX_LEN + 1];
    size_t len;
    char last[LINE_MAX_LEN + 1];
};

static void end_line(struct said *said)
{
    said->line[said->len] = '\0';
    if (said->len) {
        np_text_sanitize(said->line, said->last, sizeof said->last);
        np_info("deploy: %s says: %s", said->label, said->last);
    }
    said->len = 0;
}

static void take(struct said *said, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] == '\n')
            end_line(said);
        else if (said->len < LINE_MAX_LEN)
            said->line[said->len++] = data[i];
    }
}

/* Starts the program in a process group of its own. 0 or -errno. */
static int start(const char *const *argv, int out_fd, pid_t *out_pid)
{
    static char path[] = "PATH=/usr/sbin:/usr/bin:/sbin:/bin", locale[] = "LC_ALL=C", home[] = "HOME=/";
    char *environment[] = {path, locale, home, NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigemptyset(&none);
    if (posix_spawn_file_actions_init(&files))
        return -ENOMEM;
    if (posix_spawnattr_init(&attributes)) {
        posix_spawn_file_actions_destroy(&files);
        return -ENOMEM;
    }
    int error = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&files, out_fd, 1);
    if (!error)
        error = posix_spawn_file_actions_adddup2(&files, out_fd, 2);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setsigmask(&attributes, &none);
    /* SIGPIPE stays ignored: a daemon that the program starts has our pipe, and is not to die of it when we are gone.
     */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    if (!error)
        error = posix_spawn(out_pid, argv[0], &files, &attributes, (char **)(uintptr_t)argv,
                            environment); /* not const for history's sake alone */
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&files);
    return -error;
}

/* Takes what there is to read within wait_ms. False at the end of what will ever come. */
static bool listen_to(int fd, int wait_ms, struct said *said)
{
    char data[512];
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    if (poll(&pollfd, 1, wait_ms) <= 0)
        return true;
    ssize_t n = read(fd, data, sizeof data);
    take(said, data, n > 0 ? (size_t)n : 0);
    return n > 0 || (n < 0 && errno == EINTR);
}

/* Waits for its end and reads what it says meanwhile. Its own children may keep the pipe open: it has ended when it
 * has. */
static int wait_for_end(pid_t pid, int fd, int64_t end_ms, struct said *said, int *out_status)
{
    bool open = true;
    for (;;) {
        open = open && listen_to(fd, REAP_MS, said);
        if (!open)
            poll(NULL, 0, REAP_MS);
        pid_t ended = waitpid(pid, out_status, WNOHANG);
        if (ended == pid)
            break;
        if (ended < 0 && errno != EINTR)
            return -errno;
        if (np_monotonic_ms() >= end_ms) {
            kill(-pid, SIGKILL);
            waitpid(pid, out_status, 0);
            return -ETIMEDOUT;
        }
    }
    for (unsigned i = 0; open && i < LAST_READS; i++)
        open = listen_to(fd, 0, said);
    return 0;
}

int np_program_run(const char *label, const char *what, const char *const *argv, unsigned timeout_s,
                   char why[NP_PROGRAM_WHY_MAX])
{
    struct said said = {.label = label};
    int fds[2], status = 0;
    pid_t pid;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return -errno;
    int rc = start(argv, fds[1], &pid);
    close(fds[1]);
    if (rc) {
        snprintf(why, NP_PROGRAM_WHY_MAX, "%.120s cannot be run: %s", argv[0], np_strerror(rc));
        close(fds[0]);
        return rc;
    }
    rc = wait_for_end(pid, fds[0], np_monotonic_ms() + timeout_s * INT64_C(1000), &said, &status);
    end_line(&said);
    close(fds[0]);
    const char *colon = said.last[0] ? ": " : "";
    if (rc == -ETIMEDOUT)
        snprintf(why, NP_PROGRAM_WHY_MAX, "%s did not end within %u s and was killed", what, timeout_s);
    else if (rc == 0 && WIFSIGNALED(status))
        snprintf(why, NP_PROGRAM_WHY_MAX, "%s was ended by signal %d%s%s", what, WTERMSIG(status), colon, said.last);
    else if (rc == 0 && WEXITSTATUS(status) != 0)
        snprintf(why, NP_PROGRAM_WHY_MAX, "%s ended with status %d%s%s", what, WEXITSTATUS(status), colon, said.last);
    if (rc == 0 && status != 0)
        rc = NP_E_REFUSED;
    return rc;
}
