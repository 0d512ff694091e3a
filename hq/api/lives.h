/* lives: is a device one box or several (hq/store/lives.h says what a life is)? Pure. */
#ifndef HQ_API_LIVES_H
#define HQ_API_LIVES_H

#include "hq/store/lives.h"

#define NP_LIVES_WINDOW_S                                                                                              \
    (86400 + 3600) /* in which old lives come back NP_LIVES_RETURNS times: a day, and an hour more,                    \
                      since check-ins come daily */

enum np_lives_verdict {
    NP_LIVES_SAME,     /* the newest life again: nothing to write */
    NP_LIVES_CHANGED,  /* a new one, or an old one: to be written */
    NP_LIVES_SUSPECTED /* and from now on it is taken for a clone */
};

/* A device tells a life at now_s. *lives is changed unless the answer is NP_LIVES_SAME. A device stays suspected until
 * the operator says otherwise. */
enum np_lives_verdict np_lives_tell(struct np_lives *lives, const uint8_t life[NP_LIFE_LEN], int64_t now_s);

#endif
