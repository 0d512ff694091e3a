"""`tests/lab bench`: what a query costs, beside other servers, in namespaces of its own. docs/bench.md has the method.

  figures   medians with their intervals, the table and the JSON, the machine
  place     two hosts and a cable, CPU time of a process, dnsperf
  servers   nameplate and its peers, each set up for its best
  names     the questions that are asked
  resolver  the rows of `tests/lab bench resolver`
  agent     the rows of `tests/lab bench agent`, which are in footprint (flash and memory), moments (first boot, changed
            addresses) and tls (the front as a relay); homes: boxes with their HQ and CA
  hq, zone  the rows of `tests/lab bench hq` and `bench zone`; clients: uacme, lego and certbot
"""
