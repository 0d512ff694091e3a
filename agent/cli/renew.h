/* renew: `nameplate renew`: asks HQ now whether there is a newer certificate, or for one with another key. */
#ifndef AGENT_CLI_RENEW_H
#define AGENT_CLI_RENEW_H

/* The verb. argv[0] is "renew". Returns the exit status (agent/cli/cli.h). */
int np_renew_verb_main(int argc, char **argv);

#endif
