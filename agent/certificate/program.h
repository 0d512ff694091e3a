/* program: runs another program to its end, for the root oneshot: no shell, a time limit, and what it says in our log.
 */
#ifndef AGENT_CERTIFICATE_PROGRAM_H
#define AGENT_CERTIFICATE_PROGRAM_H

#define NP_PROGRAM_WHY_MAX 256

/* Runs argv (as execve has it, the program's whole path first) with standard input from /dev/null, a small environment
 * of its own, and in a process group of its own, which is killed after timeout_s. What it says goes to the log, label
 * before it ("nginx: the reload"); its last line stands in why when it fails, in which it is called what ("the
 * reload"). Returns 0, -ETIMEDOUT, -errno (it could not be started) or NP_E_REFUSED (its exit status was not 0, or a
 * signal ended it). The process must ignore SIGPIPE, and so does the program. */
int np_program_run(const char *label, const char *what, const char *const *argv, unsigned timeout_s,
                   char why[NP_PROGRAM_WHY_MAX]);

#endif
