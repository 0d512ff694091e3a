/* Stands in for parts that are still being built (agent/tls/hqclient.c, agent/front/front.c), so that the executable
 * links. Gone with the last of them. */
#include <errno.h>

#include "agent/front/front.h"
#include "agent/tls/hqclient.h"

#ifndef NP_HAVE_FRONT
int np_front_child_main(void)
{
    return 1;
}
#endif

#ifndef NP_HAVE_HQCLIENT
int np_hqclient_new(uv_loop_t *loop, const char *url, const struct np_tls_anchors *anchors, int64_t (*now_s)(void *ctx),
                    void *ctx, struct np_hqclient **out_client)
{
    (void)loop, (void)url, (void)anchors, (void)now_s, (void)ctx;
    *out_client = (struct np_hqclient *)1;
    return 0;
}

void np_hqclient_set_servers(struct np_hqclient *client, const struct np_endpoint *servers, size_t count)
{
    (void)client, (void)servers, (void)count;
}

int np_hqclient_send(struct np_hqclient *client, const struct np_hq_request *request, np_hq_done_fn *done, void *ctx)
{
    (void)client, (void)request, (void)done, (void)ctx;
    return -ENOSYS;
}

void np_hqclient_disconnect(struct np_hqclient *client)
{
    (void)client;
}

void np_hqclient_free(struct np_hqclient *client, void (*closed)(void *ctx), void *ctx)
{
    (void)client, (void)closed, (void)ctx;
}
#endif
