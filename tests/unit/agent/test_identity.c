/* The keys a box makes for itself, with a kernel that gives every box the same bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/identity/identity.h"

#define PAIRS 1000

static const uint8_t kernel[48] = "the same bytes at every box's first boot";

/* A box's first boot and its next one: identity key, and the TLS key after HQ's seed (NULL: none came). */
struct box {
    struct np_state state;
    struct np_private_key later; /* the TLS key that it makes after another boot */
};

static void live(struct box *box, const uint8_t *secret, const uint8_t *seed)
{
    struct np_entropy entropy;
    memset(box, 0, sizeof *box);
    np_entropy_init_seed(&entropy, kernel, sizeof kernel);
    np_identity_seed(&entropy, secret, &box->state);
    np_identity_make(&entropy, &box->state);
    if (seed)
        np_entropy_mix(&entropy, "hq-seed", seed, 32);
    np_identity_make_next(&entropy, &box->state);
    np_entropy_init_seed(&entropy, kernel, sizeof kernel);
    np_identity_seed(&entropy, secret, &box->state);
    struct np_private_key first = box->state.next;
    np_identity_make_next(&entropy, &box->state);
    box->later = box->state.next;
    box->state.next = first;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, NP_KEY_SCALAR_LEN);
}

/* 1,000 pairs whose factory secrets differ in one bit: no key is there twice, of all that 2,000 boxes made. */
static void secrets_tell_boxes_apart(void **state)
{
    (void)state;
    uint8_t(*keys)[NP_KEY_SCALAR_LEN] = calloc(PAIRS * 2 * 3, sizeof *keys);
    struct box *box = malloc(sizeof *box);
    size_t count = 0;
    assert_true(keys && box);
    for (uint32_t i = 0; i < PAIRS * 2; i++) {
        uint8_t secret[NP_IDENTITY_SECRET_LEN] = {0};
        uint32_t pair = i / 2;
        memcpy(secret, &pair, sizeof pair);
        secret[31] = (uint8_t)(i % 2);
        live(box, secret, NULL);
        memcpy(keys[count++], box->state.identity.scalar, NP_KEY_SCALAR_LEN);
        memcpy(keys[count++], box->state.next.scalar, NP_KEY_SCALAR_LEN);
        memcpy(keys[count++], box->later.scalar, NP_KEY_SCALAR_LEN);
    }
    qsort(keys, count, sizeof *keys, compare);
    for (size_t i = 1; i < count; i++)
        assert_memory_not_equal(keys[i - 1], keys[i], NP_KEY_SCALAR_LEN);
    free(box);
    free(keys);
}

/* Without a secret, HQ's seed tells them apart from the first TLS key on; where everything is equal, so are the keys:
 * then HQ refuses the second box's (tests/unit/hq/test_api_device.c, key-reused). */
static void seed_tells_boxes_apart(void **state)
{
    (void)state;
    static const uint8_t one_seed[32] = "one", other_seed[32] = "other";
    struct box *boxes = calloc(3, sizeof *boxes);
    assert_non_null(boxes);
    live(&boxes[0], NULL, one_seed);
    live(&boxes[1], NULL, other_seed);
    live(&boxes[2], NULL, one_seed);
    assert_memory_equal(&boxes[0].state.identity, &boxes[1].state.identity, sizeof boxes[0].state.identity);
    assert_memory_not_equal(boxes[0].state.next.scalar, boxes[1].state.next.scalar, NP_KEY_SCALAR_LEN);
    assert_memory_equal(&boxes[0].state.next, &boxes[2].state.next, sizeof boxes[0].state.next);
    free(boxes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(secrets_tell_boxes_apart),
                                       cmocka_unit_test(seed_tells_boxes_apart)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
