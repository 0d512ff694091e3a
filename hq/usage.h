/* usage: what `nameplate-hq --help` and `nameplate-hq VERB --help` say. */
#ifndef HQ_USAGE_H
#define HQ_USAGE_H

#define NP_HQ_CONFIG_DEFAULT "/etc/nameplate-hq/nameplate-hq.conf"

/* The text of a verb, the program's own for NULL; NULL for a verb that there is not. Static storage. */
const char *np_hq_usage(const char *verb);

#endif
