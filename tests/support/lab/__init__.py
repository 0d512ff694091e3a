"""The lab: a whole home, ISP, CA and HQ in network namespaces on one machine.

cli         what a person types
paths       where things are, and under which names
waiting     wait for a condition with a deadline: the one place where time passes
interrupts  Ctrl-C at a moment that is safe
namespaces  network namespaces, links and the programs in them
nodes       one machine of the lab: its addresses, its resolv.conf, its daemons and their logs
internet    the switch, root and TLD servers, the public resolver, the CA, HQ's machine
home        the ISP's router, the box and the laptop
programs    nameplate-hq and the agent, set up as an operator and a vendor would
world       all of it together: up, down, and the promise that nothing stays behind
demo        the four steps of `tests/lab demo`
browser     Chromium on the laptop
build       CMake presets
runner      `tests/lab test`
"""
