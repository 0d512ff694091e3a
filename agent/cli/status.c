#include "agent/cli/status.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "agent/config.h"
#include "agent/control.h"
#include "resolver/base/config.h"
#include "resolver/base/error.h"

#define ANSWER_MAX (1024 * 1024)
#define TIMEOUT_S  5

static const char *text(const json_t *object, const char *member)
{
    const char *value = json_string_value(json_object_get(object, member));
    return value ? value : "";
}

static void show_list(const json_t *array)
{
    size_t i;
    const json_t *item;
    json_array_foreach(array, i, item)
    {
        printf("%s%s", i ? ", " : "", json_string_value(item) ? json_string_value(item) : "?");
    }
    puts(json_array_size(array) ? "" : "none");
}

static void show_certificate(const json_t *status)
{
    const json_t *certificate = json_object_get(status, "certificate");
    if (!json_is_object(certificate)) {
        puts("certificate  none yet");
        return;
    }
    printf("certificate  %s until %s (%lld days), issued by %s\n",
           json_is_true(json_object_get(certificate, "valid")) ? "valid" : "NOT VALID", text(certificate, "not_after"),
           (long long)json_integer_value(json_object_get(certificate, "days_left")), text(certificate, "issuer"));
}

static void show_addresses(const json_t *status)
{
    const json_t *addresses = json_object_get(status, "addresses"), *published, *link;
    size_t i;
    json_array_foreach(json_object_get(addresses, "answered"), i, link)
    {
        printf("%-12s %s: ", i ? "" : "answered", text(link, "interface"));
        show_list(json_object_get(link, "addresses"));
    }
    published = json_object_get(addresses, "published");
    printf("published    ");
    if (json_is_array(published))
        show_list(published);
    else
        puts("not confirmed by HQ since the start");
}

static void show_hq(const json_t *status)
{
    const json_t *hq = json_object_get(status, "hq"), *last = json_object_get(hq, "last_contact_seconds");
    const json_t *next = json_object_get(hq, "next_action_seconds");
    printf("HQ           %s, ", text(hq, "url"));
    if (json_is_integer(last))
        printf("last answer %lld s ago", (long long)json_integer_value(last));
    else
        printf("not asked since the start");
    if (json_is_integer(next))
        printf(", next action in %lld s", (long long)json_integer_value(next));
    printf("\nstate        %s (%s)\n", text(status, "state"), text(status, "reason"));
}

static void show_processes(const json_t *status)
{
    static const char *const names[] = {"agent", "resolver", "front"};
    const json_t *processes = json_object_get(status, "processes");
    printf("processes   ");
    for (size_t i = 0; i < 3; i++) {
        const json_t *process = json_object_get(processes, names[i]), *ready = json_object_get(process, "ready");
        if (!json_is_object(process))
            continue;
        printf(" %s %lld%s", names[i], (long long)json_integer_value(json_object_get(process, "pid")),
               json_is_false(ready) ? " (not ready)" : "");
    }
    puts("");
}

static void show_listeners(const json_t *status)
{
    const json_t *listener;
    size_t i, open = 0, count = json_array_size(json_object_get(status, "listeners"));
    json_array_foreach(json_object_get(status, "listeners"), i, listener)
    {
        open += json_is_null(json_object_get(listener, "error"));
    }
    printf("listeners    %zu of %zu open\n", open, count);
}

static void show(const json_t *status)
{
    const json_t *problems = json_object_get(status, "problems"), *item;
    size_t i;
    printf("name         %s\n", text(status, "name")[0] ? text(status, "name") : "none yet");
    if (text(status, "url")[0])
        printf("open         %s\n", text(status, "url"));
    show_certificate(status);
    show_addresses(status);
    show_hq(status);
    show_processes(status);
    show_listeners(status);
    printf("upstreams    ");
    show_list(json_object_get(status, "upstreams"));
    json_array_foreach(problems, i, item)
    {
        printf("%-12s %s\n", i ? "" : "problems", json_string_value(item) ? json_string_value(item) : "?");
    }
    if (json_array_size(problems) == 0)
        puts("problems     none");
}

/* Reads the socket's path from the configuration (NULL: the default one, where it is there): only run is looked at, so
 * that whoever may read the file may ask. */
static int control_path(const char *config_path, char *out, size_t size)
{
    struct np_config *file;
    char error[NP_CONFIG_ERROR_MAX];
    if (!config_path && access(NP_DEFAULT_CONFIG, F_OK) < 0) {
        snprintf(out, size, "/run/nameplate/" NP_CONTROL_NAME); /* the default of run */
        return 0;
    }
    config_path = config_path ? config_path : NP_DEFAULT_CONFIG;
    if (np_config_load(config_path, np_agent_config_keys, &file, error)) {
        fprintf(stderr, "nameplate status: %s\n(give the socket with --control, or the file with --config)\n", error);
        return NP_E_CONFIG;
    }
    snprintf(out, size, "%s/%s", np_config_string(file, "run"), NP_CONTROL_NAME);
    np_config_free(file);
    return 0;
}

static int connect_control(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

/* Sends the request and reads to the end: malloc'd text with a NUL. */
static int ask(const char *path, char **out_answer)
{
    static const char request[] = "status\n";
    size_t len = 0, size = 16384;
    char *answer = NULL;
    int rc = 0, fd = connect_control(path);
    if (fd < 0)
        return fd;
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)sizeof request - 1) {
        rc = NP_E_CLOSED;
        goto out;
    }
    for (;;) {
        char *grown = len + 1 >= size || !answer ? realloc(answer, size *= 2) : answer;
        if (!grown || len > ANSWER_MAX) {
            rc = grown ? NP_E_LIMIT : -ENOMEM;
            answer = grown ? grown : answer;
            goto out;
        }
        answer = grown;
        ssize_t n = read(fd, answer + len, size - len - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = -errno;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (rc == 0 && len == 0)
        rc = NP_E_CLOSED;
    if (rc == 0) {
        answer[len] = 0;
        *out_answer = answer;
        answer = NULL;
    }
out:
    free(answer);
    close(fd);
    return rc;
}

static int unreachable(const char *path, int rc)
{
    if (rc == -ENOENT || rc == -ECONNREFUSED)
        fprintf(stderr,
                "nameplate status: the agent is not running (nobody answers at %s)\n"
                "Start it: nameplate agent --config FILE; its log tells why it ended.\n",
                path);
    else if (rc == -EACCES)
        fprintf(stderr,
                "nameplate status: no permission to ask the agent at %s\n"
                "Ask as root or as a member of the socket's group.\n",
                path);
    else
        fprintf(stderr, "nameplate status: the agent does not answer at %s: %s\n", path, np_strerror(rc));
    return NP_EXIT_UNREACHABLE;
}

static int run(const char *path, bool json)
{
    char *answer;
    int rc = ask(path, &answer), code = NP_EXIT_OK;
    if (rc)
        return unreachable(path, rc);
    json_t *status = json_loads(answer, 0, NULL);
    if (!json_is_object(status)) {
        fprintf(stderr, "nameplate status: the answer from %s cannot be read\n", path);
        code = NP_EXIT_FAILURE;
    } else if (json) {
        fputs(answer, stdout);
    } else {
        show(status);
    }
    json_decref(status);
    free(answer);
    return code;
}

int np_status_verb_main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"control", required_argument, NULL, 's'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const char *config = NULL, *control = NULL;
    char path[NP_CONFIG_PATH_MAX + sizeof NP_CONTROL_NAME + 1];
    bool json = false;
    for (int option; (option = getopt_long(argc, argv, "c:jh", options, NULL)) != -1;) {
        switch (option) {
        case 'c':
            config = optarg;
            break;
        case 's':
            control = optarg;
            break;
        case 'j':
            json = true;
            break;
        case 'h':
            puts("usage: nameplate status [--json] [--config FILE | --control SOCKET]\n\n"
                 "  --json            the whole status as JSON\n"
                 "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
                 "  --control SOCKET  the agent's control socket itself\n\n"
                 "Exit status 3: the agent is not running or not reachable.");
            return NP_EXIT_OK;
        default:
            return NP_EXIT_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "nameplate status: unexpected '%s'\n", argv[optind]);
        return NP_EXIT_USAGE;
    }
    if (!control && control_path(config, path, sizeof path))
        return NP_EXIT_FAILURE;
    return run(control ? control : path, json);
}
