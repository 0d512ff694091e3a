"""The lab: a whole home, ISP, CA and HQ in network namespaces on one machine.

cli         what a person types
paths       where things are, and under which names
waiting     wait for a condition with a deadline: the one place where time passes
interrupts  Ctrl-C at a moment that is safe
namespaces  network namespaces, links and the programs in them
nodes       one machine of the lab: its addresses, its resolv.conf, its daemons and their logs
internet    the switch, root and TLD servers, the public resolver, the CA, HQ's machine
home        home 2: the ISP's router, the box (router of the home) and the laptop
home1       home 1: a router that filters, the box (a NAS) and the laptop
kernel      when the kernel announced an address
programs    nameplate-hq and the agent, set up as an operator and a vendor would
world       all of it together: up, down, and the promise that nothing stays behind
demo        `tests/lab demo`: its first four steps, and how steps are run and told
step        what the steps share
steps_*     the other steps: homes (addresses, filter, line), hq (HQ stopped and killed), renewal (short lives)
browser     Chromium on the laptop
build       CMake presets
runner      `tests/lab test`
"""
