/* status: `nameplate status`: asks the running agent over its control socket and shows the answer.
 *
 * The shape of `--json` is docs/schema/status.schema.json, and stable: members are added, never renamed or removed.
 * Times are ISO 8601 in UTC. */
#ifndef AGENT_CLI_STATUS_H
#define AGENT_CLI_STATUS_H

/* Runs the verb: argv[0] is "status". Returns the exit code of agent/cli/cli.h. */
int np_status_verb_main(int argc, char **argv);

#endif
