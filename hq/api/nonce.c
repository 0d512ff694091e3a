#include "hq/api/nonce.h"

#include "hq/crypto.h"
#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define SIGNED_LEN 16 /* time and random */
#define MAC_LEN    16

void np_nonce_make(const uint8_t key[32], int64_t now_us, const uint8_t random[8], char out_nonce[NP_NONCE_MAX + 1])
{
    uint8_t bytes[SIGNED_LEN + MAC_LEN], mac[32];
    struct np_writer w = np_writer_make(bytes, sizeof bytes);
    np_write_u64(&w, (uint64_t)now_us);
    np_write_bytes(&w, random, 8);
    np_hq_hmac(key, 32, bytes, SIGNED_LEN, mac);
    np_write_bytes(&w, mac, MAC_LEN);
    np_base64url_encode(bytes, sizeof bytes, out_nonce);
}

int np_nonce_check(const uint8_t key[32], int64_t now_us, const char *nonce, int64_t *out_issued_us)
{
    uint8_t bytes[SIGNED_LEN + MAC_LEN], mac[32];
    if (np_base64url_decode_exact(nonce, bytes, sizeof bytes))
        return NP_E_SIGNATURE;
    np_hq_hmac(key, 32, bytes, SIGNED_LEN, mac);
    if (!np_equal_constant_time(mac, bytes + SIGNED_LEN, MAC_LEN))
        return NP_E_SIGNATURE;
    struct np_reader r = np_reader_make(bytes, sizeof bytes);
    int64_t issued_us = (int64_t)np_read_u64(&r);
    if (issued_us > now_us + NP_NONCE_SKEW_US || issued_us < now_us - NP_NONCE_LIFE_US)
        return NP_E_STALE;
    *out_issued_us = issued_us;
    return 0;
}

bool np_nonce_follows(int64_t issued_us, int64_t last_us, int64_t now_us)
{
    return issued_us > last_us || last_us > now_us + NP_NONCE_SKEW_US;
}

int64_t np_nonce_next(int64_t last_us, int64_t now_us)
{
    return now_us > last_us || last_us > now_us + NP_NONCE_SKEW_US ? now_us : last_us + 1;
}

int64_t np_nonce_seen(int64_t last_us, int64_t seen_us, int64_t now_us)
{
    return seen_us > last_us && seen_us <= now_us + NP_NONCE_SKEW_US ? seen_us : last_us;
}
