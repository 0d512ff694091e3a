/* A snapshot: what can be parsed can be encoded, and gives the same view again. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/listen.h"
#include "resolver/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition, const char *what)
{
    if (condition)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct np_view view, again;
    struct np_listen items[NP_CHANNEL_FDS_MAX];
    struct np_admit admit;
    char error[NP_VIEW_ERROR_MAX], *json = NULL, *json_again = NULL;
    (void)np_listen_parse((const char *)data, size, items);
    int rc = np_view_parse((const char *)data, size, &view, error);
    if (rc) {
        require(rc < 0 && error[0] != 0 && strlen(error) < sizeof error, "an error has a text");
        return 0;
    }
    (void)np_view_admit(&view, &admit);
    require(admit.subnet_count <= NP_ADMIT_SUBNETS_MAX && admit.allow_count <= NP_ADMIT_ALLOW_MAX, "admit");
    require(np_view_encode(&view, &json) == 0, "encode");
    rc = np_view_parse(json, strlen(json), &again, error);
    require(rc == 0, error);
    /* As text: what lies between a struct's members is anybody's. */
    require(np_view_encode(&again, &json_again) == 0 && strcmp(json, json_again) == 0, "round trip");
    free(json);
    free(json_again);
    return 0;
}
