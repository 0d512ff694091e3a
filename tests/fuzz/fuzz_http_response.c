/* The answer parser of agent/tls/http: the first byte chooses HEAD or not and the size of the pieces. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "agent/tls/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct np_http_parser *parser = malloc(sizeof *parser);
    size_t step = (data[0] >> 1) + 1u, pos = 1;
    np_http_parser_init(parser, data[0] & 1);
    int rc = 0;
    while (pos < size && rc == 0) {
        size_t used = 0;
        rc = np_http_parser_feed(parser, data + pos, size - pos < step ? size - pos : step, &used);
        if (rc >= 0)
            pos += used;
    }
    if (rc == 0)
        rc = np_http_parser_end(parser);
    if (rc == 1 && (parser->response.status < 200 || parser->response.body[parser->response.body_len] != 0))
        abort();
    free(parser);
    return 0;
}
