#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"
#include "tests/replay/box.h"
#include "tests/support/test_ca.h"

#define NAME "nifty-babbage.devices.example"
#define ROOT 200 /* numbers of test_ca's keys */
#define CA   201

/* What the device sent. */

static bool same_state(const struct np_state *a, const struct np_state *b)
{
    struct np_state *copies = malloc(2 * sizeof *copies);
    uint8_t *bytes = malloc(2 * NP_STATE_BYTES_MAX);
    size_t len[2] = {0, 0};
    if (!copies || !bytes)
        abort();
    copies[0] = *a;
    copies[1] = *b;
    for (int i = 0; i < 2; i++) {
        copies[i].floor_s = 0; /* of the clock: not worth a write */
        if (np_state_encode(&copies[i], bytes + i * NP_STATE_BYTES_MAX, NP_STATE_BYTES_MAX, &len[i]))
            abort();
    }
    bool same = len[0] == len[1] && memcmp(bytes, bytes + NP_STATE_BYTES_MAX, len[0]) == 0;
    free(copies);
    free(bytes);
    return same;
}

/* What a power cut would make the box forget is shown to nobody before it is stored; where the flash can be written,
 * nothing is sent before all of the state is. */
static void check_stored(struct box *box, enum np_request request)
{
    struct np_flash peek;
    struct np_flash_report report;
    const struct np_state *held = &box->state;
    struct np_state *stored = calloc(1, sizeof *stored);
    if (!stored)
        abort();
    np_flash_open_on(&peek, box->flash.disk, box->flash.path);
    int rc = np_flash_load(&peek, stored, &report);
    if (rc)
        step_fail(box->step, "a stored state before anything is sent", "%s", np_strerror(rc));
    if (memcmp(&held->identity, &stored->identity, sizeof held->identity) != 0 ||
        memcmp(held->epoch, stored->epoch, sizeof held->epoch) != 0 ||
        memcmp(held->token, stored->token, sizeof held->token) != 0)
        step_fail(box->step, "the identity to be stored before it is shown", "another one on the flash");
    if (request == NP_REQUEST_CSR && memcmp(&held->next, &stored->next, sizeof held->next) != 0)
        step_fail(box->step, "the key to be stored before its CSR is sent", "another one on the flash");
    if (!box->disk_full && !same_state(held, stored))
        step_fail(box->step, "what the state holds to be stored before anything is sent", "a state that differs");
    np_wipe(stored, sizeof *stored);
    free(stored);
}

static void read_csr(struct box *box, const struct np_jws *jws)
{
    static const uint8_t point[] = {0x03, 0x42, 0x00}; /* a BIT STRING of 65 bytes */
    struct hq *hq = &box->hq;
    struct np_csr_request m;
    int rc = np_csr_request_parse((const char *)jws->payload, jws->payload_len, &m, NULL);
    const uint8_t *at = rc ? NULL : memmem(m.csr, m.csr_len, point, sizeof point);
    if (!at || np_public_key_decode(at + sizeof point, 65, &hq->csr_key))
        step_fail(box->step, "a CSR with a P-256 key", "another payload");
    hq->csr_same = m.csr_len == hq->csr_len && memcmp(m.csr, hq->csr, m.csr_len) == 0;
    memcpy(hq->csr, m.csr, m.csr_len);
    hq->csr_len = m.csr_len;
}

/* As HQ would: the newest nonce, used once, this URL, the identity's signature. */
static void check_signed(struct box *box, enum np_request request)
{
    struct hq *hq = &box->hq;
    struct np_crypto crypto;
    struct np_jws *jws;
    char url[NP_URL_MAX + 1];
    int rc = np_jws_parse(box->exchange.body, box->exchange.body_len, &jws);
    if (rc)
        step_fail(box->step, "a flattened JWS", "%s", np_strerror(rc));
    np_crypto_init(&crypto, NULL);
    if (request == NP_REQUEST_ENROL) {
        hq->identity = jws->header.jwk;
        hq->has_identity = jws->header.has_jwk;
        if (np_enrol_request_parse((const char *)jws->payload, jws->payload_len, &hq->enrol, NULL))
            step_fail(box->step, "an enrolment", "another payload");
    }
    snprintf(url, sizeof url, "%s%s", BOX_URL, box->exchange.path);
    if (!hq->has_identity || np_jws_verify(&crypto, jws, &hq->identity))
        step_fail(box->step, "a signature by the identity key", "another one");
    if (strcmp(jws->header.url, url) != 0)
        step_fail(box->step, url, "the URL %s in the signed header", jws->header.url);
    if (!hq->nonce[0] || strcmp(jws->header.nonce, hq->nonce) != 0)
        step_fail(box->step, "the newest nonce, used once", "%s", jws->header.nonce);
    hq->nonce[0] = 0;
    if (request == NP_REQUEST_CSR)
        read_csr(box, jws);
    np_jws_free(jws);
}

static const char *classify_bearer(const struct box *box)
{
    char poll[NP_BASE64URL_LEN(NP_TOKEN_LEN)], auth[sizeof poll];
    np_base64url_encode(box->state.token, NP_TOKEN_LEN, poll);
    np_base64url_encode(box->state.auth_token, NP_TOKEN_LEN, auth);
    if (!box->exchange.bearer[0])
        return "none";
    if (strcmp(box->exchange.bearer, poll) == 0)
        return "poll";
    if (strcmp(box->exchange.bearer, auth) == 0)
        return "auth";
    for (int64_t n = 0; n < box->state.n; n++) {
        uint8_t token[NP_TOKEN_LEN]; /* as session and package give them */
        memset(token, (int)(0x50 + n), sizeof token);
        np_base64url_encode(token, sizeof token, auth);
        if (strcmp(box->exchange.bearer, auth) == 0)
            return "older";
    }
    return "other";
}

void hq_receive(struct box *box, const struct np_enrol_action *action)
{
    struct hq *hq = &box->hq;
    hq->expected = false;
    hq->bearer = classify_bearer(box);
    hq->addresses = action->addresses;
    box->requests++;
    check_stored(box, action->request);
    switch (action->request) {
    case NP_REQUEST_ENROL:
        box->enrolments++;
        check_signed(box, action->request);
        break;
    case NP_REQUEST_CSR:
        box->csrs++;
        check_signed(box, action->request);
        break;
    case NP_REQUEST_SESSION:
        check_signed(box, action->request);
        break;
    case NP_REQUEST_ADDRESSES:
        box->pushes++;
        if (np_addresses_request_parse(box->exchange.body, box->exchange.body_len, &hq->addresses, NULL))
            step_fail(box->step, "addresses", "another body");
        break;
    default:
        break;
    }
}

static void describe(const struct box *box, char *out)
{
    if (!box->running || box->enrol.inflight == NP_REQUEST_NONE)
        snprintf(out, STEP_TEXT_MAX, "no request; the box is in state %s (%s)", np_enrol_state_name(box->enrol.state),
                 box->enrol.reason);
    else
        snprintf(out, STEP_TEXT_MAX, "%s %s", box->exchange.method, box->exchange.path);
}

static void expect_word(struct box *box, const char *key, const char *seen)
{
    char text[STEP_TEXT_MAX];
    const char *wanted = step_option(box->step, key);
    snprintf(text, sizeof text, "%s=%s", key, wanted ? wanted : "");
    if (wanted && strcmp(wanted, seen) != 0)
        step_fail(box->step, text, "%s=%s", key, seen);
}

static void expect_number(struct box *box, const char *key, int64_t seen)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)seen);
    expect_word(box, key, text);
}

/* What the request that waits carries. */
static void expect_members(struct box *box)
{
    const struct hq *hq = &box->hq;
    enum np_request request = box->enrol.inflight;
    expect_word(box, "bearer", hq->bearer);
    expect_word(box, "etag", box->exchange.etag[0] ? "yes" : "no");
    if (request == NP_REQUEST_ENROL)
        expect_word(box, "grant", hq->enrol.grant[0] ? hq->enrol.grant : "none");
    if (request == NP_REQUEST_CSR)
        expect_word(box, "csr", hq->csr_same ? "same" : "new");
    if (request != NP_REQUEST_ADDRESSES)
        return;
    expect_number(box, "seq", hq->addresses.seq);
    expect_word(box, "withdraw", hq->addresses.withdraw ? "yes" : "no");
}

/* expect request METHOD PATH [addresses ADDRESS...] [bearer=poll|auth] [seq=N] [csr=same|new] [grant=TEXT]
 * [etag=yes|no] [withdraw=yes|no] */
void hq_expect_request(struct box *box)
{
    struct step *step = box->step;
    char wanted[STEP_TEXT_MAX], seen[STEP_TEXT_MAX];
    const char *method = step_word(step, "a method"), *path = step_word(step, "a path");
    snprintf(wanted, sizeof wanted, "%s %s", method, path);
    describe(box, seen);
    if (strcmp(wanted, seen) != 0)
        step_fail(step, wanted, "%s", seen);
    expect_members(box);
    if (step_take(step, "addresses")) {
        struct np_addresses addresses;
        const struct np_addresses *sent =
            box->enrol.inflight == NP_REQUEST_ENROL ? &box->hq.enrol.addresses : &box->hq.addresses.addresses;
        box_read_addresses(step, &addresses);
        if (!np_addresses_equal(&addresses, sent))
            step_fail(step, box_addresses(&addresses, wanted), "%s", box_addresses(sent, seen));
    }
    box->hq.expected = true;
}

/* What HQ says. */

static void respond(struct box *box, int status, const char *json)
{
    struct step *step = box->step;
    struct hq *hq = &box->hq;
    const char *nonce = step_option(step, "nonce"), *etag = step_option(step, "etag");
    char fresh[NP_NONCE_MAX + 1], number[32];
    uint8_t bytes[32] = {0};
    struct np_exchange_headers headers = {.retry_after_s = step_option_number(step, "retry-after", 0)};
    hq->nonces++;
    memcpy(bytes, &hq->nonces, sizeof hq->nonces);
    np_base64url_encode(bytes, sizeof bytes, fresh);
    headers.nonce = nonce ? nonce : fresh;
    snprintf(number, sizeof number, "\"%lld\"", (long long)hq->n);
    headers.etag = etag ? etag : box->enrol.inflight == NP_REQUEST_PACKAGE && status == 200 ? number : NULL;
    if (!nonce)
        memcpy(hq->nonce, fresh, sizeof fresh);
    fprintf(step->trace, "  %9.3f s  <- %d %.60s\n", (double)(box->now_ms - BOX_START_MS) / 1000, status, json);
    np_exchange_parse(box->enrol.inflight, status, &headers, json, strlen(json), &box->response);
    if (np_clock_hear(&box->clock, box->response.time_s, box_system_s(box), box->now_ms / 1000))
        box->state.floor_s = box->clock.floor_s;
    hq->expected = false;
    box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_RESPONSE, .response = &box->response});
}

static int64_t told_time(struct box *box)
{
    const char *text = step_option(box->step, "time");
    return text ? box_true_s(box) + step_duration(box->step, text) / 1000 : box_true_s(box);
}

static int enrolled(struct box *box, char **out_json)
{
    struct step *step = box->step;
    struct hq *hq = &box->hq;
    const char *device = step_option(step, "device"), *name = step_option(step, "name");
    struct np_enrol_answer m = {.names = {.san_count = 1}, .nameserver_count = 1, .ttl_s = 60};
    if (device || !hq->device[0])
        snprintf(hq->device, sizeof hq->device, "%s", device ? device : "box1");
    if (name || !hq->name[0])
        snprintf(hq->name, sizeof hq->name, "%s", name ? name : NAME);
    memcpy(m.device, hq->device, sizeof m.device);
    memcpy(m.names.name, hq->name, sizeof m.names.name);
    memcpy(m.names.san[0], hq->name, sizeof m.names.san[0]);
    memset(m.seed, 7, sizeof m.seed);
    snprintf(m.nameservers[0], sizeof m.nameservers[0], "ns1.devices.example");
    snprintf(m.grant, sizeof m.grant, "grant.of.%.60s", hq->device);
    hq->seq = m.seq = step_option_number(step, "seq", 0);
    m.poll_s = step_option_number(step, "poll", 1);
    m.checkin_s = 86400;
    m.boot_jitter_s = 600;
    m.time_s = told_time(box);
    return np_enrol_answer_encode(&m, out_json);
}

static int session(struct box *box, char **out_json)
{
    struct step *step = box->step;
    struct hq *hq = &box->hq;
    const char *name = step_option(step, "name");
    struct np_session_answer m = {0};
    hq->n = step_option_number(step, "n", hq->n);
    memcpy(m.device, hq->device, sizeof m.device);
    snprintf(m.name, sizeof m.name, "%s", name ? name : hq->name);
    memset(m.auth_token, (int)(0x50 + hq->n), sizeof m.auth_token);
    m.n = hq->n;
    m.seq = step_option_number(step, "seq", hq->seq);
    m.time_s = told_time(box);
    return np_session_answer_encode(&m, out_json);
}

static int pending(struct box *box, char **out_json)
{
    const char *state = step_option(box->step, "state");
    struct np_pending_answer m = {.time_s = told_time(box)};
    snprintf(m.state, sizeof m.state, "%s", state ? state : "queued");
    return np_pending_answer_encode(&m, out_json);
}

/* [key=csr|installed|other] [name=NAME] [from=DURATION] [until=DURATION] [issuer=wrong] [n=N]: a leaf and its CA. */
static int package(struct box *box, char **out_json)
{
    struct step *step = box->step;
    struct hq *hq = &box->hq;
    const char *key = step_option(step, "key"), *name = step_option(step, "name"), *from = step_option(step, "from"),
               *until = step_option(step, "until"), *issuer = step_option(step, "issuer");
    struct np_private_key root = test_ca_key(ROOT), ca = test_ca_key(CA), other = test_ca_key(9);
    const char *sans[] = {name ? name : hq->name};
    int64_t now_s = box_true_s(box);
    struct test_certificate leaf = {.subject = "", .issuer = "CA", .sans = sans, .san_count = 1};
    struct test_certificate above = {.subject = "CA",
                                     .issuer = "Root",
                                     .key = &ca.public,
                                     .signer = &root,
                                     .ca = true,
                                     .not_before_s = now_s - 86400};
    struct np_package_answer *m = calloc(1, sizeof *m);
    if (!m)
        abort();
    leaf.key = key && strcmp(key, "other") == 0       ? &other.public
               : key && strcmp(key, "installed") == 0 ? &box->state.tls.public
                                                      : &hq->csr_key;
    leaf.signer = issuer ? &other : &ca;
    leaf.not_before_s = now_s + (from ? step_duration(step, from) / 1000 : -3600);
    leaf.not_after_s = now_s + (until ? step_duration(step, until) / 1000 : 45 * 86400);
    above.not_after_s = now_s + 3650LL * 86400;
    test_ca_pem(&leaf, m->chain, sizeof m->chain);
    test_ca_pem(&above, m->chain, sizeof m->chain);
    hq->n = step_option_number(step, "n", hq->n + 1);
    memset(m->auth_token, (int)(0x50 + hq->n), sizeof m->auth_token);
    m->n = hq->n;
    m->time_s = told_time(box);
    int rc = np_package_answer_encode(m, out_json);
    free(m);
    return rc;
}

static int pushed(struct box *box, char **out_json)
{
    struct np_addresses_answer m = {.seq = box->hq.addresses.seq, .serial = 1, .time_s = told_time(box)};
    m.published = box->hq.addresses.addresses;
    box->hq.seq = m.seq;
    return np_addresses_answer_encode(&m, out_json);
}

static int problem(struct box *box, int status, char **out_json)
{
    struct step *step = box->step;
    struct np_problem m = {.status = status, .time_s = told_time(box)};
    int64_t seq = step_option_number(step, "seq", -1);
    snprintf(m.type, sizeof m.type, "%s", step_word(step, "a problem's word, such as rate-limited"));
    snprintf(m.detail, sizeof m.detail, "as scripted");
    m.has_seq = seq >= 0;
    m.seq = m.has_seq ? seq : 0;
    return np_problem_encode(&m, out_json);
}

static int body(struct box *box, int status, char **out_json)
{
    const char *text = step_option(box->step, "body");
    struct np_csr_answer csr = {.order = "order1", .time_s = 0};
    *out_json = NULL;
    if (text || status == 304 || box->enrol.inflight == NP_REQUEST_NONCE)
        return (*out_json = strdup(text ? text : "")) ? 0 : -1;
    if (status >= 400)
        return problem(box, status, out_json);
    switch (box->enrol.inflight) {
    case NP_REQUEST_ENROL:
        return enrolled(box, out_json);
    case NP_REQUEST_CSR:
        csr.eta_s = step_option_number(box->step, "eta", 2);
        csr.time_s = told_time(box);
        return np_csr_answer_encode(&csr, out_json);
    case NP_REQUEST_PACKAGE:
        return status == 202 ? pending(box, out_json) : package(box, out_json);
    case NP_REQUEST_ADDRESSES:
        return pushed(box, out_json);
    default:
        return session(box, out_json);
    }
}

/* The request that waits; it must have been expected. */
static void need_request(struct box *box)
{
    char seen[STEP_TEXT_MAX];
    describe(box, seen);
    if (!box->running || box->enrol.inflight == NP_REQUEST_NONE)
        step_fail(box->step, "a request to answer", "%s", seen);
    if (!box->hq.expected)
        step_fail(box->step, "an `expect request` for it first", "%s", seen);
}

/* hq answers STATUS [problem's word] [retry-after=S] [etag=TEXT] [nonce=TEXT] [body=TEXT] [time=DURATION off] ...
 * hq fails REASON: no answer came
 * hq away | hq back: every request fails at once, until it is back */
void hq_step(struct box *box)
{
    struct step *step = box->step;
    if (step_take(step, "away")) {
        box->hq.away = true;
    } else if (step_take(step, "back")) {
        box->hq.away = false;
    } else if (step_take(step, "fails")) {
        const char *reason = step_word(step, "a reason");
        need_request(box);
        box->hq.expected = false;
        box_enrol(box, &(struct np_enrol_event){.type = NP_EVENT_FAILED, .rc = -110, .reason = reason});
    } else if (step_take(step, "answers")) {
        char *json;
        int status = (int)step_number(step, step_word(step, "a status"));
        need_request(box);
        if (body(box, status, &json))
            step_fail(step, "an answer that can be written", "none");
        respond(box, status, json);
        free(json);
    } else {
        step_fail(step, "hq answers, fails, away or back", "something else");
    }
}

/* expect pushed ADDRESS... [seq=N]: the request, and HQ takes it. */
void hq_expect_pushed(struct box *box)
{
    struct step *step = box->step;
    struct np_addresses addresses;
    char wanted[STEP_TEXT_MAX], seen[STEP_TEXT_MAX], *json;
    describe(box, seen);
    if (!box->running || box->enrol.inflight != NP_REQUEST_ADDRESSES)
        step_fail(step, "PUT addresses", "%s", seen);
    expect_members(box);
    box_read_addresses(step, &addresses);
    if (!np_addresses_equal(&addresses, &box->hq.addresses.addresses))
        step_fail(step, box_addresses(&addresses, wanted), "%s", box_addresses(&box->hq.addresses.addresses, seen));
    if (pushed(box, &json))
        abort();
    respond(box, 200, json);
    free(json);
}
