/* effective: `nameplate config check` and `nameplate config show`: is the configuration right, and what is in force. */
#ifndef AGENT_CLI_EFFECTIVE_H
#define AGENT_CLI_EFFECTIVE_H

#include <jansson.h>

#include "resolver/base/config.h"

/* `config check`; argv[0] is "check". Returns an exit code of cli.h. */
int np_config_check_main(int argc, char **argv);

/* `config show`; argv[0] is "show". Returns an exit code of cli.h: NP_EXIT_FAILURE also where what it shows is wrong.
 */
int np_config_show_main(int argc, char **argv);

/* The value of a key in force, as JSON: null where it is unset. New reference. */
json_t *np_config_json(const struct np_config *file, const struct np_config_key *key);

#endif
