/* exchange: the machine's requests as HTTP and HQ's answers as struct np_response. Knows paths, headers, the JWS and
 * the credential; knows no socket. What is sent where is docs/protocol.md. */
#ifndef AGENT_CERTIFICATE_EXCHANGE_H
#define AGENT_CERTIFICATE_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/certificate/enrol.h"
#include "agent/identity/factory.h"
#include "agent/identity/state.h"
#include "hq/proto/message.h"
#include "resolver/base/text.h"

#define NP_EXCHANGE_PATH_MAX 96 /* "/v1/devices/<22>/addresses" */

/* What the box says about itself. Strings are borrowed. */
struct np_exchange_self {
    const char *url; /* HQ's, without a final slash: "https://hq.devices.example" */
    const char *model;
    const char *version;
    enum np_publish publish;
    struct np_factory factory; /* type open: no credential */
    struct np_life life;       /* of this run */
};

/* A request. body is malloc'd or NULL. */
struct np_exchange {
    const char *method;
    char path[NP_EXCHANGE_PATH_MAX];
    const char *content_type; /* NULL: no body */
    char *body;
    size_t body_len;
    char bearer[NP_BASE64URL_LEN(NP_TOKEN_LEN)]; /* empty: no Authorization */
    char etag[NP_ETAG_MAX + 1];                  /* If-None-Match; empty: none */
};

/* The headers of an answer; NULL or empty: absent. Borrowed. */
struct np_exchange_headers {
    const char *nonce; /* Replay-Nonce */
    const char *etag;
    int64_t retry_after_s; /* 0: absent */
};

/* Writes the request that the action (NP_ACTION_SEND) asks for. bearer is np_enrol_bearer's. The caller frees with
 * np_exchange_free. Returns 0, -ENOMEM, or what signing or the CSR says. */
int np_exchange_build(const struct np_exchange_self *self, const struct np_state *device, const uint8_t *bearer,
                      const struct np_enrol_action *action, struct np_exchange *out_exchange);

/* Wipes and frees what the request holds; NULL is fine. */
void np_exchange_free(struct np_exchange *exchange);

/* Reads an answer to request. *out_response is written whole; what is wrong with a body is its rc. A nonce or an ETag
 * with characters outside their alphabets is dropped. */
void np_exchange_parse(enum np_request request, int status, const struct np_exchange_headers *headers, const char *body,
                       size_t len, struct np_response *out_response);

#endif
