#include "hq/api/nonce.h"

#include "hq/crypto.h"
#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"

#define SIGNED_LEN 16 /* time and random */
#define MAC_LEN    16
/* Two nonces of one microsecond are kept apart by moving the later one ahead: it may be a little in the future. */
#define AHEAD_US INT64_C(1000000)

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
    if (issued_us > now_us + AHEAD_US || issued_us < now_us - NP_NONCE_LIFE_US)
        return NP_E_STALE;
    *out_issued_us = issued_us;
    return 0;
}
