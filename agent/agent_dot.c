#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent_private.h"
#include "resolver/base/error.h"
#include "resolver/base/log.h"
#include "resolver/server.h"

#define FRAME_ANCHORS NP_FRAME('A', 'N', 'C', 'H')
#define FRAME_CLOCK   NP_FRAME('C', 'L', 'C', 'K')
#define FRAME_PEER    NP_FRAME('P', 'E', 'E', 'R')
#define FRAME_LISTEN  NP_FRAME('L', 'S', 'T', 'N')

#define LOOPBACK_IFINDEX 1 /* in every network namespace of Linux */
#define PORT_TRIES       8 /* for a port that is free for UDP and TCP */

/* How long the clock is doubted where HQ cannot be found: HQ is asked again within NP_ENROL_RETRY_CAP_MS. And from the
 * beginning of one such time to the next. */
#define DOUBT_MS       (NP_ENROL_RETRY_CAP_MS + 300000)
#define DOUBT_EVERY_MS 3600000

static bool is_running(const struct np_child *child)
{
    return child && np_child_status(child).pid != 0;
}

/* A channel between the two children (resolver/peer.h), anew after each start of one of them. Whoever lives on gets the
 * other end of it, and drops the one that led to the dead. */
static void join_children(struct np_agent *agent)
{
    int fds[2];
    if (!is_running(agent->resolver) || !is_running(agent->front))
        return; /* the feed of the other one will do it */
    int rc = np_channel_pair(fds);
    if (rc) {
        np_error("stream channel: %s", np_strerror(rc));
        return;
    }
    np_agent_tell(agent, agent->resolver, FRAME_PEER, "", &fds[0], 1);
    np_agent_tell(agent, agent->front, FRAME_PEER, "", &fds[1], 1);
    close(fds[0]);
    close(fds[1]);
}

/* The system's certificates are many: they are read where they are needed alone, by the process that needs them. */
static void send_anchors(struct np_agent *agent)
{
    const char *path = agent->config->dot_anchors;
    if (!np_agent_config_has_tls(agent->config, NP_TLS_STRICT))
        return;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        np_error("dot-anchors = %s: %s; upstreams with tls:// cannot be checked, and are not asked", path,
                 np_strerror(-errno));
        return;
    }
    np_agent_tell(agent, agent->front, FRAME_ANCHORS, "", &fd, 1);
    close(fd);
}

void np_agent_send_clock(struct np_agent *agent)
{
    char text[128];
    int64_t now_s = np_agent_steady_s();
    snprintf(text, sizeof text, "{\"floor\":%lld,\"steady\":%lld,\"signed\":%s,\"doubted\":%s}",
             (long long)np_clock_floor(&agent->clock, now_s), (long long)now_s,
             agent->clock.has_signed ? "true" : "false", agent->doubting ? "true" : "false");
    if (agent->front)
        np_agent_tell(agent, agent->front, FRAME_CLOCK, text, NULL, 0);
}

void np_agent_doubt(struct np_agent *agent)
{
    int64_t now_ms = np_agent_now_ms(agent);
    bool lately = agent->doubt_ms && now_ms - agent->doubt_ms < DOUBT_EVERY_MS;
    if (!agent->has_lookup || !agent->has_hq_key || agent->clock.has_signed || lately)
        return;
    np_notice(
        "HQ cannot be found over DNS over TLS: is it the clock that is wrong? Until HQ has said what time it is, DNS "
        "servers are judged by the time that has certainly passed");
    agent->doubting = true;
    agent->doubt_ms = now_ms;
    np_jobs_reschedule(&agent->jobs, NP_JOB_DOUBT, now_ms + DOUBT_MS);
    np_agent_send_clock(agent);
}

void np_agent_trust(struct np_agent *agent)
{
    if (!agent->doubting)
        return;
    agent->doubting = false;
    np_jobs_reschedule(&agent->jobs, NP_JOB_DOUBT, NP_JOB_NEVER);
    np_agent_send_clock(agent);
}

/* The agent's own look-ups. */

/* Does the configuration leave nobody whom the agent may ask in clear text? */
static bool asks_itself(const struct np_agent_config *c)
{
    struct np_endpoint clear;
    for (size_t i = 0; i < c->upstream_count; i++) {
        if (np_view_upstream_clear(&c->upstreams[i], &clear))
            return false;
    }
    return c->upstream_count > 0;
}

/* A port that is free for UDP and TCP alike. */
static int open_both(struct np_endpoint *local, int out_fds[2])
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof sa;
    int udp = np_server_open(local, false);
    if (udp < 0)
        return udp;
    int tcp = getsockname(udp, (struct sockaddr *)&sa, &len) < 0 ? -errno : 0;
    if (tcp == 0) {
        *local = np_endpoint_from_sockaddr((struct sockaddr *)&sa);
        tcp = np_server_open(local, true);
    }
    if (tcp < 0) {
        close(udp);
        return tcp;
    }
    out_fds[0] = udp;
    out_fds[1] = tcp;
    return 0;
}

void np_agent_dot_open(struct np_agent *agent)
{
    int rc = -EADDRINUSE;
    if (!asks_itself(agent->config))
        return;
    for (int i = 0; i < PORT_TRIES && rc == -EADDRINUSE; i++) {
        agent->lookup_local = (struct np_endpoint){np_addr_from_bytes((uint8_t[]){127, 0, 0, 1}, 4), 0};
        rc = open_both(&agent->lookup_local, agent->lookup_fds);
    }
    agent->has_lookup = rc == 0;
    if (rc)
        np_error("no socket for the agent's own look-ups: %s; HQ will not be found", np_strerror(rc));
}

void np_agent_dot_close(struct np_agent *agent)
{
    if (!agent->has_lookup)
        return;
    close(agent->lookup_fds[0]);
    close(agent->lookup_fds[1]);
    agent->has_lookup = false;
}

static void send_lookup_sockets(struct np_agent *agent)
{
    char text[200];
    unsigned port = agent->lookup_local.port;
    snprintf(text, sizeof text,
             "[{\"address\":\"127.0.0.1\",\"port\":%u,\"kind\":\"dns-udp\",\"ifindex\":%d},"
             "{\"address\":\"127.0.0.1\",\"port\":%u,\"kind\":\"dns-tcp\",\"ifindex\":%d}]",
             port, LOOPBACK_IFINDEX, port, LOOPBACK_IFINDEX);
    np_agent_tell(agent, agent->resolver, FRAME_LISTEN, text, agent->lookup_fds, 2);
}

void np_agent_dot_feed(struct np_agent *agent, struct np_child *child)
{
    if (child == agent->front) {
        np_agent_send_clock(agent);
        send_anchors(agent);
    }
    if (child == agent->resolver && agent->has_lookup)
        send_lookup_sockets(agent);
    join_children(agent);
}
