/* config: the verb `nameplate config`: what other programs of the home need to be told, as lines to paste. */
#ifndef AGENT_CLI_CONFIG_H
#define AGENT_CLI_CONFIG_H

/* Runs the verb: argv[0] is "config", argv[1] what of it. Returns the exit code of cli.h. */
int np_config_verb_main(int argc, char **argv);

#endif
