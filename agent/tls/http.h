/* http: reading HTTP/1.1 answers (RFC 9112), incrementally and strictly. Pure.
 *
 * Feed the bytes as they come. Refused are: bare CR, obs-fold, white space before a colon, both Content-Length and
 * Transfer-Encoding, two different Content-Lengths, any transfer coding but chunked, heads over NP_HTTP_HEAD_MAX and
 * bodies over NP_HTTP_BODY_MAX. */
#ifndef AGENT_TLS_HTTP_H
#define AGENT_TLS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NP_HTTP_HEAD_MAX  8192        /* bytes of a head, and of all trailers */
#define NP_HTTP_BODY_MAX  (32 * 1024) /* bytes of a body: the largest answer of the protocol */
#define NP_HTTP_NONCE_MAX 64          /* characters of Replay-Nonce; a longer one counts as absent */
#define NP_HTTP_ETAG_MAX  72          /* characters of an ETag with quotes; likewise */
#define NP_HTTP_TYPE_MAX  64          /* characters of a media type without parameters, lower case; cut */

/* An answer. */
struct np_http_response {
    int status;
    char nonce[NP_HTTP_NONCE_MAX + 1];
    int64_t retry_after_s; /* 0: absent, a date, or unreadable; at most a week */
    char etag[NP_HTTP_ETAG_MAX + 1];
    char content_type[NP_HTTP_TYPE_MAX + 1];
    bool keep_alive;  /* may the connection carry another request? */
    const char *body; /* NUL-terminated; never NULL; belongs to the parser */
    size_t body_len;
};

/* The parser's state; about 43 KiB, so keep it on the heap. */
struct np_http_parser {
    struct np_http_response response;
    int state; /* internal */
    bool head_request, has_length, chunked, until_close, old;
    uint64_t left;
    size_t line_len, head_len;
    char line[NP_HTTP_HEAD_MAX + 1];
    char body[NP_HTTP_BODY_MAX + 1];
};

/* Starts over for one answer. head_request: the request was HEAD, so there is no body whatever the head says. */
void np_http_parser_init(struct np_http_parser *parser, bool head_request);

/* Takes bytes. Returns 1 when the answer is complete (parser->response; *out_used bytes belonged to it), 0 when more is
 * needed, NP_E_HTTP or NP_E_LIMIT. 1xx answers are passed over. */
int np_http_parser_feed(struct np_http_parser *parser, const uint8_t *data, size_t len, size_t *out_used);

/* The connection ended. Returns 1 when that completes the answer (a body without a length), else NP_E_CLOSED. */
int np_http_parser_end(struct np_http_parser *parser);

#endif
