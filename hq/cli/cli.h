/* cli: what an operator types: `nameplate-hq VERB ...`. Finds the verb in one table, and runs it or prints its help.
 *
 * A new verb: a file of its own beside this one with a struct np_verb (hq/cli/verb.h), and a line in cli.c's table. A
 * new action of a verb that has several (`device list`): a function and a line in the verb's own table. */
#ifndef HQ_CLI_CLI_H
#define HQ_CLI_CLI_H

/* Runs the verb in argv[1]; returns the exit code (hq/cli/verb.h). */
int np_hq_cli_main(int argc, char **argv);

#endif
