/* backend: what publishes the zone: the built-in DNS server (zone/builtin.c), or UPDATE to other name servers
 * (zone/rfc2136.c). zone.c owns what both work with and calls them. */
#ifndef HQ_ZONE_BACKEND_H
#define HQ_ZONE_BACKEND_H

#include "hq/store/store.h"
#include "hq/zone/challenges.h"
#include "hq/zone/tsig.h"
#include "hq/zone/zone.h"

/* What zone.c owns and a backend uses. */
struct np_zone_core {
    uv_loop_t *loop;
    struct np_zone_config config;
    struct np_zone_accounts accounts;
    struct np_store *store; /* borrowed */
    struct np_challenges challenges;
    bool (*allowed)(void *ctx); /* may other name servers be written to now? NULL: always */
    void *allowed_ctx;
};

/* A backend: its functions, called with its own self. */
struct np_zone_backend {
    void *self;
    /* Begins. 0 or -errno. */
    int (*start)(void *self);
    /* There may be dirty names, or changed challenges. */
    void (*wake)(void *self);
    /* An account has changed. */
    void (*account)(void *self);
    /* Is everything published from now on? */
    bool (*ready)(const void *self);
    /* Of the DNS child; 0: none. */
    int (*child_pid)(const void *self);
    /* What each updated server does, at most max of them; returns their number. NULL: none is updated. */
    size_t (*report)(const void *self, struct np_zone_update_report *out, size_t max);
    /* Ends and frees; done(ctx) is called from the loop. */
    void (*close)(void *self, void (*done)(void *ctx), void *ctx);
};

/* Makes the built-in server: opens its sockets. core is borrowed. Returns 0, or an error with a sentence in error. */
int np_builtin_new(struct np_zone_core *core, struct np_zone_backend *out_backend, char error[NP_ZONE_ERROR_MAX]);

/* Makes the publisher to other name servers: reads the keys. core is borrowed. Returns 0, or an error with a sentence
 * in error. */
int np_rfc2136_new(struct np_zone_core *core, struct np_zone_backend *out_backend, char error[NP_ZONE_ERROR_MAX]);

/* Loads a TSIG key from its file. Returns 0, or an error with a sentence in error. */
int np_zone_key_load(const char *path, struct np_tsig_key *out_key, char error[NP_ZONE_ERROR_MAX]);

#endif
