/* sandbox_filter: which system calls a sandboxed role may make, as a seccomp program (linux/seccomp.h). Pure: sandbox.c puts
 * it in force.
 *
 * Machines differ in their calls: 32-bit ones have second ones for wide times, ids and lengths; MIPS has one that makes
 * any other; on s390x sockets and mappings are asked for with arguments behind a pointer, which a filter cannot follow.
 * There, and only there, RESOLVER and FRONT may make sockets of any kind, and mmap may make memory executable (mprotect
 * may not). */
#ifndef RESOLVER_BASE_SANDBOX_FILTER_H
#define RESOLVER_BASE_SANDBOX_FILTER_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "resolver/base/sandbox.h"

#define NP_SANDBOX_FILTER_MAX 400 /* instructions: two for each call that is denied whatever its arguments, and 100 */

/* Writes the program for a role of the process with that id to out. Returns the number of instructions; 0 on a machine
 * whose calls we do not know. */
size_t np_sandbox_filter(enum np_sandbox_role role, uint32_t process, struct sock_filter out[NP_SANDBOX_FILTER_MAX]);

#endif
