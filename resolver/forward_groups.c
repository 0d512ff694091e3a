#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/forward_private.h"

/* The tables that a new view asks for, made beside the old ones. */
struct tables {
    struct remote *remotes[REMOTES_MAX];
    size_t remote_count;
    size_t group_count;
    struct group groups[1 + NP_VIEW_FORWARDS_MAX];
};

static struct remote *find_remote(struct remote *const *remotes, size_t count, const struct np_view_upstream *server)
{
    for (size_t i = 0; i < count; i++) {
        if (np_view_upstream_equal(&remotes[i]->server, server))
            return remotes[i];
    }
    return NULL;
}

/* Every remote in the new table has a reference of the table's. */
static int add_group(struct np_forward *forward, struct tables *tables, const struct np_name *zone,
                     const struct np_view_upstream *servers, size_t count)
{
    struct group *group = &tables->groups[tables->group_count++];
    group->zone = *zone;
    for (size_t i = 0; i < count; i++) {
        struct remote *remote = find_remote(tables->remotes, tables->remote_count, &servers[i]);
        if (!remote) {
            remote = find_remote(forward->remotes, forward->remote_count, &servers[i]);
            if (!remote && !(remote = calloc(1, sizeof *remote)))
                return -ENOMEM;
            remote->forward = forward;
            remote->server = servers[i];
            if (!np_view_upstream_clear(&servers[i], &remote->state.endpoint))
                remote->state.endpoint = servers[i].endpoint;
            np_upstream_tls_forgive(&remote->tls); /* what was not to be reached may be, in another network */
            remote->references++;
            tables->remotes[tables->remote_count++] = remote;
        }
        if (!find_remote(group->remotes, group->count, &servers[i]))
            group->remotes[group->count++] = remote;
    }
    return 0;
}

struct group *np_forward_group(struct np_forward *forward, const struct np_name *qname)
{
    struct group *best = &forward->groups[0];
    for (size_t i = 1; i < forward->group_count; i++) {
        struct group *group = &forward->groups[i];
        if ((best == forward->groups || group->zone.len > best->zone.len) && np_name_within(qname, &group->zone))
            best = group;
    }
    return best;
}

bool np_forward_is_offline(struct np_forward *forward, const struct np_name *qname)
{
    const struct group *group = np_forward_group(forward, qname);
    int64_t now = (int64_t)uv_now(forward->loop);
    for (size_t i = 0; i < group->count; i++) {
        const struct np_upstream *state = &group->remotes[i]->state;
        if (!np_upstream_is_dead(state) && np_upstream_may_ask(state, now))
            return false;
    }
    return true;
}

int np_forward_set_upstreams(struct np_forward *forward, const struct np_view *view)
{
    static const struct np_name root = {.len = 1};
    struct tables *tables = calloc(1, sizeof *tables);
    if (!tables)
        return -ENOMEM;
    int rc = add_group(forward, tables, &root, view->upstreams, view->upstream_count);
    for (size_t i = 0; i < view->forward_count && !rc; i++)
        rc = add_group(forward, tables, &view->forwards[i].zone, view->forwards[i].to, view->forwards[i].to_count);
    if (rc) {
        for (size_t i = 0; i < tables->remote_count; i++)
            np_forward_remote_release(tables->remotes[i]);
        free(tables);
        return rc;
    }
    for (size_t i = 0; i < forward->remote_count; i++)
        np_forward_remote_release(forward->remotes[i]);
    memcpy(forward->remotes, tables->remotes, sizeof forward->remotes);
    memcpy(forward->groups, tables->groups, sizeof forward->groups);
    forward->remote_count = tables->remote_count;
    forward->group_count = tables->group_count;
    forward->per_client = view->inflight_limit;
    /* An address may have come or gone with this view; whoever is still ourselves is found out at the next query. */
    for (size_t i = 0; i < forward->remote_count; i++)
        forward->remotes[i]->state.itself = false;
    /* What questions in flight remember by place in a group means nothing now: all may be asked again. */
    for (size_t i = 0; i < forward->inflight; i++) {
        struct np_attempt *attempt = &forward->heap[i]->attempt;
        forward->heap[i]->group = np_forward_group(forward, &forward->heap[i]->name);
        memset(attempt->sent, 0, sizeof attempt->sent);
        memset(attempt->exhausted, 0, sizeof attempt->exhausted);
    }
    free(tables);
    return 0;
}
