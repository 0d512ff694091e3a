/* body: the body of an HTTP request as it comes in, piece by piece: so much of it is kept as a request may have, so
 * much more is read and thrown away, that whoever sends it gets an answer which says so; then the connection ends. */
#ifndef HQ_BODY_H
#define HQ_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct np_body {
    int64_t begun_ns; /* when the request came: its caller's */
    size_t room, len; /* of data */
    size_t discarded; /* what came beyond that; more than 0: it is too large */
    char data[];
};

/* An empty one for at most room bytes, to be freed by np_body_free. NULL: out of memory. */
struct np_body *np_body_new(size_t room);

/* Takes the next piece. False: more than discard_max bytes were too many, and the connection should end. */
bool np_body_add(struct np_body *body, const char *data, size_t len, size_t discard_max);

/* Wipes (it may carry a token) and frees. NULL is fine. */
void np_body_free(struct np_body *body);

#endif
