/* cli: what a person types: `nameplate VERB ...`. Finds the verb, reads its options, prints help, and runs it.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the agent is not running or not reachable. Help that was asked for
 * goes to standard output, everything that went wrong to standard error. */
#ifndef AGENT_CLI_CLI_H
#define AGENT_CLI_CLI_H

#define NP_EXIT_OK          0
#define NP_EXIT_FAILURE     1
#define NP_EXIT_USAGE       2
#define NP_EXIT_UNREACHABLE 3

#define NP_DEFAULT_CONFIG "/etc/nameplate/nameplate.conf"

/* Runs the verb in argv[1]; returns the exit code. */
int np_cli_main(int argc, char **argv);

#endif
