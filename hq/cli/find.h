/* find: the device that an operator means by a word. */
#ifndef HQ_CLI_FIND_H
#define HQ_CLI_FIND_H

#include "hq/store/store.h"

#define NP_FIND_SHOWN 20 /* devices that a word may mean are listed up to here */

/* The device whose id, name (with or without the zone) or serial number word is. Returns 0, or the exit code after a
 * message that names what word may mean instead. Of several with the same serial number the one that has not left;
 * where there are more, they are listed. */
int np_find_device(struct np_store *store, const char *word, struct np_device *out_device);

/* Says that there is no such device, and which name is nearest. Returns the exit code. */
int np_find_unknown(struct np_store *store, const char *word);

#endif
