/* status: `nameplate status`: asks the running agent over its control socket and shows the answer.
 *
 * The shape of `--json` is stable: members are added, never renamed or removed. Times are ISO 8601 in UTC.
 *
 *   {"version": "0.1.0",
 *    "name": "nifty-babbage.devices.example" | null, "url": "https://nifty-babbage.devices.example/" | null,
 *    "device": "HQ's id" | null,
 *    "state": "installed", "reason": "why it is in that state",
 *    "certificate": null | {"valid": true, "issuer": "E7", "names": ["..."], "not_before": "2026-11-22T00:00:00Z",
 *                           "not_after": "2027-01-06T00:00:00Z", "days_left": 45},
 *    "addresses": {"answered": [{"interface": "br-lan", "carrier": true, "addresses": ["192.168.1.1"]}],
 *                  "publish": ["192.168.1.1"],       what HQ should publish
 *                  "published": ["192.168.1.1"] | null}, what HQ confirmed; null: nothing yet since the start
 *    "hq": {"url": "https://hq.devices.example", "last_contact_seconds": 12 | null, "next_action_seconds": 3600 | null,
 *           "next_checkin_seconds": 80000 | null,   the daily check-in; null: none planned (not enrolled)
 *           "next_look_seconds": 2900000 | null,    when it asks for a renewed certificate by itself
 *           "problem": "the last failure" | null},
 *    "clock": {"believed": true, "judged": "2026-11-22T04:00:00Z"},
 *    "processes": {"agent": {"pid": 10}, "resolver": null | {"pid": 11, "ready": true, "restarts": 0}, "front": ...},
 *    "listeners": [{"kind": "dns-udp", "address": "192.168.1.1", "port": 53, "error": null | "address already in
 * use"}], "upstreams": ["198.51.100.53:53"], "state_folder": {"path": "/var/lib/nameplate", "generation": 4, "damaged":
 * [3]}, "problems": ["a sentence for a person", ...]} */
#ifndef AGENT_CLI_STATUS_H
#define AGENT_CLI_STATUS_H

/* Runs the verb: argv[0] is "status". Returns the exit code of agent/cli/cli.h. */
int np_status_verb_main(int argc, char **argv);

#endif
