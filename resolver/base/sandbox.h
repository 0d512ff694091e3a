/* sandbox: what a child process gives up for good at its start, before it reads a byte from outside.
 *
 * Every role: no_new_privs, no core dumps, not dumpable (no ptrace and no /proc/PID/mem by the same user), no
 * capabilities, Landlock without any rule (no file can be opened, made, removed or executed) and a seccomp filter under
 * which these fail with EPERM: new programs and processes, files by name, ptrace and its relatives, signals to others,
 * memory that can be executed, listening, io_uring, bpf, namespaces, modules. Descriptors that are open stay usable,
 * and those that come over a channel are.
 *
 *                          RESOLVER              FRONT              DNS
 *   sockets                inet stream, dgram    inet stream        none
 *   connect                yes                   yes                no
 *   socketpair             no                    yes                no
 *
 * Landlock and seccomp are best effort: a kernel without them is reported, not refused. Call it while there is one
 * thread. */
#ifndef RESOLVER_BASE_SANDBOX_H
#define RESOLVER_BASE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>

enum np_sandbox_role {
    NP_SANDBOX_RESOLVER, /* the device's resolver: hostile DNS */
    NP_SANDBOX_FRONT,    /* the process with the TLS key: hostile TLS and HTTP */
    NP_SANDBOX_DNS       /* HQ's name server: hostile DNS, nobody to ask */
};

#define NP_SANDBOX_TEXT_MAX 200

/* What took hold. */
struct np_sandbox_report {
    bool no_new_privs, no_core, not_dumpable, no_capabilities;
    int landlock; /* the ABI in force; -errno: the kernel does not have it */
    int seccomp;  /* 1: in force; -errno: not to be had */
};

/* Enters the role. Returns 0 when all that the kernel has is in force (the report tells what it lacks), or -errno where
 * one of the first four failed: then the child must not go on. */
int np_sandbox_enter(enum np_sandbox_role role, struct np_sandbox_report *out_report);

/* Clears the effective, permitted, inheritable and ambient capabilities. Where a service manager has taken capset away
 * it clears the ambient ones: without them an exec by any user but root leaves none, and then this succeeds. Makes
 * system calls only, so that it can be called between fork and exec. Returns 0 or -errno. */
int np_sandbox_drop_capabilities(void);

/* What a sanitizers' build needs in a sandboxed child's environment ("NAME=VALUE"); NULL in other builds. Static. */
const char *np_sandbox_variable(void);

/* "no_new_privs, no core, not dumpable, no capabilities, landlock 4, seccomp" for one log line. Returns buffer. */
const char *np_sandbox_format(const struct np_sandbox_report *report, char buffer[NP_SANDBOX_TEXT_MAX]);

#endif
