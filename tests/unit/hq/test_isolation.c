/* No device can read or change another's objects: random requests made of true ones, by somebody who has devices of his
 * own, knows every public thing of the others (ids, names, serial numbers, keys, certificates' names), has their old
 * signed requests, and lacks only their private keys and tokens.
 *
 * NP_TRIES says how many (3,000; tests/net/test_isolation.py runs 100,000), NP_SEED repeats the choices of a run; what
 * HQ itself draws (ids, nonces) differs from run to run. */
#include "tests/unit/hq/box.h"

#include "hq/store/claims.h"
#include "hq/store/naming.h"

#define OWN       4 /* devices of the attacker */
#define OTHERS    6 /* of everybody else */
#define RECORDS   64
#define LOOK_WIDE 256 /* tries between two looks at all the others */

/* ---- The world ---- */

/* An old request of somebody else, as it was sent. */
struct record {
    char path[96];
    char *body;
    char nonce[NP_NONCE_MAX + 1];
    int owner;
};

/* What must not change. */
struct picture {
    struct np_device device;
    char order[NP_DEVICE_ID_MAX + 1];
    enum np_order_state order_state;
    uint8_t order_key[32];
    int64_t package;
    struct np_naming_row names[NP_NAMING_PAST_MAX];
    size_t name_count;
};

struct world {
    struct fixture *f;
    struct box *own[OWN], *others[OTHERS];
    struct picture pictures[OTHERS];
    char secrets[OTHERS][4][80]; /* base64url: the poll token, auth tokens 0 and 1, a piece of the chain */
    struct record records[RECORDS];
    size_t record_count;
    uint64_t random;
    uint64_t accepted[8], refused; /* by kind */
};

static uint32_t below(struct world *w, uint32_t bound)
{
    /* xorshift64*: repeatable, and good enough to choose by. */
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return (uint32_t)((w->random * UINT64_C(2685821657736338717) >> 32) % bound);
}

static bool chance(struct world *w, uint32_t percent)
{
    return below(w, 100) < percent;
}

static struct picture picture_of(struct world *w, const struct box *box)
{
    static struct np_package package;
    struct picture p = {.package = 0};
    struct np_order order;
    assert_int_equal(np_store_device_get(w->f->store, box->told.device, &p.device), 0);
    if (np_store_order_newest(w->f->store, box->told.device, &order) == 0) {
        memcpy(p.order, order.id, sizeof p.order);
        memcpy(p.order_key, order.key, sizeof p.order_key);
        p.order_state = order.state;
        if (np_store_package_newest(w->f->store, box->told.device, order.key, &package) == 0)
            p.package = package.n;
    }
    assert_int_equal(np_store_naming_rows(w->f->store, box->told.device, p.names, &p.name_count), 0);
    return p;
}

static void assert_same(const struct picture *a, const struct picture *b)
{
    const struct np_device *x = &a->device, *y = &b->device;
    assert_string_equal(x->name, y->name);
    assert_int_equal(x->state, y->state);
    assert_int_equal(x->nonce_us, y->nonce_us);
    assert_int_equal(x->seq, y->seq);
    assert_int_equal(x->auth_n, y->auth_n);
    assert_int_equal(x->auth_n_used, y->auth_n_used);
    assert_int_equal(x->publish, y->publish);
    assert_int_equal(x->last_seen_s, y->last_seen_s);
    assert_int_equal(x->silent_s, y->silent_s);
    assert_memory_equal(x->token_hash, y->token_hash, sizeof x->token_hash);
    assert_memory_equal(x->epoch, y->epoch, sizeof x->epoch);
    assert_memory_equal(&x->identity, &y->identity, sizeof x->identity);
    assert_true(np_addresses_equal(&x->stated, &y->stated));
    assert_true(np_addresses_equal(&x->published, &y->published));
    assert_string_equal(x->version, y->version);
    assert_string_equal(x->model, y->model);
    assert_string_equal(a->order, b->order);
    assert_int_equal(a->order_state, b->order_state);
    assert_memory_equal(a->order_key, b->order_key, sizeof a->order_key);
    assert_int_equal(a->package, b->package);
    assert_int_equal(a->name_count, b->name_count);
    for (size_t i = 0; i < a->name_count; i++) {
        assert_string_equal(a->names[i].name, b->names[i].name);
        assert_int_equal(a->names[i].role, b->names[i].role);
        assert_int_equal(a->names[i].asked_s, b->names[i].asked_s);
        assert_int_equal(a->names[i].until_s, b->names[i].until_s);
    }
}

static void keep(struct world *w, int owner, const char *path, char *body_take, const char *nonce)
{
    assert_true(w->record_count < RECORDS);
    struct record *r = &w->records[w->record_count++];
    snprintf(r->path, sizeof r->path, "%s", path);
    snprintf(r->nonce, sizeof r->nonce, "%s", nonce);
    r->body = body_take;
    r->owner = owner;
}

/* Signs; the caller frees. */
static char *signed_by(const struct np_crypto *crypto, const struct np_jws_header *header, const char *payload)
{
    char *body = NULL;
    assert_int_equal(np_jws_sign(crypto, header, payload, strlen(payload), &body), 0);
    return body;
}

/* One of the others does something signed, and the attacker keeps what went over the wire. */
static void act(struct world *w, int owner, const char *path, const char *payload)
{
    struct box *box = w->others[owner];
    struct np_jws_header header = {.has_jwk = false};
    char nonce[NP_NONCE_MAX + 1];
    memcpy(nonce, fresh_nonce(w->f), sizeof nonce);
    snprintf(header.kid, sizeof header.kid, "%s", box->told.device);
    snprintf(header.nonce, sizeof header.nonce, "%s", nonce);
    snprintf(header.url, sizeof header.url, "%s%s", URL, path);
    char *body = signed_by(&box->crypto, &header, payload);
    struct np_api_response response = ask(w->f, (struct np_api_request){.method = "POST",
                                                                        .path = path,
                                                                        .content_type = "application/jose+json",
                                                                        .body = body,
                                                                        .body_len = strlen(body)});
    assert_true(response.status < 300);
    np_api_response_free(&response);
    keep(w, owner, path, body, nonce);
}

static char *csr_payload(const struct box *box, const char *name)
{
    char san[3 * NP_NAME_MAX], *payload = NULL;
    struct np_csr_request csr;
    snprintf(san, sizeof san, "DNS:%s", name);
    const struct csr_recipe recipe = {.san = san};
    csr.csr_len = csr_make(box->tls, &recipe, csr.csr, sizeof csr.csr);
    assert_int_equal(np_csr_request_encode(&csr, &payload), 0);
    return payload;
}

/* Enrolled, with a certificate, addresses and tokens in use, each a little further than the one before. */
static void live(struct world *w, int owner)
{
    static char chain[1200];
    struct box *box = w->others[owner];
    uint8_t token[32];
    char path[96];
    enrol(w->f, box, 201);
    np_base64url_encode(box->request.token, 32, w->secrets[owner][0]);
    for (int n = 0; n < 2; n++) {
        np_hq_auth_token(w->f->api.pepper, box->told.device, box->request.epoch, n, token);
        np_base64url_encode(token, 32, w->secrets[owner][1 + n]);
    }
    snprintf(w->secrets[owner][3], sizeof w->secrets[owner][3], "CHAIN-OF-%d-%08x", owner, below(w, UINT32_MAX));
    act(w, owner, "/v1/session", "{}");
    expect_status(put_addresses(w->f, box, box->request.token, "{\"seq\":3,\"v4\":[\"192.168.7.7\"],\"v6\":[]}"), 200);
    if (owner == 0)
        return;
    char *payload = csr_payload(box, box->told.names.name);
    snprintf(path, sizeof path, "/v1/devices/%s/csr", box->told.device);
    act(w, owner, path, payload);
    free(payload);
    if (owner == 1)
        return;
    snprintf(chain, sizeof chain, "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n", w->secrets[owner][3]);
    issue(w->f, box, chain);
    if (owner == 2)
        return;
    expect_status(get_package(w->f, box, token, NULL), 200); /* from now on the auth token counts */
    act(w, owner, "/v1/session", "{}");
    if (owner == 3)
        return;
    /* A chosen name: wanted, or the device's own by now. */
    struct np_order order;
    assert_int_equal(np_store_order_newest(w->f->store, box->told.device, &order), 0);
    order.state = NP_ORDER_DONE;
    assert_int_equal(np_store_order_update(w->f->store, &order), 0);
    snprintf(path, sizeof path, "/v1/devices/%s/name", box->told.device);
    act(w, owner, path, owner == 4 ? "{\"name\":\"chosen-four\"}" : "{\"name\":\"chosen-five\"}");
    if (owner == 4)
        return;
    char sans[2 * NP_NAME_MAX];
    snprintf(sans, sizeof sans, "chosen-five.devices.example,DNS:%s", box->told.names.name);
    EVP_PKEY *first = box->tls;
    box->tls = EVP_EC_gen("P-256");
    EVP_PKEY_free(first);
    payload = csr_payload(box, sans);
    snprintf(path, sizeof path, "/v1/devices/%s/csr", box->told.device);
    act(w, owner, path, payload);
    free(payload);
    issue(w->f, box, chain);
    act(w, owner, "/v1/session", "{}");
}

static struct world *world_new(struct fixture *f, uint64_t seed)
{
    struct world *w = calloc(1, sizeof *w);
    char serial[32];
    w->f = f;
    w->random = seed;
    f->api.policy.open = f->api.policy.claim_code = true;
    f->api.policy.network_recent = 1000000;
    f->api.vanity = (struct np_vanity){
        .allowed = true, .least = 3, .greatest = 63, .days = 0, .per_device = 1000, .per_network = 1000000};
    for (int i = 0; i < OTHERS; i++) {
        snprintf(serial, sizeof serial, "NP-000%d", i);
        w->others[i] = box_new(serial);
        live(w, i);
    }
    for (int i = 0; i < OWN; i++) {
        snprintf(serial, sizeof serial, "OWN-000%d", i);
        w->own[i] = box_new(serial);
        enrol(f, w->own[i], 201);
    }
    /* One of his own may choose a name, too. */
    struct np_order order;
    expect_status(send_csr(f, w->own[0], NULL, NULL), 202);
    issue(f, w->own[0], "-----BEGIN CERTIFICATE-----\nHIS\n-----END CERTIFICATE-----\n");
    assert_int_equal(np_store_order_newest(f->store, w->own[0]->told.device, &order), 0);
    order.state = NP_ORDER_DONE;
    assert_int_equal(np_store_order_update(f->store, &order), 0);
    for (int i = 0; i < OTHERS; i++)
        w->pictures[i] = picture_of(w, w->others[i]);
    f->group_commit = true; /* nothing here is about the disk */
    return w;
}

static void world_free(struct world *w)
{
    for (int i = 0; i < OTHERS; i++)
        box_free(w->others[i]);
    for (int i = 0; i < OWN; i++)
        box_free(w->own[i]);
    for (size_t i = 0; i < w->record_count; i++)
        free(w->records[i].body);
    free(w);
}

/* ---- One try ---- */

enum kind { ENROL, SESSION, CSR, LEAVE, NAME, PACKAGE, ADDRESSES, CHECKIN, KINDS };

static void write_path(enum kind kind, const char *id, char out[160])
{
    static const char *const parts[KINDS] = {[CSR] = "csr",         [LEAVE] = "leave",         [NAME] = "name",
                                             [PACKAGE] = "package", [ADDRESSES] = "addresses", [CHECKIN] = "checkin"};
    if (parts[kind])
        snprintf(out, 160, "/v1/devices/%s/%s", id, parts[kind]);
    else
        snprintf(out, 160, "%s", kind == ENROL ? "/v1/devices" : "/v1/session");
}

/* A request under way: the attacker's device, whom it is against, and what is to be sent. */
struct attempt {
    enum kind kind;
    struct box *own, *target;
    int target_index;
    char path[160], authorization[160];
    char *body;
};

/* An id: the target's, his own, or nearly one of them. */
static void choose_id(struct world *w, const struct attempt *a, char out[NP_DEVICE_ID_MAX + 1])
{
    const char *id = chance(w, 60) ? a->target->told.device : a->own->told.device;
    snprintf(out, NP_DEVICE_ID_MAX + 1, "%s", id);
    if (chance(w, 6))
        out[below(w, (uint32_t)strlen(out))] ^= (char)(1 + below(w, 3));
}

static void choose_nonce(struct world *w, char out[NP_NONCE_MAX + 1])
{
    uint32_t which = below(w, 10);
    if (which < 7)
        snprintf(out, NP_NONCE_MAX + 1, "%s", fresh_nonce(w->f));
    else if (which < 9)
        snprintf(out, NP_NONCE_MAX + 1, "%s", w->records[below(w, (uint32_t)w->record_count)].nonce);
    else
        snprintf(out, NP_NONCE_MAX + 1, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    if (out[0] && chance(w, 5))
        out[below(w, (uint32_t)strlen(out))] = 'B';
}

/* His own enrolment with something of the target's in it. */
static char *enrol_payload(struct world *w, const struct attempt *a, const char *nonce, const char *url)
{
    static struct np_enrol_request m;
    uint8_t secret[32], input[NP_FACTORY_MAC_INPUT_MAX];
    char *payload = NULL;
    m = a->own->request;
    if (chance(w, 50))
        memcpy(m.epoch, a->target->request.epoch, sizeof m.epoch);
    if (chance(w, 50))
        memcpy(m.grant, a->target->told.grant, sizeof m.grant);
    if (chance(w, 30))
        m.credential.type = NP_CREDENTIAL_OPEN;
    np_hq_factory_secret(w->f->api.policy.master, m.credential.serial, secret);
    np_hq_hmac(secret, sizeof secret, input, np_factory_mac_input(a->own->thumbprint, nonce, url, input),
               m.credential.mac);
    if (chance(w, 50)) /* with the other's serial number, for which he has no secret */
        memcpy(m.credential.serial, a->target->request.credential.serial, sizeof m.credential.serial);
    assert_int_equal(np_enrol_request_encode(&m, &payload), 0);
    return payload;
}

/* A name that somebody has, or nobody; with another's grant. */
static char *name_payload(struct world *w, const struct attempt *a)
{
    static const char *const labels[] = {"chosen-four", "CHOSEN-FIVE", "attic", "cellar", "admin", "x.devices.example"};
    struct np_name_request m = {.check = chance(w, 30)};
    char *payload = NULL;
    if (chance(w, 70))
        snprintf(m.name, sizeof m.name, "%s", labels[below(w, sizeof labels / sizeof *labels)]);
    else if (chance(w, 50))
        snprintf(m.name, sizeof m.name, "%.*s", (int)strcspn(a->target->told.names.name, "."),
                 a->target->told.names.name);
    if (chance(w, 50))
        memcpy(m.grant, a->target->told.grant, sizeof m.grant);
    assert_int_equal(np_name_request_encode(&m, &payload), 0);
    return payload;
}

static char *payload_of(struct world *w, const struct attempt *a, const char *nonce, const char *url)
{
    switch (a->kind) {
    case ENROL:
        return enrol_payload(w, a, nonce, url);
    case CSR:
        return csr_payload(chance(w, 50) ? a->own : a->target,
                           chance(w, 50) ? a->target->told.names.name : a->own->told.names.name);
    case LEAVE:
        return strdup("{\"reason\":\"compromise\"}");
    case NAME:
        return name_payload(w, a);
    default:
        return strdup("{\"life\":\"AAAAAAAAAAA\"}");
    }
}

/* Signed by the attacker in every way that he can; never a leave of his own, which would end the play. */
static void make_signed(struct world *w, struct attempt *a)
{
    struct np_jws_header header = {.has_jwk = chance(w, a->kind == ENROL ? 90 : 10)};
    header.jwk = chance(w, a->kind == ENROL ? 80 : 50) ? a->own->public_key : a->target->public_key;
    if (!header.has_jwk)
        choose_id(w, a, header.kid);
    if (a->kind == LEAVE)
        snprintf(header.kid, sizeof header.kid, "%s", header.has_jwk ? "" : a->target->told.device);
    choose_nonce(w, header.nonce);
    snprintf(header.url, sizeof header.url, "%s%s", URL, chance(w, 95) ? a->path : "/v1/devices");
    char *payload = payload_of(w, a, header.nonce, header.url);
    a->body = signed_by(&w->own[below(w, OWN)]->crypto, &header, payload);
    if (chance(w, 60)) {
        free(a->body);
        a->body = signed_by(&a->own->crypto, &header, payload);
    }
    free(payload);
}

/* The attacker's signature over their words, or theirs over his. */
static void mix_parts(struct world *w, struct attempt *a)
{
    struct np_jws_header header = {.has_jwk = false};
    snprintf(header.kid, sizeof header.kid, "%s", a->target->told.device);
    choose_nonce(w, header.nonce);
    snprintf(header.url, sizeof header.url, "%s%s", URL, a->path);
    char *mine = signed_by(&a->own->crypto, &header, "{}"), *theirs = a->body;
    bool words = chance(w, 50); /* theirs, under his signature */
    char *to = words ? theirs : mine;
    const char *from = words ? mine : theirs;
    size_t len = strlen("\"signature\":\"\"}") + NP_BASE64URL_LEN(64) - 1; /* it stands last */
    if (strlen(to) > len && strlen(from) > len)
        memcpy(to + strlen(to) - len, from + strlen(from) - len, len);
    a->body = words ? theirs : mine;
    free(words ? mine : theirs);
}

/* An old request of somebody else: as it was, at another place, or in parts with one of his own. */
static void make_replay(struct world *w, struct attempt *a)
{
    const struct record *r = &w->records[below(w, (uint32_t)w->record_count)];
    a->target_index = r->owner;
    a->target = w->others[r->owner];
    a->body = strdup(r->body);
    if (chance(w, 60))
        snprintf(a->path, sizeof a->path, "%s", r->path);
    if (chance(w, 30))
        mix_parts(w, a);
}

/* A token: his own, nearly the target's, or one that HQ would give under another number or device. */
static void make_token(struct world *w, struct attempt *a)
{
    uint8_t token[32];
    uint32_t which = below(w, 5);
    memcpy(token, a->own->request.token, sizeof token);
    if (which == 0)
        np_random_bytes(token, sizeof token);
    if (which == 1)
        np_hq_auth_token(w->f->api.pepper, a->own->told.device, a->own->request.epoch, below(w, 3), token);
    if (which == 2)
        np_hq_auth_token(w->f->api.pepper, a->target->told.device, a->own->request.epoch, below(w, 3), token);
    if (which == 3) { /* one bit off */
        np_base64url_decode_exact(w->secrets[a->target_index][below(w, 3)], token, sizeof token);
        token[below(w, 32)] ^= (uint8_t)(1u << below(w, 8));
    }
    bearer(token, a->authorization);
    if (chance(w, 3))
        a->authorization[7 + below(w, 40)] = "=,; \""[below(w, 5)];
}

static void make_bearer(struct world *w, struct attempt *a)
{
    char body[300];
    make_token(w, a);
    if (a->kind == PACKAGE)
        return;
    snprintf(body, sizeof body, "{\"seq\":%u,\"v4\":[\"10.66.6.%u\"],\"v6\":[]%s}",
             below(w, 3) ? below(w, 9) : below(w, UINT32_MAX), below(w, 255),
             a->kind == CHECKIN ? ",\"certificate\":null,\"version\":\"6\",\"health\":\"ok\",\"life\":\"AAAAAAAAAAA\""
                                : "");
    a->body = strdup(body);
}

static void flip(struct world *w, char *text)
{
    size_t len = strlen(text);
    for (uint32_t i = 0; len && i <= below(w, 3); i++)
        text[below(w, (uint32_t)len)] = (char)(0x20 + below(w, 95));
}

static void make(struct world *w, struct attempt *a)
{
    char id[NP_DEVICE_ID_MAX + 1];
    *a = (struct attempt){
        .kind = (enum kind)below(w, KINDS), .own = w->own[below(w, OWN)], .target_index = (int)below(w, OTHERS)};
    a->target = w->others[a->target_index];
    choose_id(w, a, id);
    if (a->kind == LEAVE)
        snprintf(id, sizeof id, "%s", a->target->told.device);
    write_path(a->kind, id, a->path);
    if (a->kind >= PACKAGE)
        make_bearer(w, a);
    else if (chance(w, 25))
        make_replay(w, a);
    else
        make_signed(w, a);
    if (a->body && chance(w, 10))
        flip(w, a->body);
    if (chance(w, 2))
        flip(w, a->path);
}

/* What came back tells nothing of the others. */
static void assert_nothing_told(struct world *w, const struct np_api_response *response)
{
    if (!response->body)
        return;
    for (int i = 0; i < OTHERS; i++) {
        for (int k = 0; k < 4; k++)
            assert_null(strstr(response->body, w->secrets[i][k]));
        if (response->status < 400) {
            assert_null(strstr(response->body, w->others[i]->told.names.name));
            assert_null(strstr(response->body, w->others[i]->told.device));
            assert_null(strstr(response->body, "chosen-"));
        }
    }
}

static void try_one(struct world *w)
{
    static const char *const methods[KINDS] = {"POST", "POST", "POST", "POST", "POST", "GET", "PUT", "POST"};
    struct attempt a;
    make(w, &a);
    struct np_api_response response = ask(
        w->f, (struct np_api_request){.method = methods[a.kind],
                                      .path = a.path,
                                      .content_type = a.kind >= PACKAGE ? "application/json" : "application/jose+json",
                                      .authorization = a.authorization[0] ? a.authorization : NULL,
                                      .body = a.body,
                                      .body_len = a.body ? strlen(a.body) : 0});
    if (response.status < 300)
        w->accepted[a.kind]++;
    else
        w->refused++;
    assert_true(response.status != 500);
    assert_nothing_told(w, &response);
    struct picture now = picture_of(w, a.target);
    assert_same(&w->pictures[a.target_index], &now);
    np_api_response_free(&response);
    free(a.body);
}

static void test_nobody_reaches_another(void **state)
{
    const char *seed_text = getenv("NP_SEED"), *tries_text = getenv("NP_TRIES");
    uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10) : UINT64_C(20261129);
    unsigned long tries = tries_text ? strtoul(tries_text, NULL, 10) : 3000;
    struct world *w = world_new(*state, seed ? seed : 1);
    print_message("NP_SEED=%llu NP_TRIES=%lu\n", (unsigned long long)seed, tries);
    for (unsigned long i = 1; i <= tries; i++) {
        try_one(w);
        if (i % LOOK_WIDE != 0 && i != tries)
            continue;
        for (int k = 0; k < OTHERS; k++) {
            struct picture now = picture_of(w, w->others[k]);
            assert_same(&w->pictures[k], &now);
        }
        assert_int_equal(np_store_commit(w->f->store), 0);
    }
    /* Both sorts were tried: what is his own does go, by every kind of request but leave. */
    print_message("%llu refused; accepted: %llu enrolments, %llu sessions, %llu CSRs, %llu leaves, %llu names, %llu "
                  "packages, %llu "
                  "addresses, %llu check-ins\n",
                  (unsigned long long)w->refused, (unsigned long long)w->accepted[ENROL],
                  (unsigned long long)w->accepted[SESSION], (unsigned long long)w->accepted[CSR],
                  (unsigned long long)w->accepted[LEAVE], (unsigned long long)w->accepted[NAME],
                  (unsigned long long)w->accepted[PACKAGE], (unsigned long long)w->accepted[ADDRESSES],
                  (unsigned long long)w->accepted[CHECKIN]);
    assert_true(w->refused > tries / 2);
    for (int kind = 0; kind < KINDS; kind++)
        assert_int_equal(w->accepted[kind] > 0, kind != LEAVE);
    world_free(w);
}

/* The same questions by those who may ask: a test that could not fail would pass here, too. */
static void test_the_owner_does(void **state)
{
    struct world *w = world_new(*state, 7);
    struct box *box = w->others[5];
    uint8_t token[32];
    char path[96];
    np_base64url_decode_exact(w->secrets[5][2], token, sizeof token);
    struct np_api_response response = get_package(w->f, box, token, NULL);
    assert_int_equal(response.status, 200);
    assert_non_null(strstr(response.body, w->secrets[5][3]));
    np_api_response_free(&response);
    expect_status(put_addresses(w->f, box, token, "{\"seq\":9,\"v4\":[\"10.0.0.1\"],\"v6\":[]}"), 200);
    snprintf(path, sizeof path, "/v1/devices/%s/leave", box->told.device);
    expect_status(post(w->f, box, path, "{\"reason\":\"reset\"}", (struct twist){0}), 204);
    struct picture now = picture_of(w, box);
    assert_int_not_equal(now.device.state, w->pictures[5].device.state);
    assert_int_equal(np_store_commit(w->f->store), 0);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nobody_reaches_another, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_owner_does, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
