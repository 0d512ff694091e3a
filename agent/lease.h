/* lease: the DNS servers that a file names, which whatever got the lease has written. Pure.
 *
 * Read are, also mixed, what the usual programs write of their own accord or with a line in their script:
 *
 *   nameserver ADDR                             resolv.conf(5): pppd, netifd (resolv.conf.auto), systemd-resolved,
 *                                               NetworkManager, resolvconf, udhcpc's default script
 *   server=ADDR[#PORT]                          dnsmasq's servers-file; those with a domain are passed over
 *   KEY=ADDR ADDR..., with or without quotes    systemd-networkd's lease (DNS), udhcpc's and dhcpcd's variables (dns,
 *   or "export"                                 domain_name_servers, dhcp6_name_servers, ... with or without new_),
 *                                               odhcp6c's (RDNSS)
 *   option domain-name-servers ADDR, ADDR;      dhclient's leases: those of the last lease count
 *   option dhcp6.name-servers ADDR, ADDR;
 *
 * Everything else is passed over, as every resolver does with what it does not know. */
#ifndef AGENT_LEASE_H
#define AGENT_LEASE_H

#include <stddef.h>

#include "resolver/base/address.h"

/* Adds the servers of len bytes of text to the count that are there already, each once, in their order, as long as
 * there are fewer than max. Addresses that no server has (unspecified, multicast) are passed over. Returns how many
 * there are now. */
size_t np_lease_parse(const char *text, size_t len, struct np_endpoint *servers, size_t count, size_t max);

#endif
