/* cert: `nameplate cert`: the certificate that this box has, whom it is served by, and when it is renewed. */
#ifndef AGENT_CLI_CERT_H
#define AGENT_CLI_CERT_H

/* Runs the verb; argv[0] is its name. Returns an exit code of cli.h; NP_EXIT_FAILURE where there is no valid one. */
int np_cert_verb_main(int argc, char **argv);

#endif
