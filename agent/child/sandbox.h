/* sandbox: what a child process gives up for good at its start, before it reads a byte from outside.
 *
 * Everything is best effort where a kernel lacks it, and reported: no_new_privs, no core dumps, not dumpable (no
 * ptrace, no /proc/PID/mem by the same user), no capabilities. The resolver's role, moreover: Landlock without any rule
 * (no file can be opened, made, removed or executed) and a seccomp filter under which execve, opening files, ptrace,
 * reading another process's memory, sockets other than inet stream and dgram (and their relatives: io_uring, bpf,
 * namespaces, modules, new processes) fail with EPERM. No thread must have been started. Descriptors that are open stay
 * usable.
 *
 * In builds with AddressSanitizer the process stays dumpable (the leak checker needs ptrace on itself). */
#ifndef AGENT_CHILD_SANDBOX_H
#define AGENT_CHILD_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

enum np_sandbox_role { NP_SANDBOX_RESOLVER, NP_SANDBOX_FRONT };

#define NP_SANDBOX_TEXT_MAX 160

/* What took hold. */
struct np_sandbox_report {
    bool no_new_privs, no_core, not_dumpable, no_capabilities;
    int landlock; /* the ABI in force; 0: the role does not want it; -errno: the kernel does not have it */
    int seccomp;  /* 1: in force; 0: the role does not want it; -errno: not to be had */
};

/* Enters the role. Returns 0 when all that the kernel has is in force (report tells what it lacks), or -errno where one
 * of the first four failed: then the child must not go on. */
int np_sandbox_enter(enum np_sandbox_role role, struct np_sandbox_report *out_report);

/* "no_new_privs, no core, not dumpable, no capabilities, landlock 4, seccomp" for one log line. Returns buffer. */
const char *np_sandbox_format(const struct np_sandbox_report *report, char buffer[NP_SANDBOX_TEXT_MAX]);

#endif
