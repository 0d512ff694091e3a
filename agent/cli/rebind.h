/* rebind: `nameplate config rebind`: the exact lines that let the own name, and nothing else, pass a router's DNS
 * rebinding protection. */
#ifndef AGENT_CLI_REBIND_H
#define AGENT_CLI_REBIND_H

/* Runs `nameplate config rebind`: argv[0] is "rebind". Returns the exit code of cli.h. */
int np_rebind_verb_main(int argc, char **argv);

#endif
