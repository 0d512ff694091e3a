/* The answer parser of agent/tls/http: the first byte chooses HEAD or not and the size of the pieces. An answer must be
 * read the same in pieces as whole. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tls/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The result of reading data in pieces of step bytes; *out_pos is how many were used. */
static int parse(struct np_http_parser *parser, bool head, const uint8_t *data, size_t size, size_t step,
                 size_t *out_pos)
{
    size_t pos = 0;
    int rc = 0;
    np_http_parser_init(parser, head);
    while (pos < size && rc == 0) {
        size_t used = 0;
        rc = np_http_parser_feed(parser, data + pos, size - pos < step ? size - pos : step, &used);
        if (rc >= 0)
            pos += used;
    }
    *out_pos = pos;
    return rc == 0 ? np_http_parser_end(parser) : rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct np_http_parser *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    size_t a_pos, b_pos;
    int rc = parse(a, data[0] & 1, data + 1, size - 1, (data[0] >> 1) + 1u, &a_pos);
    if (rc != parse(b, data[0] & 1, data + 1, size - 1, size, &b_pos))
        abort();
    if (rc == 1) {
        const struct np_http_response *x = &a->response, *y = &b->response;
        if (x->status < 200 || x->status > 599 || x->body_len > NP_HTTP_BODY_MAX || x->body[x->body_len] != 0)
            abort();
        if (a_pos != b_pos || x->status != y->status || x->body_len != y->body_len ||
            memcmp(x->body, y->body, x->body_len) != 0 || x->keep_alive != y->keep_alive ||
            strcmp(x->nonce, y->nonce) != 0 || strcmp(x->etag, y->etag) != 0)
            abort();
    }
    free(a);
    free(b);
    return 0;
}
