#include "agent/tls/server_check.h"

#include <stdlib.h>
#include <string.h>

#include "agent/certificate/x509.h"
#include "agent/tls/profile.h"

#define LEAF_MAX 16384 /* bytes of a leaf that is held back; a longer one is judged at the time as it is */

static struct np_server_check *check_of(const br_x509_class **ctx)
{
    return (struct np_server_check *)(void *)ctx;
}

static const br_x509_class **strict_of(struct np_server_check *check)
{
    return &check->engine.strict.vtable;
}

static void drop_leaf(struct np_server_check *check)
{
    free(check->leaf);
    check->leaf = NULL;
    check->leaf_len = check->leaf_size = 0;
}

/* The strict check. */

static void strict_start_chain(const br_x509_class **ctx, const char *server_name)
{
    struct np_server_check *check = check_of(ctx);
    drop_leaf(check);
    check->certificate = 0;
    (*strict_of(check))->start_chain(strict_of(check), server_name);
}

static void strict_start_cert(const br_x509_class **ctx, uint32_t length)
{
    struct np_server_check *check = check_of(ctx);
    if (check->certificate == 0 && !check->rules.clock_believed && length <= LEAF_MAX &&
        (check->leaf = malloc(length ? length : 1)) != NULL) {
        check->leaf_size = length;
        return;
    }
    (*strict_of(check))->start_cert(strict_of(check), length);
}

static void strict_append(const br_x509_class **ctx, const unsigned char *data, size_t len)
{
    struct np_server_check *check = check_of(ctx);
    if (!check->leaf) {
        (*strict_of(check))->append(strict_of(check), data, len);
        return;
    }
    size_t room = check->leaf_size - check->leaf_len;
    size_t taken = len < room ? len : room;
    memcpy(check->leaf + check->leaf_len, data, taken);
    check->leaf_len += taken;
}

/* The leaf's dates are known now: it goes on, judged at the time that is right for it. */
static void release_leaf(struct np_server_check *check)
{
    struct np_x509 leaf;
    if (np_x509_parse(check->leaf, check->leaf_len, &leaf) == 0 && leaf.not_before_s > check->rules.now_s)
        np_tls_x509_set_time(&check->engine.strict, leaf.not_before_s);
    (*strict_of(check))->start_cert(strict_of(check), (uint32_t)check->leaf_len);
    (*strict_of(check))->append(strict_of(check), check->leaf, check->leaf_len);
    drop_leaf(check);
}

static void strict_end_cert(const br_x509_class **ctx)
{
    struct np_server_check *check = check_of(ctx);
    if (check->leaf)
        release_leaf(check);
    check->certificate++;
    (*strict_of(check))->end_cert(strict_of(check));
}

static unsigned strict_end_chain(const br_x509_class **ctx)
{
    struct np_server_check *check = check_of(ctx);
    return (*strict_of(check))->end_chain(strict_of(check));
}

static const br_x509_pkey *strict_get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    const struct np_server_check *check = (const struct np_server_check *)(const void *)ctx;
    return check->engine.strict.vtable->get_pkey(&check->engine.strict.vtable, usages);
}

/* No check: the leaf's key is all that is read. */

static void unchecked_start_chain(const br_x509_class **ctx, const char *server_name)
{
    struct np_server_check *check = check_of(ctx);
    (void)server_name;
    check->certificate = 0;
    br_sha256_init(&check->digest);
    br_x509_decoder_init(&check->engine.unchecked, NULL, NULL);
}

static void unchecked_start_cert(const br_x509_class **ctx, uint32_t length)
{
    (void)ctx;
    (void)length;
}

static void unchecked_append(const br_x509_class **ctx, const unsigned char *data, size_t len)
{
    struct np_server_check *check = check_of(ctx);
    if (check->certificate > 0)
        return;
    br_x509_decoder_push(&check->engine.unchecked, data, len);
    br_sha256_update(&check->digest, data, len);
}

static void unchecked_end_cert(const br_x509_class **ctx)
{
    check_of(ctx)->certificate++;
}

static unsigned unchecked_end_chain(const br_x509_class **ctx)
{
    struct np_server_check *check = check_of(ctx);
    if (check->certificate == 0)
        return BR_ERR_X509_EMPTY_CHAIN;
    int error = br_x509_decoder_last_error(&check->engine.unchecked);
    return error > 0 ? (unsigned)error : 0;
}

static const br_x509_pkey *unchecked_get_pkey(const br_x509_class *const *ctx, unsigned *usages)
{
    struct np_server_check *check = (struct np_server_check *)(uintptr_t)ctx;
    if (usages)
        *usages = BR_KEYTYPE_KEYX | BR_KEYTYPE_SIGN;
    return br_x509_decoder_get_pkey(&check->engine.unchecked);
}

static const br_x509_class strict_class = {
    .context_size = sizeof(struct np_server_check),
    .start_chain = strict_start_chain,
    .start_cert = strict_start_cert,
    .append = strict_append,
    .end_cert = strict_end_cert,
    .end_chain = strict_end_chain,
    .get_pkey = strict_get_pkey,
};

static const br_x509_class unchecked_class = {
    .context_size = sizeof(struct np_server_check),
    .start_chain = unchecked_start_chain,
    .start_cert = unchecked_start_cert,
    .append = unchecked_append,
    .end_cert = unchecked_end_cert,
    .end_chain = unchecked_end_chain,
    .get_pkey = unchecked_get_pkey,
};

void np_server_check_init(struct np_server_check *check, const struct np_server_check_rules *rules,
                          br_ssl_client_context *client)
{
    memset(check, 0, sizeof *check);
    check->rules = *rules;
    check->vtable = rules->anchors ? &strict_class : &unchecked_class;
    if (rules->anchors)
        np_tls_x509_init(&check->engine.strict, rules->anchors, rules->now_s);
    br_ssl_engine_set_x509(&client->eng, &check->vtable);
}

void np_server_check_deinit(struct np_server_check *check)
{
    drop_leaf(check);
}
