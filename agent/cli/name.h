/* name: `nameplate name`: what the box is called; may it have a name of the owner's choice, and let it have that. */
#ifndef AGENT_CLI_NAME_H
#define AGENT_CLI_NAME_H

#define NP_EXIT_REFUSED 4 /* HQ says no */

/* The verb. argv[0] is "name". Returns the exit status (agent/cli/cli.h), or NP_EXIT_REFUSED. */
int np_name_verb_main(int argc, char **argv);

#endif
