/* `nameplate-hq device block|unblock|retire|trust`: what changes a device. */
#include "hq/cli/change.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "hq/cli/find.h"
#include "hq/cli/verb.h"
#include "hq/store/audit.h"
#include "hq/store/lives.h"
#include "resolver/base/error.h"

/* One change of one device. */
struct change {
    const char *verb;   /* and the log's action */
    const char *done;   /* what a person is told */
    const char *refuse; /* where the device's state does not allow it */
    bool final;         /* asks first */
    int (*apply)(struct np_store *store, const struct np_device *device, int64_t now_ms);
};

static int block(struct np_store *store, const struct np_device *device, int64_t now_ms)
{
    return np_store_device_block(store, device->id, now_ms);
}

static int unblock(struct np_store *store, const struct np_device *device, int64_t now_ms)
{
    (void)now_ms;
    return np_store_device_unblock(store, device->id);
}

/* A blocked one stays: the block holds for its serial number, and would go with it. */
static int retire(struct np_store *store, const struct np_device *device, int64_t now_ms)
{
    if (device->state != NP_DEVICE_ACTIVE)
        return NP_E_REFUSED;
    return np_store_device_retire(store, device->id, NP_REVOKE_CESSATION, now_ms);
}

/* What it has told is forgotten: the counting begins anew. */
static int trust(struct np_store *store, const struct np_device *device, int64_t now_ms)
{
    struct np_lives lives;
    (void)now_ms;
    int rc = np_store_lives_get(store, device->id, &lives);
    if (rc == 0 && !lives.suspected_s)
        rc = NP_E_REFUSED;
    lives = (struct np_lives){.count = 0};
    return rc ? rc : np_store_lives_put(store, device->id, &lives);
}

static bool confirmed(const struct np_device *device, bool yes)
{
    char answer[16] = "";
    if (yes)
        return true;
    if (!isatty(STDIN_FILENO))
        return false;
    printf("%s will never have its name again, and its certificate is revoked. Retire it? [y/N] ", device->name);
    fflush(stdout);
    return fgets(answer, sizeof answer, stdin) && (answer[0] == 'y' || answer[0] == 'Y');
}

/* Changes the device and writes it down, both or neither. */
static int apply(struct np_store *store, const struct change *change, const char *word, const char *why, bool yes)
{
    struct np_device device;
    int64_t now_ms = (int64_t)time(NULL) * 1000;
    int status = np_find_device(store, word, &device);
    if (status)
        return status;
    if (change->final && !confirmed(&device, yes))
        return np_verb_failed("nothing was changed: say --yes where nobody can be asked");
    int rc = np_store_lock(store); /* only now: HQ does not wait for a person */
    if (rc == 0)
        rc = np_store_device_get(store, device.id, &device);
    if (rc == 0)
        rc = change->apply(store, &device, now_ms);
    if (rc == NP_E_REFUSED)
        return np_verb_failed(change->refuse);
    if (rc == 0)
        rc = np_verb_audit(store, change->verb, &device, why);
    if (rc == 0)
        rc = np_store_commit(store);
    if (rc)
        return np_verb_store_failed(store, rc);
    printf("%s %s\n", device.name, change->done);
    return EXIT_SUCCESS;
}

static int run(const struct change *change, int argc, char **argv)
{
    static const struct option table[] = {{"config", required_argument, NULL, 'c'},
                                          {"reason", required_argument, NULL, 'r'},
                                          {"yes", no_argument, NULL, 'y'},
                                          {NULL, 0, NULL, 0}};
    const char *config = NP_HQ_CONFIG_DEFAULT, *why = "";
    struct np_store *store;
    bool yes = false;
    int option;
    while ((option = getopt_long(argc, argv, "c:", table, NULL)) != -1) {
        if (option == 'c')
            config = optarg;
        else if (option == 'r')
            why = optarg;
        else if (option == 'y')
            yes = true;
        else
            return np_verb_see_help(argv[0]);
    }
    if (optind + 1 != argc)
        return np_verb_usage_error("device %s needs one device: its id, name or serial number", change->verb);
    int status = np_verb_open_store(config, false, &store);
    if (status)
        return status;
    status = apply(store, change, argv[optind], why, yes);
    np_store_close(store);
    return status;
}

int np_change_block(int argc, char **argv)
{
    static const struct change change = {NP_AUDIT_BLOCK,
                                         "is blocked: it is told to stop asking, and its name shows "
                                         "nothing; what it has stays good until its certificate ends",
                                         "it has left: there is nothing to block", false, block};
    return run(&change, argc, argv);
}

int np_change_unblock(int argc, char **argv)
{
    static const struct change change = {NP_AUDIT_UNBLOCK, "may take part again; it asks HQ when it is restarted",
                                         "it is not blocked", false, unblock};
    return run(&change, argc, argv);
}

int np_change_retire(int argc, char **argv)
{
    static const struct change change = {
        NP_AUDIT_RETIRE, "is retired: its records go, its certificate is revoked, its claim code is free",
        "only an active device can be retired: 'device unblock' a blocked one first, "
        "which lets its serial number enrol again",
        true, retire};
    return run(&change, argc, argv);
}

int np_change_trust(int argc, char **argv)
{
    static const struct change change = {NP_AUDIT_TRUST, "is no longer suspected to be a clone",
                                         "it is not suspected to be a clone", false, trust};
    return run(&change, argc, argv);
}
