/* hq_driver: the zone and the issuance without HQ's front door, driven by lines on standard input. For tests/net.
 *
 *     hq_driver CONFIG          (and, started by itself, hq_driver child-dns)
 *
 *     device NAME [ADDRESS...]  a device with that label, or new addresses for it
 *     order NAME [wildcard]     makes a key and a CSR, and stores an order for the device
 *     retire NAME               the device's name goes
 *     leave NAME                the device leaves, with all that follows
 *     challenge NAME [VALUE...] sets challenge values
 *     quit
 *
 * Prints one line an event: "zone ready PID", "zone down", "order NAME STATE", "chain NAME FILE". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include "hq/acme/issuance.h"
#include "hq/acme/key.h"
#include "hq/acme/queue.h"
#include "hq/config.h"
#include "hq/store/store.h"
#include "hq/zone/zone.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/base/random.h"
#include "resolver/base/text.h"

#define ORDERS_MAX 512

/* An order whose state is told when it changes. */
struct watched {
    char id[NP_DEVICE_ID_MAX + 1];
    char name[NP_NAME_MAX + 1];
    enum np_order_state state;
};

struct driver {
    uv_loop_t loop;
    struct np_zone_config zone_config;
    struct np_store *store;
    struct np_zone *zone;
    struct np_issuance *issuance;
    uv_prepare_t turn;
    uv_timer_t tick;
    uv_poll_t input;
    char folder[512];
    char line[1024];
    size_t line_len;
    struct watched watched[ORDERS_MAX];
    size_t watched_count;
    bool ready;
};

static void die(const char *what, int rc)
{
    np_error("%s: %s", what, np_strerror(rc));
    exit(1);
}

static void must(const char *what, int rc)
{
    if (rc)
        die(what, rc);
}

/* ---- Telling ---- */

static int watch_order(void *ctx, const struct np_order *order)
{
    struct driver *driver = ctx;
    if (driver->watched_count < ORDERS_MAX) {
        struct watched *watched = &driver->watched[driver->watched_count++];
        memcpy(watched->id, order->id, sizeof watched->id);
        memcpy(watched->name, order->authorizations[0].name, sizeof watched->name);
        watched->state = order->state;
    }
    return 0;
}

static void write_chain(struct driver *driver, const struct np_order *order)
{
    static struct np_package package;
    char path[1024];
    if (np_store_package_newest(driver->store, order->device, order->key, &package))
        return;
    snprintf(path, sizeof path, "%s/%s.pem", driver->folder, order->authorizations[0].name);
    FILE *file = fopen(path, "w");
    if (!file)
        return;
    fputs(package.chain, file);
    fclose(file);
    printf("chain %s %s %lld\n", order->authorizations[0].name, path, (long long)package.n);
}

static void on_tick(uv_timer_t *timer)
{
    struct driver *driver = timer->data;
    bool ready = np_zone_ready(driver->zone);
    if (ready && !driver->ready)
        printf("zone ready %d\n", np_zone_child_pid(driver->zone));
    if (!ready && driver->ready)
        printf("zone down\n");
    driver->ready = ready;
    for (size_t i = 0; i < driver->watched_count; i++) {
        struct watched *watched = &driver->watched[i];
        struct np_order order;
        if (watched->state == NP_ORDER_DONE || np_store_order_get(driver->store, watched->id, &order) ||
            order.state == watched->state)
            continue;
        watched->state = order.state;
        if (order.state == NP_ORDER_DONE)
            write_chain(driver, &order);
        printf("order %s %s\n", watched->name, np_order_state_name(order.state));
    }
}

static void on_turn(uv_prepare_t *turn)
{
    struct driver *driver = turn->data;
    np_store_commit(driver->store);
    unsigned events = np_store_take_events(driver->store);
    if (events & NP_STORE_NAMES_CHANGED)
        np_zone_wake(driver->zone);
    if (events & NP_STORE_ORDERS_CHANGED)
        np_issuance_wake(driver->issuance);
    if (events & NP_STORE_REVOCATIONS_CHANGED)
        np_issuance_wake_revoker(driver->issuance);
}

/* ---- Commands ---- */

/* "<prefix><label>.<zone>"; a label that makes it too long is the test's mistake. */
static void full_name(const struct driver *driver, const char *prefix, const char *label, char out[NP_NAME_MAX + 1])
{
    char name[NP_NAME_MAX * 2 + 8];
    int n = snprintf(name, sizeof name, "%s%.63s.%s", prefix, label, driver->zone_config.origin);
    if (n > NP_NAME_MAX)
        die(label, NP_E_LIMIT);
    memcpy(out, name, (size_t)n + 1);
}

static void device_id(const char *label, char id[NP_DEVICE_ID_MAX + 1])
{
    uint8_t hash[32];
    np_acme_sha256(label, strlen(label), hash);
    np_hex_encode(hash, 8, id);
}

static void add_addresses(struct np_addresses *addresses, char *text)
{
    for (char *save = NULL, *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
        struct np_addr addr;
        if (np_addr_parse(word, &addr))
            continue;
        if (addr.family == AF_INET && addresses->v4_count < NP_STORE_V4_MAX)
            addresses->v4[addresses->v4_count++] = addr;
        if (addr.family == AF_INET6 && addresses->v6_count < NP_STORE_V6_MAX)
            addresses->v6[addresses->v6_count++] = addr;
    }
}

static void set_device(struct driver *driver, const char *label, char *addresses, enum np_device_state state)
{
    struct np_device device = {.credential = NP_CREDENTIAL_OPEN};
    char id[NP_DEVICE_ID_MAX + 1];
    device_id(label, id);
    bool known = np_store_device_get(driver->store, id, &device) == 0;
    memset(&device.published, 0, sizeof device.published);
    add_addresses(&device.published, addresses);
    device.stated = device.published;
    device.state = state;
    if (!known) {
        memcpy(device.id, id, sizeof device.id);
        np_random_bytes(&device.identity, sizeof device.identity);
        np_random_bytes(device.thumbprint, sizeof device.thumbprint);
        np_random_bytes(device.epoch, sizeof device.epoch);
        full_name(driver, "", label, device.name);
    }
    must("device",
         known ? np_store_device_update(driver->store, &device) : np_store_device_add(driver->store, &device));
}

static void make_csr(struct np_order *order)
{
    char names[600] = "";
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *request = X509_REQ_new();
    STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
    for (size_t i = 0; i < order->authorization_count; i++) {
        size_t len = strlen(names);
        snprintf(names + len, sizeof names - len, "%sDNS:%s", i ? "," : "", order->authorizations[i].name);
    }
    sk_X509_EXTENSION_push(extensions, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names));
    X509_REQ_add_extensions(request, extensions);
    X509_REQ_set_pubkey(request, key);
    X509_REQ_sign(request, key, EVP_sha256());
    uint8_t *der = NULL;
    int len = i2d_X509_REQ(request, &der);
    if (len <= 0 || len > NP_CSR_MAX)
        die("CSR", NP_E_LIMIT);
    memcpy(order->csr, der, (size_t)len);
    order->csr_len = (size_t)len;
    np_random_bytes(order->key, sizeof order->key);
    OPENSSL_free(der);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
}

static int64_t now_ms(void)
{
    uv_timeval64_t now;
    uv_gettimeofday(&now);
    return now.tv_sec * 1000 + now.tv_usec / 1000;
}

static void add_order(struct driver *driver, const char *label, const char *rest)
{
    struct np_order order = {.state = NP_ORDER_QUEUED, .priority = NP_PRIORITY_NEW, .authorization_count = 1};
    uint8_t random[8];
    np_random_bytes(random, sizeof random);
    np_hex_encode(random, sizeof random, order.id);
    device_id(label, order.device);
    full_name(driver, "", label, order.authorizations[0].name);
    if (strcmp(rest, "wildcard") == 0)
        full_name(driver, "*.", label, order.authorizations[order.authorization_count++].name);
    make_csr(&order);
    order.created_ms = order.updated_ms = now_ms();
    must("order", np_store_order_add(driver->store, &order));
    watch_order(driver, &order);
}

static void leave(struct driver *driver, const char *label)
{
    char id[NP_DEVICE_ID_MAX + 1];
    device_id(label, id);
    must("leave", np_store_device_retire(driver->store, id, NP_REVOKE_CESSATION, now_ms()));
}

static void set_challenges(struct driver *driver, const char *label, char *text)
{
    char values[NP_ZONE_TXT_MAX][NP_ZONE_TXT_LEN + 1] = {{0}}, name[NP_NAME_MAX + 1];
    size_t count = 0;
    for (char *save = NULL, *word = strtok_r(text, " ", &save); word && count < NP_ZONE_TXT_MAX;
         word = strtok_r(NULL, " ", &save))
        snprintf(values[count++], sizeof values[0], "%s", word);
    full_name(driver, "", label, name);
    must("challenge", np_zone_set_challenges(driver->zone, name, values, count, NULL, NULL));
}

static void on_issuance_closed(void *ctx)
{
    struct driver *driver = ctx;
    np_zone_close(driver->zone, NULL, NULL);
}

static void quit(struct driver *driver)
{
    uv_close((uv_handle_t *)&driver->tick, NULL);
    uv_close((uv_handle_t *)&driver->turn, NULL);
    uv_close((uv_handle_t *)&driver->input, NULL);
    np_issuance_close(driver->issuance, on_issuance_closed, driver);
}

static void command(struct driver *driver, char *line)
{
    char *save = NULL, *verb = strtok_r(line, " ", &save), *label = strtok_r(NULL, " ", &save);
    char *rest = save && *save ? save : line + strlen(line);
    if (!verb)
        return;
    if (strcmp(verb, "quit") == 0)
        quit(driver);
    else if (!label)
        np_error("%s needs a name", verb);
    else if (strcmp(verb, "device") == 0)
        set_device(driver, label, rest, NP_DEVICE_ACTIVE);
    else if (strcmp(verb, "retire") == 0)
        set_device(driver, label, rest, NP_DEVICE_RETIRED);
    else if (strcmp(verb, "leave") == 0)
        leave(driver, label);
    else if (strcmp(verb, "order") == 0)
        add_order(driver, label, rest);
    else if (strcmp(verb, "challenge") == 0)
        set_challenges(driver, label, rest);
    else
        np_error("what is '%s'?", verb);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    struct driver *driver = poll->data;
    (void)status;
    (void)events;
    ssize_t n = read(STDIN_FILENO, driver->line + driver->line_len, sizeof driver->line - driver->line_len - 1);
    if (n <= 0) {
        quit(driver);
        return;
    }
    driver->line_len += (size_t)n;
    driver->line[driver->line_len] = 0;
    for (char *end; (end = strchr(driver->line, '\n'));) {
        *end = 0;
        command(driver, driver->line);
        driver->line_len -= (size_t)(end + 1 - driver->line);
        memmove(driver->line, end + 1, driver->line_len + 1);
    }
}

int main(int argc, char **argv)
{
    static struct driver driver;
    struct np_config *config;
    struct np_issuance_config issuance;
    char error[NP_CONFIG_ERROR_MAX] = "", zone_error[NP_ZONE_ERROR_MAX] = "";
    if (argc == 2 && strcmp(argv[1], "child-dns") == 0)
        return np_zone_child_main();
    setvbuf(stdout, NULL, _IOLBF, 0);
    np_log_init("hq_driver", NP_LOG_DEBUG);
    if (argc != 2 || np_config_load(argv[1], np_hq_config_keys(), &config, error) ||
        np_zone_config_load(config, &driver.zone_config, error) || np_issuance_config_load(config, &issuance, error) ||
        np_store_open(np_config_string(config, "database"), false, &driver.store, error, sizeof error)) {
        np_error("%s", error);
        return 2;
    }
    snprintf(driver.folder, sizeof driver.folder, "%s", issuance.secrets);
    uv_loop_init(&driver.loop);
    if (np_zone_new(&driver.loop, &driver.zone_config, driver.store, &driver.zone, zone_error)) {
        np_error("%s", zone_error);
        return 2;
    }
    must("zone", np_zone_start(driver.zone));
    must("issuance", np_issuance_new(&driver.loop, &issuance, driver.store, driver.zone, &driver.issuance));
    np_store_orders_under_way(driver.store, watch_order, &driver);
    np_store_queue_refill(driver.store, now_ms());
    for (size_t i = 0; i < NP_QUEUE_LANES; i++)
        np_store_queue_each(driver.store, np_queue_lane(i), ORDERS_MAX, watch_order, &driver);
    must("issuance", np_issuance_load(driver.issuance));
    np_issuance_start(driver.issuance);
    uv_prepare_init(&driver.loop, &driver.turn);
    uv_timer_init(&driver.loop, &driver.tick);
    uv_poll_init(&driver.loop, &driver.input, STDIN_FILENO);
    driver.turn.data = driver.tick.data = driver.input.data = &driver;
    uv_prepare_start(&driver.turn, on_turn);
    uv_timer_start(&driver.tick, on_tick, 5, 5);
    uv_poll_start(&driver.input, UV_READABLE, on_input);
    uv_run(&driver.loop, UV_RUN_DEFAULT);
    uv_loop_close(&driver.loop);
    np_store_close(driver.store);
    np_config_free(config);
    return 0;
}
