/* talk: DNS over one TCP connection, blocking, for the operator's verbs: `nameplate-hq zone check` asks and transfers a
 * zone while the server runs as another process. Nothing of HQ's loop uses it. */
#ifndef HQ_ZONE_TALK_H
#define HQ_ZONE_TALK_H

#include <stddef.h>
#include <stdint.h>

#include "resolver/base/address.h"
#include "resolver/message.h"

#define NP_TALK_TIMEOUT_MS 15000 /* of each step: connecting, one message */

/* A conversation. buffer holds the message received last. */
struct np_talk {
    int fd; /* -1: closed */
    uint8_t buffer[NP_DNS_MESSAGE_MAX];
    size_t len;
};

/* Connects. Returns 0 or -errno. */
int np_talk_open(struct np_talk *talk, const struct np_endpoint *server);

/* Sends one message. Returns 0 or -errno. */
int np_talk_send(struct np_talk *talk, const uint8_t *message, size_t len);

/* Receives one message into buffer. Returns 0, NP_E_CLOSED, -ETIMEDOUT or another -errno. */
int np_talk_receive(struct np_talk *talk);

/* Closes; may be repeated. */
void np_talk_close(struct np_talk *talk);

#endif
