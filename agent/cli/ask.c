#include "agent/cli/ask.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "agent/cli/cli.h"
#include "resolver/base/config.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define ANSWER_MAX (1024 * 1024)
#define TIMEOUT_S  5

int np_ask_path(const char *verb, const char *control, const char *config_path, char out_path[NP_ASK_PATH_MAX])
{
    struct np_config *file;
    char error[NP_CONFIG_ERROR_MAX];
    const size_t size = NP_ASK_PATH_MAX;
    if (control && strlen(control) >= size) {
        fprintf(stderr, "nameplate %s: the path of --control is too long\n", verb);
        return NP_E_CONFIG;
    }
    if (control) {
        snprintf(out_path, size, "%s", control);
        return 0;
    }
    if (!config_path && access(NP_DEFAULT_CONFIG, F_OK) < 0) {
        snprintf(out_path, size, "/run/nameplate/" NP_CONTROL_NAME); /* the default of run */
        return 0;
    }
    config_path = config_path ? config_path : NP_DEFAULT_CONFIG;
    if (np_config_load(config_path, np_agent_config_keys, &file, error)) {
        fprintf(stderr, "nameplate %s: %s\n(give the socket with --control, or the file with --config)\n", verb, error);
        return NP_E_CONFIG;
    }
    snprintf(out_path, size, "%s/%s", np_config_string(file, "run"), NP_CONTROL_NAME);
    np_config_free(file);
    return 0;
}

int np_ask_options(int argc, char **argv, void (*usage)(void), const struct np_ask_flag *flags,
                   char out_path[NP_ASK_PATH_MAX])
{
    int count;
    return np_ask_words(argc, argv, usage, flags, out_path, NULL, 0, &count);
}

int np_ask_words(int argc, char **argv, void (*usage)(void), const struct np_ask_flag *flags,
                 char out_path[NP_ASK_PATH_MAX], const char **out_words, int max, int *out_count)
{
    enum { CONFIG, CONTROL, HELP, OWN }; /* a flag's value is OWN and its place */
    struct option options[3 + NP_ASK_FLAGS_MAX + 1] = {{"config", required_argument, NULL, CONFIG},
                                                       {"control", required_argument, NULL, CONTROL},
                                                       {"help", no_argument, NULL, HELP}};
    const char *config = NULL, *control = NULL;
    int json = -1;
    for (int i = 0; flags[i].name; i++) {
        options[3 + i] = (struct option){flags[i].name, no_argument, NULL, OWN + i};
        if (strcmp(flags[i].name, "json") == 0)
            json = i;
    }
    for (int option; (option = getopt_long(argc, argv, json < 0 ? "c:h" : "c:jh", options, NULL)) != -1;) {
        int own = option == 'j' ? json : option - OWN;
        if (option == 'h' || option == HELP) {
            usage();
            return NP_ASK_HELPED;
        }
        if (option == 'c' || option == CONFIG)
            config = optarg;
        else if (option == CONTROL)
            control = optarg;
        else if (own >= 0 && own < NP_ASK_FLAGS_MAX)
            *flags[own].given = true;
        else
            return NP_EXIT_USAGE; /* getopt said why */
    }
    *out_count = 0;
    while (optind < argc && *out_count < max)
        out_words[(*out_count)++] = argv[optind++];
    if (optind < argc) {
        fprintf(stderr, "nameplate %s: unexpected '%s'\n", argv[0], argv[optind]);
        return NP_EXIT_USAGE;
    }
    return np_ask_path(argv[0], control, config, out_path) ? NP_EXIT_FAILURE : 0;
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

int np_ask(const char *path, const char *request, char **out_answer)
{
    char line[NP_CONTROL_REQUEST_MAX];
    size_t len = 0, size = 16384;
    char *answer = NULL;
    int rc = 0, fd = connect_control(path);
    if (fd < 0)
        return fd;
    int line_len = snprintf(line, sizeof line, "%s\n", request);
    if (line_len < 0 || (size_t)line_len >= sizeof line || send(fd, line, (size_t)line_len, MSG_NOSIGNAL) != line_len) {
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

int np_ask_unreachable(const char *verb, const char *path, int rc)
{
    if (rc == -ENOENT || rc == -ECONNREFUSED)
        fprintf(stderr,
                "nameplate %s: the agent is not running (nobody answers at %s)\n"
                "Start it: nameplate agent --config FILE; its log tells why it ended.\n",
                verb, path);
    else if (rc == -EACCES)
        fprintf(stderr,
                "nameplate %s: no permission to ask the agent at %s\n"
                "Ask as root or as a member of the socket's group.\n",
                verb, path);
    else
        fprintf(stderr, "nameplate %s: the agent does not answer at %s: %s\n", verb, path, np_strerror(rc));
    return NP_EXIT_UNREACHABLE;
}

static void take_names(const json_t *status, struct np_ask_box *box)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(status, "names"), i, item)
    {
        const char *name = json_string_value(item);
        if (box->name_count < NP_ASK_NAMES_MAX && name && np_is_hostname(name) &&
            (box->names[box->name_count] = strdup(name)))
            box->name_count++;
    }
}

static void take_lan(const json_t *status, struct np_ask_box *box)
{
    const json_t *item, *addresses = json_object_get(status, "addresses");
    size_t i;
    json_array_foreach(json_object_get(addresses, "answered"), i, item)
    {
        const char *name = json_string_value(json_object_get(item, "interface"));
        if (box->lan_count < NP_ASK_LAN_MAX && name && np_is_token(name, NP_LINK_NAME_MAX - 1) &&
            (box->lan[box->lan_count] = strdup(name)))
            box->lan_count++;
    }
}

/* The better place to be found at: an address that never changes, then IPv4, then one without a zone. */
static int rank(const struct np_addr *addr)
{
    if (addr->family == AF_UNSPEC)
        return 0;
    if (np_addr_classify(addr) == NP_ADDR_LOOPBACK)
        return 4;
    if (addr->family == AF_INET)
        return 3;
    return np_addr_classify(addr) == NP_ADDR_LINK_LOCAL ? 1 : 2;
}

static void take_dns(const json_t *status, struct np_ask_box *box)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(status, "listeners"), i, item)
    {
        const char *kind = json_string_value(json_object_get(item, "kind"));
        const char *address = json_string_value(json_object_get(item, "address"));
        json_int_t port = json_integer_value(json_object_get(item, "port"));
        struct np_endpoint found = {.port = (uint16_t)port};
        if (!kind || strcmp(kind, "dns-udp") != 0 || !address || np_addr_parse(address, &found.addr) ||
            !json_is_null(json_object_get(item, "error")) || port < 1 || port > UINT16_MAX)
            continue;
        if (rank(&found.addr) > rank(&box->dns.addr))
            box->dns = found;
    }
}

int np_ask_box(const char *verb, const char *control, const char *config_path, struct np_ask_box *out_box)
{
    char path[NP_ASK_PATH_MAX], *answer;
    if (np_ask_path(verb, control, config_path, path))
        return NP_EXIT_FAILURE;
    int rc = np_ask(path, "status", &answer);
    if (rc)
        return np_ask_unreachable(verb, path, rc);
    json_t *status = json_loads(answer, 0, NULL);
    free(answer);
    take_names(status, out_box);
    take_lan(status, out_box);
    take_dns(status, out_box);
    const char *mode = json_string_value(json_object_get(status, "mode"));
    out_box->own_name_only = mode && strcmp(mode, "own-name-only") == 0;
    json_decref(status);
    return NP_EXIT_OK;
}

void np_ask_box_free(struct np_ask_box *box)
{
    if (!box)
        return;
    for (size_t i = 0; i < box->name_count; i++)
        free(box->names[i]);
    for (size_t i = 0; i < box->lan_count; i++)
        free(box->lan[i]);
    free(box);
}
