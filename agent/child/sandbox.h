/* sandbox: what a child process gives up for good at its start, before it reads a byte from outside.
 *
 * Both roles: no_new_privs, no core dumps, not dumpable (no ptrace and no /proc/PID/mem by the same user), no
 * capabilities. The resolver's role, moreover: Landlock without any rule (no file can be opened, made, removed or
 * executed) and a seccomp filter under which new programs and processes, files by name, ptrace and its relatives,
 * signals to others, sockets other than inet stream and dgram, io_uring, bpf, namespaces and modules fail with EPERM.
 * Landlock and seccomp are best effort: a kernel without them is reported, not refused. Descriptors that are open stay
 * usable. Call it while there is one thread. */
#ifndef AGENT_CHILD_SANDBOX_H
#define AGENT_CHILD_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

enum np_sandbox_role { NP_SANDBOX_RESOLVER, NP_SANDBOX_FRONT };

#define NP_SANDBOX_TEXT_MAX 200

/* What took hold. */
struct np_sandbox_report {
    bool no_new_privs, no_core, not_dumpable, no_capabilities;
    int landlock; /* the ABI in force; 0: the role does not want it; -errno: the kernel does not have it */
    int seccomp;  /* 1: in force; 0: the role does not want it; -errno: not to be had */
};

/* Enters the role. Returns 0 when all that the kernel has is in force (the report tells what it lacks), or -errno where
 * one of the first four failed: then the child must not go on. */
int np_sandbox_enter(enum np_sandbox_role role, struct np_sandbox_report *out_report);

/* Clears the effective, permitted, inheritable and ambient capabilities. Makes system calls only, so that it can be
 * called between fork and exec. Returns 0 or -errno. */
int np_sandbox_drop_capabilities(void);

/* "no_new_privs, no core, not dumpable, no capabilities, landlock 4, seccomp" for one log line. Returns buffer. */
const char *np_sandbox_format(const struct np_sandbox_report *report, char buffer[NP_SANDBOX_TEXT_MAX]);

#endif
