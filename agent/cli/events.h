/* events: `nameplate events`: what happened on the box lately: addresses seen, answered, pushed, visible, and the rest
 * (agent/events.h).
 *
 * The shape of `--json` is docs/schema/events.schema.json, with --follow one event a line; stable: members are added,
 * never renamed or removed. */
#ifndef AGENT_CLI_EVENTS_H
#define AGENT_CLI_EVENTS_H

/* Runs the verb: argv[0] is "events". Returns the exit code of agent/cli/cli.h. */
int np_events_verb_main(int argc, char **argv);

#endif
