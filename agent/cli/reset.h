/* reset: `nameplate reset`: gives the box up: leaves HQ and makes it a new device, through the running agent.
 *
 * HQ removes the name's records, revokes the certificate and never gives the name to anybody else; the box forgets
 * name, keys, tokens and certificate and enrols as a new device. Asks for confirmation on a terminal. */
#ifndef AGENT_CLI_RESET_H
#define AGENT_CLI_RESET_H

/* Runs the verb: argv[0] is "reset". Returns the exit code of agent/cli/cli.h. */
int np_reset_verb_main(int argc, char **argv);

#endif
