/* front: the child process that holds the TLS key and serves ports 80, 443 and 853.
 *
 * Port 80 redirects the own name to https, and answers an address or a .local name with a small page that tries the
 * name and says what is in its way, so that nobody is stranded (agent/front/answer.h). Port 443 ends TLS with the
 * device's certificate and relays the bytes to a backend, or, without one, serves a status page. Port 853 is DNS over
 * TLS (RFC 7858): the front ends TLS and hands the plain bytes of each client to the resolver, with who and where the
 * client is. In the other direction it connects to the view's DNS servers over TLS for the resolver (RFC 8310), checks
 * who they are, and hands over the plain bytes. Frames on descriptor 3 (resolver/base/channel.h), in:
 *
 *   LSTN, DROP  resolver/listen.h; kinds "http", "https" and "dot", bound and listening; others are closed
 *   VIEW        resolver/view.h: own names, own addresses, who is admitted
 *   CERT        {"names":["..."], "chain":"PEM, leaf first", "key":"base64url of SEC1 DER"}
 *   CONF        agent/front/settings.h: backends and limits
 *   PEER        resolver/peer.h: this process's end of the channel to the resolver; without one 853 refuses at once
 *   FRGT        empty: the certificate is taken away; ports 443 and 853 serve nobody until the next CERT
 *   NEWS        agent/front/news.h: why the name does not open, and earlier addresses, for the pages
 *   ANCH        one descriptor: the PEM file that DNS servers of the kind tls://ADDRESS#NAME are checked by
 *   CLCK        {"floor":UNIX SECONDS, "steady":SECONDS OF CLOCK_BOOTTIME, "signed":BOOL, "doubted":BOOL}: what time it
 *               certainly is, whether HQ has signed that, whether the system clock may be wrong
 * (agent/identity/clock.h) STAT        asks for the counters
 *
 * Where there is no backend for a name, the front serves its own pages. New connections use the newest certificate and
 * backend, old ones end in peace with theirs.
 *
 * and out: REDY, once, after the first VIEW; STAT with a JSON object of counters. */
#ifndef AGENT_FRONT_FRONT_H
#define AGENT_FRONT_FRONT_H

/* The child role: serves until the channel ends. Returns the exit code: 0, or 1 when it could not start. The caller has
 * set the log up and entered the sandbox. */
int np_front_child_main(void);

#endif
