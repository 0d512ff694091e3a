/* doctor: `nameplate doctor`: why does my name not work? Asks the running agent for a round (agent/agent_doctor.h),
 * adds what only whoever calls may see (which process holds a port), and shows it with the lines that mend it.
 *
 * The shape of `--json` is docs/schema/doctor.schema.json, and stable: members are added, never renamed or removed. */
#ifndef AGENT_CLI_DOCTOR_H
#define AGENT_CLI_DOCTOR_H

/* Runs the verb: argv[0] is "doctor". Returns 0 where all is fine, 1 for findings, 2 for wrong usage, 3 where it cannot
 * be told: the agent is not reachable, or nothing was found and not all could be asked. */
int np_doctor_verb_main(int argc, char **argv);

#endif
