#include "hq/body.h"

#include <stdlib.h>
#include <string.h>

#include "resolver/base/text.h"

struct np_body *np_body_new(size_t room)
{
    struct np_body *body = calloc(1, sizeof *body + room);
    if (body)
        body->room = room;
    return body;
}

bool np_body_add(struct np_body *body, const char *data, size_t len, size_t discard_max)
{
    size_t room = body->room - body->len, taken = len < room ? len : room;
    memcpy(body->data + body->len, data, taken);
    body->len += taken;
    body->discarded += len - taken;
    return body->discarded <= discard_max;
}

void np_body_free(struct np_body *body)
{
    if (body)
        np_wipe(body->data, body->len);
    free(body);
}
