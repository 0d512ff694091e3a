/* nameplate-hq: the manufacturer's server and its operator's verbs. */
#include <errno.h>
#include <getopt.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "hq/crypto.h"
#include "hq/init.h"
#include "hq/listing.h"
#include "hq/secrets.h"
#include "hq/server.h"
#include "hq/store/store.h"
#include "hq/usage.h"
#include "hq/zone/zone.h"
#include "hq/zonecheck.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_DIFFERS = 3 };

static int usage_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

static int usage_error(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("nameplate-hq: ", stderr);
    vfprintf(stderr, format, args);
    fputs("; see nameplate-hq --help\n", stderr);
    va_end(args);
    return EXIT_USAGE;
}

/* After a message of getopt's, which began with the same title: "nameplate-hq VERB". */
static int see_help(const char *title)
{
    fprintf(stderr, "see %s --help\n", title);
    return EXIT_USAGE;
}

static int failed(const char *text)
{
    fprintf(stderr, "nameplate-hq: %s\n", text);
    return EXIT_FAILED;
}

/* ---- init ---- */

enum init_option {
    OPT_ZONE = 256,
    OPT_URL,
    OPT_DIR,
    OPT_NAMESERVER,
    OPT_ADDRESS,
    OPT_LISTEN,
    OPT_DNS_LISTEN,
    OPT_ENROL,
    OPT_DIRECTORY,
    OPT_ANCHORS,
    OPT_CONTACT,
    OPT_AGREE,
    OPT_USER
};

static bool append(const char **list, size_t *count)
{
    if (*count == NP_INIT_LIST_MAX)
        return false;
    list[(*count)++] = optarg;
    return true;
}

static bool take_option(struct np_init_options *o, int option)
{
    switch (option) {
    case OPT_ZONE:
        o->zone = optarg;
        return true;
    case OPT_URL:
        o->url = optarg;
        return true;
    case OPT_DIR:
        o->folder = optarg;
        return true;
    case OPT_NAMESERVER:
        return append(o->nameservers, &o->nameserver_count);
    case OPT_ADDRESS:
        return append(o->addresses, &o->address_count);
    case OPT_LISTEN:
        return append(o->listen, &o->listen_count);
    case OPT_DNS_LISTEN:
        return append(o->dns_listen, &o->dns_listen_count);
    case OPT_ENROL:
        return append(o->enrol, &o->enrol_count);
    case OPT_DIRECTORY:
        o->directory = optarg;
        return true;
    case OPT_ANCHORS:
        o->acme_anchors = optarg;
        return true;
    case OPT_CONTACT:
        o->acme_contact = optarg;
        return true;
    case OPT_USER:
        o->user = optarg;
        return true;
    case OPT_AGREE:
        o->terms_agreed = true;
        return true;
    default:
        return false;
    }
}

/* Asks a person; who runs a script says --agree-tos or edits the file. */
static void ask_consent(struct np_init_options *options)
{
    char answer[16] = "";
    if (options->terms_agreed || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return;
    printf("Certificates come from %s.\nHave you read its terms of service, and do you agree to them? [y/N] ",
           options->directory ? options->directory : NP_INIT_ACME_DIRECTORY);
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin))
        options->terms_agreed = answer[0] == 'y' || answer[0] == 'Y';
}

static int run_init(int argc, char **argv)
{
    static const struct option table[] = {{"zone", required_argument, NULL, OPT_ZONE},
                                          {"url", required_argument, NULL, OPT_URL},
                                          {"dir", required_argument, NULL, OPT_DIR},
                                          {"nameserver", required_argument, NULL, OPT_NAMESERVER},
                                          {"address", required_argument, NULL, OPT_ADDRESS},
                                          {"listen", required_argument, NULL, OPT_LISTEN},
                                          {"dns-listen", required_argument, NULL, OPT_DNS_LISTEN},
                                          {"enrol", required_argument, NULL, OPT_ENROL},
                                          {"acme-directory", required_argument, NULL, OPT_DIRECTORY},
                                          {"acme-anchors", required_argument, NULL, OPT_ANCHORS},
                                          {"acme-contact", required_argument, NULL, OPT_CONTACT},
                                          {"agree-tos", no_argument, NULL, OPT_AGREE},
                                          {"user", required_argument, NULL, OPT_USER},
                                          {NULL, 0, NULL, 0}};
    struct np_init_options options = {0};
    char error[NP_INIT_ERROR_MAX];
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == '?')
            return see_help(argv[0]);
        if (!take_option(&options, option))
            return usage_error("an option is given more than %d times", NP_INIT_LIST_MAX);
    }
    if (optind < argc)
        return usage_error("init: '%s' is not expected", argv[optind]);
    if (!options.zone || !options.url || !options.folder)
        return usage_error("init needs --zone, --url and --dir");
    ask_consent(&options);
    if (np_init(&options, error))
        return failed(error);
    np_init_print_next(&options);
    return EXIT_SUCCESS;
}

/* ---- What the other verbs share ---- */

/* Reads --config and --json, and leaves what else there is in argv[optind...]. */
static int read_options(int argc, char **argv, const char **out_config, bool *out_json)
{
    static const struct option table[] = {
        {"config", required_argument, NULL, 'c'}, {"json", no_argument, NULL, 'j'}, {NULL, 0, NULL, 0}};
    int option;
    *out_config = NP_HQ_CONFIG_DEFAULT;
    *out_json = false;
    while ((option = getopt_long(argc, argv, "c:", table, NULL)) != -1) {
        if (option == 'c')
            *out_config = optarg;
        else if (option == 'j')
            *out_json = true;
        else
            return see_help(argv[0]);
    }
    return 0;
}

static int load_config(const char *path, struct np_config **out_config, struct np_hq_config *out_values)
{
    char error[NP_CONFIG_ERROR_MAX];
    int rc = np_config_load(path, np_hq_config_keys(), out_config, error);
    if (rc)
        return failed(error);
    rc = np_hq_config_read(*out_config, out_values, error);
    if (rc == 0)
        return 0;
    np_config_free(*out_config);
    return failed(error);
}

/* ---- device list, factory-secret ---- */

static int run_device_list(const char *config_path, bool json)
{
    struct np_config *config;
    struct np_hq_config values;
    struct np_store *store;
    char error[1024];
    int status = load_config(config_path, &config, &values);
    if (status)
        return status;
    np_config_free(config);
    if (np_store_open(values.database, true, &store, error, sizeof error))
        return failed(error);
    int rc = json ? np_listing_json(store) : np_listing_table(store);
    if (rc)
        failed(rc == NP_E_STORE ? np_store_error(store) : np_strerror(rc));
    np_store_close(store);
    return rc ? EXIT_FAILED : EXIT_SUCCESS;
}

static int run_device(int argc, char **argv)
{
    const char *config;
    bool json;
    int status = read_options(argc, argv, &config, &json);
    if (status)
        return status;
    if (optind + 1 != argc || strcmp(argv[optind], "list") != 0)
        return usage_error("the verb is 'device list'");
    return run_device_list(config, json);
}

static int run_factory_secret(int argc, char **argv)
{
    struct np_config *config;
    struct np_hq_config values;
    uint8_t master[32], secret[32];
    char hex[NP_HEX_LEN(32)], error[NP_SECRETS_ERROR_MAX];
    const char *config_path;
    bool json;
    int status = read_options(argc, argv, &config_path, &json);
    if (status)
        return status;
    if (optind + 1 != argc || json)
        return usage_error("factory-secret needs one serial number");
    const char *serial = argv[optind];
    /* The file is read by the same parser as a configuration: nothing that would need quoting there. */
    size_t good = strspn(serial, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-:/");
    if (!*serial || serial[good] || strlen(serial) > NP_SERIAL_MAX)
        return usage_error("a serial number has 1 to %d letters, digits and . _ - : /", NP_SERIAL_MAX);
    status = load_config(config_path, &config, &values);
    if (status)
        return status;
    np_config_free(config);
    if (np_secrets_load_master(values.secrets, master, error))
        return failed(error);
    np_hq_factory_secret(master, serial, secret);
    np_hex_encode(secret, sizeof secret, hex);
    printf("serial = \"%s\"\nsecret = %s\n", serial, hex);
    np_wipe(master, sizeof master);
    np_wipe(secret, sizeof secret);
    np_wipe(hex, sizeof hex);
    return EXIT_SUCCESS;
}

/* ---- zone check, zone repair ---- */

static int check_zone(const struct np_zone_config *zone, struct np_store *store, bool repair, bool json)
{
    struct np_zonecheck check;
    char error[NP_ZONE_ERROR_MAX];
    int rc = np_zonecheck_run(store, zone, &check, error);
    int status = rc ? failed(error) : EXIT_SUCCESS;
    if (rc == 0 && repair && (rc = np_zonecheck_repair(store, &check)))
        status = failed(np_store_error(store));
    if (rc == 0) {
        if (!json)
            np_zonecheck_print(&check);
        else if ((rc = np_zonecheck_print_json(&check)))
            status = failed(np_strerror(rc));
        if (rc == 0 && !np_zonecheck_complete(&check))
            status = EXIT_FAILED;
        else if (rc == 0 && !repair && !np_zonecheck_agrees(&check))
            status = EXIT_DIFFERS;
    }
    np_zonecheck_deinit(&check);
    return status;
}

static int run_zone(int argc, char **argv)
{
    struct np_config *config;
    struct np_hq_config values;
    struct np_zone_config zone;
    struct np_store *store;
    const char *config_path;
    char error[1024];
    bool json;
    int status = read_options(argc, argv, &config_path, &json);
    if (status)
        return status;
    bool repair = optind + 1 == argc && strcmp(argv[optind], "repair") == 0;
    if (!repair && (optind + 1 != argc || strcmp(argv[optind], "check") != 0))
        return usage_error("the verb is 'zone check' or 'zone repair'");
    np_log_init("nameplate-hq", NP_LOG_WARNING);
    status = load_config(config_path, &config, &values);
    if (status)
        return status;
    int rc = np_zone_config_load(config, &zone, error);
    np_config_free(config);
    if (rc || np_store_open(values.database, !repair, &store, error, sizeof error))
        return failed(error);
    status = check_zone(&zone, store, repair, json);
    np_store_close(store);
    return status;
}

/* ---- serve ---- */

/* The running program. */
struct service {
    uv_loop_t loop;
    uv_signal_t sigterm, sigint;
    struct np_hq *hq;
    bool stopping;
};

/* sd_notify(3) by hand: one datagram to the socket that systemd names. */
static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!path || !*path || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (address.sun_path[0] == '@')
        address.sun_path[0] = 0; /* an abstract address, whose length counts */
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    if (sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&address, len) < 0)
        np_warning("the service manager could not be told '%s': %s", text, np_strerror(-errno));
    close(fd);
}

static void on_ready(void *ctx, const char *listening)
{
    (void)ctx;
    np_notice("ready: %s", listening);
    notify("READY=1");
}

static void on_stopped(void *ctx)
{
    struct service *service = ctx;
    uv_close((uv_handle_t *)&service->sigterm, NULL);
    uv_close((uv_handle_t *)&service->sigint, NULL);
}

static void stop(struct service *service)
{
    if (service->stopping)
        return;
    service->stopping = true;
    np_hq_stop(service->hq, on_stopped, service);
}

static void on_signal(uv_signal_t *handle, int number)
{
    np_notice("stopping: %s", number == SIGTERM ? "SIGTERM" : "SIGINT");
    notify("STOPPING=1");
    stop(handle->data);
}

/* Looks up the user to become: -1 and -1 where none is configured. */
static int find_user(const char *name, uid_t *out_uid, gid_t *out_gid)
{
    *out_uid = (uid_t)-1;
    *out_gid = (gid_t)-1;
    if (!*name)
        return 0;
    if (geteuid() != 0) {
        np_error("user = %s: only root can become another user; start as root, or take the line out", name);
        return EXIT_FAILED;
    }
    const struct passwd *entry = getpwnam(name);
    if (!entry) {
        np_error("user = %s: there is no such user; 'adduser --system %s' makes one", name, name);
        return EXIT_FAILED;
    }
    *out_uid = entry->pw_uid;
    *out_gid = entry->pw_gid;
    return 0;
}

static int drop_privileges(uid_t uid, gid_t gid)
{
    if (uid == (uid_t)-1)
        return 0;
    if (setgroups(0, NULL) || setresgid(gid, gid, gid) || setresuid(uid, uid, uid))
        return -errno;
    return 0;
}

static int start(struct service *service, const struct np_config *config, uid_t uid, gid_t gid)
{
    char error[NP_HQ_ERROR_MAX] = "";
    int rc = np_hq_new(&service->loop, config, uid, gid, &service->hq, error);
    if (rc) {
        np_error("%s", error);
        return rc;
    }
    rc = drop_privileges(uid, gid);
    if (rc) {
        np_error("privileges cannot be dropped: %s", np_strerror(rc));
        return rc;
    }
    prctl(PR_SET_DUMPABLE, 0); /* keys are in this process: no core, no ptrace by the same user */
    rc = np_hq_start(service->hq, on_ready, NULL, error);
    if (rc)
        np_error("%s", error);
    return rc;
}

static int serve(const struct np_config *config, const struct np_hq_config *values)
{
    struct service service = {0};
    uid_t uid;
    gid_t gid;
    if (find_user(values->user, &uid, &gid))
        return EXIT_FAILED;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a limit on files is to be an error like a full disk */
    uv_loop_init(&service.loop);
    uv_signal_init(&service.loop, &service.sigterm);
    uv_signal_init(&service.loop, &service.sigint);
    service.sigterm.data = service.sigint.data = &service;
    int rc = start(&service, config, uid, gid);
    if (rc == 0) {
        uv_signal_start(&service.sigterm, on_signal, SIGTERM);
        uv_signal_start(&service.sigint, on_signal, SIGINT);
    } else if (service.hq) {
        stop(&service);
    } else {
        on_stopped(&service);
    }
    uv_run(&service.loop, UV_RUN_DEFAULT);
    np_hq_free(service.hq);
    int closed = uv_loop_close(&service.loop);
    if (closed)
        np_error("internal error: the loop still has handles (%s)", np_strerror(closed));
    return rc ? EXIT_FAILED : EXIT_SUCCESS;
}

static int run_serve(int argc, char **argv)
{
    struct np_config *config;
    struct np_hq_config values;
    const char *config_path;
    bool json;
    int status = read_options(argc, argv, &config_path, &json);
    if (status)
        return status;
    if (optind != argc || json)
        return usage_error("serve: '%s' is not expected", json ? "--json" : argv[optind]);
    np_log_init("nameplate-hq", NP_LOG_INFO);
    status = load_config(config_path, &config, &values);
    if (status)
        return status;
    np_log_init("nameplate-hq", values.log_level);
    status = serve(config, &values);
    np_config_free(config);
    return status;
}

static int run_version(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        return usage_error("version takes nothing else");
    puts("nameplate-hq " NP_VERSION);
    return EXIT_SUCCESS;
}

/* Hidden: the zone's DNS server, started by serve. */
static int run_child_dns(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return np_zone_child_main();
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {
        {"init", run_init},         {"serve", run_serve},
        {"device", run_device},     {"factory-secret", run_factory_secret},
        {"zone", run_zone},         {"version", run_version},
        {"--version", run_version}, {"child-dns", run_child_dns},
    };
    char title[64];
    if (argc < 2) {
        fputs(np_hq_usage(NULL), stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0) {
        const char *text = argc > 2 ? np_hq_usage(argv[2]) : NULL;
        fputs(text ? text : np_hq_usage(NULL), stdout);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(argv[1], verbs[i].name) != 0)
            continue;
        if (wants_help(argc - 1, argv + 1) && np_hq_usage(argv[1])) {
            fputs(np_hq_usage(argv[1]), stdout);
            return EXIT_SUCCESS;
        }
        snprintf(title, sizeof title, "nameplate-hq %s", argv[1]);
        argv[1] = title; /* getopt begins its messages with it */
        return verbs[i].run(argc - 1, argv + 1);
    }
    const char *names[] = {"init", "serve", "device", "factory-secret", "zone", "version"};
    const char *near = np_nearest(argv[1], names, sizeof names / sizeof *names);
    return near ? usage_error("unknown verb '%s', did you mean '%s'?", argv[1], near)
                : usage_error("unknown verb '%s'", argv[1]);
}
