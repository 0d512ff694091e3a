/* deploy: `nameplate deploy`, the root oneshot that gives the certificate to other servers of the machine
 * (agent/certificate/deploy.h), and the verb with which a person runs it by hand. */
#ifndef AGENT_CLI_DEPLOY_H
#define AGENT_CLI_DEPLOY_H

/* Runs the verb; argv[0] is its name. Returns an exit code of cli.h. */
int np_deploy_verb_main(int argc, char **argv);

#endif
