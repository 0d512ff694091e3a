/* dnr: `nameplate config dnr`: what the home's DHCP server and router must say so that devices find the box's DNS over
 * TLS by themselves (agent/dnr.h). */
#ifndef AGENT_CLI_DNR_H
#define AGENT_CLI_DNR_H

/* Runs `config dnr`: argv[0] is "dnr". Returns the exit code of cli.h. */
int np_dnr_verb_main(int argc, char **argv);

#endif
