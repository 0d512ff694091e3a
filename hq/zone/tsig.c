#include "hq/zone/tsig.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "resolver/base/cursor.h"
#include "resolver/base/error.h"
#include "resolver/base/text.h"
#include "resolver/message.h"

#define WORDS_MAX 8 /* of a key clause: key NAME algorithm X secret Y */

static const struct {
    const char *name;
    uint8_t wire[13];
    size_t wire_len;
    const char *digest;
    size_t mac_len;
} algorithms[] = {
    {"hmac-sha256", "\013hmac-sha256", 13, "SHA2-256", 32},
    {"hmac-sha512", "\013hmac-sha512", 13, "SHA2-512", 64},
};

const char *np_tsig_algorithm_name(enum np_tsig_algorithm algorithm)
{
    return algorithms[algorithm].name;
}

/* ---- Key files ---- */

/* Cuts text into words: white space, braces and semicolons end one; quotes hold one together (a secret may begin as a
 * comment does). Returns their number, 0 for too many or an open quote. */
static size_t split(char *text, char *words[WORDS_MAX])
{
    static const char separators[] = " \t\r\n{};";
    size_t count = 0;
    for (char *p = text; *p;) {
        bool quoted = *p == '"';
        if (strchr(separators, *p)) {
            *p++ = 0;
            continue;
        }
        if (*p == '#' || (p[0] == '/' && p[1] == '/')) {
            *p++ = 0;
            p += strcspn(p, "\n");
            continue;
        }
        if (count == WORDS_MAX)
            return 0;
        words[count++] = p += quoted;
        p += strcspn(p, quoted ? "\"" : separators);
        if (quoted && !*p)
            return 0;
        if (quoted)
            *p++ = 0;
    }
    return count;
}

/* Strict base64 with padding (RFC 4648 section 4), which libcrypto's decoder is not. */
static int decode_secret(const char *text, struct np_tsig_key *key)
{
    uint8_t bytes[NP_TSIG_SECRET_MAX + 3];
    size_t len = strlen(text), padding = 0;
    if (len > NP_TSIG_BASE64_MAX || len / 4 * 3 > sizeof bytes)
        return NP_E_LIMIT;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    if (len == 0 || len % 4 != 0 ||
        strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/") != len - padding)
        return NP_E_MALFORMED;
    int decoded = EVP_DecodeBlock(bytes, (const uint8_t *)text, (int)len);
    size_t secret_len = decoded > (int)padding ? (size_t)decoded - padding : 0;
    int rc = secret_len == 0 ? NP_E_MALFORMED : secret_len > NP_TSIG_SECRET_MAX ? NP_E_LIMIT : 0;
    if (rc == 0) {
        memcpy(key->secret, bytes, secret_len);
        key->secret_len = secret_len;
        memcpy(key->base64, text, len + 1);
    }
    np_wipe(bytes, sizeof bytes);
    return rc;
}

static int fill_key(const char *name, const char *algorithm, const char *secret, struct np_tsig_key *key)
{
    size_t len = strlen(name), i = 0;
    if (len > 1 && name[len - 1] == '.')
        len--;
    if (len == 0 || len > NP_NAME_MAX)
        return NP_E_LIMIT;
    for (size_t k = 0; k < len; k++)
        key->name[k] = name[k] >= 'A' && name[k] <= 'Z' ? (char)(name[k] + 'a' - 'A') : name[k];
    while (i < sizeof algorithms / sizeof *algorithms && strcasecmp(algorithms[i].name, algorithm) != 0)
        i++;
    if (i == sizeof algorithms / sizeof *algorithms)
        return NP_E_UNKNOWN;
    key->algorithm = (enum np_tsig_algorithm)i;
    int rc = np_name_parse(key->name, &key->wire_name);
    return rc ? rc : decode_secret(secret, key);
}

int np_tsig_key_parse(const char *text, struct np_tsig_key *out_key)
{
    struct np_tsig_key key = {.name = ""};
    char copy[NP_TSIG_FILE_MAX + 1], *words[WORDS_MAX];
    const char *algorithm = NULL, *secret = NULL, *name = NULL;
    int rc = NP_E_MALFORMED;
    if (strlen(text) > NP_TSIG_FILE_MAX)
        return NP_E_LIMIT;
    memcpy(copy, text, strlen(text) + 1);
    size_t count = split(copy, words);
    if (count == 1) {
        char *rest = words[0];
        algorithm = strsep(&rest, ":");
        name = strsep(&rest, ":");
        secret = rest;
    } else if (count == 6 && strcmp(words[0], "key") == 0) {
        name = words[1];
        for (size_t i = 2; i < 6; i += 2) {
            if (strcmp(words[i], "algorithm") == 0)
                algorithm = words[i + 1];
            if (strcmp(words[i], "secret") == 0)
                secret = words[i + 1];
        }
    }
    if (name && algorithm && secret)
        rc = fill_key(name, algorithm, secret, &key);
    if (rc == 0)
        *out_key = key;
    np_wipe(&key, sizeof key);
    np_wipe(copy, sizeof copy);
    return rc;
}

/* ---- The record ---- */

/* A TSIG as it stands in a message. Pointers go into the message. */
struct record {
    size_t pos; /* where it begins */
    struct np_name owner, algorithm;
    uint32_t ttl;
    const uint8_t *time; /* 6 bytes, and the 2 of the fudge behind them */
    uint16_t fudge, mac_len, original_id, error, other_len;
    const uint8_t *mac, *other;
    int64_t time_s;
};

static int64_t read_time(const uint8_t bytes[6])
{
    int64_t value = 0;
    for (size_t i = 0; i < 6; i++)
        value = value << 8 | bytes[i];
    return value;
}

/* RFC 8945 section 4.2. r stands before the rdata. */
static void read_rdata(struct np_reader *r, struct record *out)
{
    uint16_t rdata_len = np_read_u16(r);
    size_t end = r->pos + rdata_len;
    np_name_read(r, &out->algorithm);
    out->time = np_read_bytes(r, 6);
    out->fudge = np_read_u16(r);
    out->mac_len = np_read_u16(r);
    out->mac = np_read_bytes(r, out->mac_len);
    out->original_id = np_read_u16(r);
    out->error = np_read_u16(r);
    out->other_len = np_read_u16(r);
    out->other = np_read_bytes(r, out->other_len);
    if (!r->error && r->pos != end)
        np_reader_fail(r, NP_E_MALFORMED);
    if (!r->error)
        out->time_s = read_time(out->time);
}

/* Walks the whole message. 0 with the TSIG, NP_E_MISSING, NP_E_MALFORMED. */
static int find(const uint8_t *message, size_t len, struct record *out)
{
    struct np_reader r = np_reader_make(message, len);
    struct np_name name;
    np_read_skip(&r, 4);
    unsigned questions = np_read_u16(&r), records = np_read_u16(&r);
    records += np_read_u16(&r);
    unsigned additional = np_read_u16(&r);
    records += additional;
    for (unsigned i = 0; i < questions && !r.error; i++) {
        np_name_read(&r, &name);
        np_read_skip(&r, 4);
    }
    int rc = NP_E_MISSING;
    for (unsigned i = 0; i < records && !r.error; i++) {
        out->pos = r.pos;
        np_name_read(&r, &out->owner);
        uint16_t type = np_read_u16(&r), class = np_read_u16(&r);
        out->ttl = np_read_u32(&r);
        if (type != NP_RR_TSIG) {
            np_read_skip(&r, np_read_u16(&r));
            continue;
        }
        /* Not the last one, or in another section, or of another class: a message that nobody should believe. */
        if (i + 1 < records || additional == 0 || class != NP_CLASS_ANY)
            return NP_E_MALFORMED;
        read_rdata(&r, out);
        rc = 0;
    }
    return r.error || r.pos != len ? NP_E_MALFORMED : rc;
}

/* ---- The digest ---- */

struct np_tsig_pending {
    EVP_MAC *mac;
    EVP_MAC_CTX *ctx;
};

static void pending_free(struct np_tsig_pending *pending)
{
    if (!pending)
        return;
    EVP_MAC_CTX_free(pending->ctx);
    EVP_MAC_free(pending->mac);
    free(pending);
}

/* A digest that begins with the MAC of what came before (RFC 8945 section 5.3.1). */
static struct np_tsig_pending *pending_new(const struct np_tsig_check *check)
{
    const struct np_tsig_key *key = check->key;
    char digest[16];
    uint8_t len[2] = {(uint8_t)(check->mac_len >> 8), (uint8_t)check->mac_len};
    struct np_tsig_pending *pending = calloc(1, sizeof *pending);
    if (!pending)
        return NULL;
    memcpy(digest, algorithms[key->algorithm].digest, strlen(algorithms[key->algorithm].digest) + 1);
    const OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0), OSSL_PARAM_construct_end()};
    pending->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    pending->ctx = pending->mac ? EVP_MAC_CTX_new(pending->mac) : NULL;
    if (!pending->ctx || !EVP_MAC_init(pending->ctx, key->secret, key->secret_len, params) ||
        !EVP_MAC_update(pending->ctx, len, 2) || !EVP_MAC_update(pending->ctx, check->mac, check->mac_len)) {
        pending_free(pending);
        return NULL;
    }
    return pending;
}

/* The message as it was before it was signed: original ID, one additional record fewer, without the TSIG. */
static bool digest_message(EVP_MAC_CTX *ctx, const uint8_t *message, const struct record *record)
{
    uint8_t header[NP_DNS_HEADER_LEN];
    memcpy(header, message, sizeof header);
    unsigned additional = (unsigned)(header[10] << 8 | header[11]) - 1;
    header[0] = (uint8_t)(record->original_id >> 8);
    header[1] = (uint8_t)record->original_id;
    header[10] = (uint8_t)(additional >> 8);
    header[11] = (uint8_t)additional;
    return EVP_MAC_update(ctx, header, sizeof header) &&
           EVP_MAC_update(ctx, message + sizeof header, record->pos - sizeof header);
}

/* RFC 8945 sections 4.3.3 and 5.3.1: all variables for the first message of a stream, the timers alone after it. */
static bool digest_variables(EVP_MAC_CTX *ctx, const struct np_tsig_check *check, const struct record *record)
{
    uint8_t bytes[NP_NAME_WIRE_MAX + 64];
    struct np_writer w = np_writer_make(bytes, sizeof bytes);
    if (check->first) {
        const struct np_tsig_key *key = check->key;
        np_write_bytes(&w, key->wire_name.wire, key->wire_name.len);
        np_write_u16(&w, NP_CLASS_ANY);
        np_write_u32(&w, record->ttl);
        np_write_bytes(&w, algorithms[key->algorithm].wire, algorithms[key->algorithm].wire_len);
    }
    np_write_bytes(&w, record->time, 6);
    np_write_u16(&w, record->fudge);
    if (check->first) {
        np_write_u16(&w, record->error);
        np_write_u16(&w, record->other_len);
    }
    return !w.error && EVP_MAC_update(ctx, bytes, w.pos) &&
           (!check->first || EVP_MAC_update(ctx, record->other, record->other_len));
}

static int verify(struct np_tsig_check *check, const uint8_t *message, const struct record *record)
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    size_t mac_len = 0;
    struct np_tsig_pending *pending = check->pending ? check->pending : pending_new(check);
    int rc = NP_E_SIGNATURE;
    check->pending = NULL;
    if (!pending)
        return -ENOMEM;
    if (digest_message(pending->ctx, message, record) && digest_variables(pending->ctx, check, record) &&
        EVP_MAC_final(pending->ctx, mac, &mac_len, sizeof mac) && mac_len == record->mac_len &&
        np_equal_constant_time(mac, record->mac, mac_len)) {
        memcpy(check->mac, mac, mac_len);
        check->mac_len = mac_len;
        check->first = false;
        check->unsigned_count = 0;
        rc = 0;
    }
    pending_free(pending);
    return rc;
}

/* ---- Checking ---- */

void np_tsig_check_init(struct np_tsig_check *check, const struct np_tsig_key *key, const uint8_t *mac, size_t mac_len)
{
    *check = (struct np_tsig_check){.key = key, .first = true};
    check->mac_len = mac_len < sizeof check->mac ? mac_len : sizeof check->mac;
    memcpy(check->mac, mac, check->mac_len);
}

void np_tsig_check_deinit(struct np_tsig_check *check)
{
    pending_free(check->pending);
    check->pending = NULL;
}

static int take_unsigned(struct np_tsig_check *check, const uint8_t *message, size_t len)
{
    if (check->first || check->unsigned_count == NP_TSIG_UNSIGNED)
        return NP_E_SIGNATURE;
    check->unsigned_count++;
    if (!check->pending)
        check->pending = pending_new(check);
    return check->pending && EVP_MAC_update(check->pending->ctx, message, len) ? NP_E_MISSING : -ENOMEM;
}

int np_tsig_check(struct np_tsig_check *check, const uint8_t *message, size_t len, int64_t now_s,
                  struct np_tsig_answer *out_answer)
{
    struct record record;
    struct np_name algorithm = {.len = 0};
    *out_answer = (struct np_tsig_answer){.present = false};
    int rc = find(message, len, &record);
    if (rc == NP_E_MISSING)
        return take_unsigned(check, message, len);
    if (rc)
        return rc;
    out_answer->present = true;
    out_answer->error = (enum np_tsig_error)record.error;
    if (record.error == NP_TSIG_BADTIME && record.other_len == 6)
        out_answer->server_time_s = read_time(record.other);
    algorithm.len = (uint8_t)algorithms[check->key->algorithm].wire_len;
    memcpy(algorithm.wire, algorithms[check->key->algorithm].wire, algorithm.len);
    if (!np_name_equal(&record.owner, &check->key->wire_name) || !np_name_equal(&record.algorithm, &algorithm))
        return NP_E_KEY;
    rc = verify(check, message, &record);
    if (rc)
        return rc;
    int64_t skew_s = record.time_s > now_s ? record.time_s - now_s : now_s - record.time_s;
    return skew_s > record.fudge || skew_s > NP_TSIG_FUDGE_S ? NP_E_DATE : 0;
}
