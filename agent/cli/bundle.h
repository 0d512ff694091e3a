/* bundle: `nameplate support-bundle`: what a vendor's support wants to see, in one JSON file, without a secret. */
#ifndef AGENT_CLI_BUNDLE_H
#define AGENT_CLI_BUNDLE_H

/* Runs the verb; argv[0] is its name. Returns an exit code of cli.h. */
int np_bundle_verb_main(int argc, char **argv);

#endif
