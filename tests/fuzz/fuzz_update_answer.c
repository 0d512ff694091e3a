/* hq/zone/tsig and update: whatever a name server (or somebody in its place) answers to an update or a transfer is read
 * without harm, and a message that nobody has signed is never believed. The first byte chooses: one answer, or a stream
 * of two messages cut at the second byte. */
#include <stdlib.h>
#include <string.h>

#include "hq/zone/tsig.h"
#include "hq/zone/update.h"
#include "resolver/base/error.h"

#define NOW_S 1790000000 /* when the corpus was signed */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const struct np_tsig_key *key, const uint8_t *mac, const uint8_t *message, size_t len)
{
    struct np_update_verdict verdict = {.outcome = NP_OUTBOX_UNSENT};
    int rc = np_update_judge(key, "devices.example", mac, 32, message, len, NOW_S, &verdict);
    if (rc && rc != NP_E_SIGNATURE)
        abort();
    if (rc == 0 && (!memchr(verdict.why, 0, sizeof verdict.why) || verdict.outcome == NP_OUTBOX_UNSENT))
        abort();
}

static void stream(const struct np_tsig_key *key, const uint8_t *mac, const uint8_t *data, size_t size)
{
    struct np_tsig_check check;
    struct np_tsig_answer answer;
    size_t first = size ? data[0] : 0;
    if (size < 1 || first > size - 1)
        return;
    np_tsig_check_init(&check, key, mac, 32);
    (void)np_tsig_check(&check, data + 1, first, NOW_S, &answer);
    (void)np_tsig_check(&check, data + 1 + first, size - 1 - first, NOW_S, &answer);
    np_tsig_check_deinit(&check);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "hmac-sha256:hq:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
    static const uint8_t mac[32] = {1, 2, 3};
    static struct np_tsig_key key;
    if (key.secret_len == 0 && np_tsig_key_parse(text, &key))
        abort();
    if (size == 0 || size > 65536)
        return 0;
    if (data[0] & 1)
        stream(&key, mac, data + 1, size - 1);
    else
        judge(&key, mac, data + 1, size - 1);
    return 0;
}
