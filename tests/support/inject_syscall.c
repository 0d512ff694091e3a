/* Makes another process attempt system calls, as an attacker inside it would, and tells what came of them: for tests of
 * a live process's sandbox. Prints {"name": errno, ...}, 0 for success; the process goes on as if nothing had been.
 *
 *   inject_syscall PID PARENT     (PARENT: a process that it must not reach)
 *
 * x86-64 only (exit status 77 elsewhere). The process must wait in a system call. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __x86_64__

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSCALL_INSTRUCTION 0x050fu
#define SCRATCH             4096 /* bytes below the stack pointer: far from what the process uses */

static pid_t pid;
static struct user_regs_struct saved;

static void die(const char *what)
{
    fprintf(stderr, "inject_syscall: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* Puts the text below the process's stack and returns its address there. */
static uint64_t place(const char *text)
{
    uint64_t at = (saved.rsp - SCRATCH) & ~15ull;
    uint64_t words[8] = {0};
    memcpy(words, text, strlen(text) < sizeof words - 1 ? strlen(text) : sizeof words - 1);
    for (size_t i = 0; i < 8; i++) {
        if (ptrace(PTRACE_POKEDATA, pid, at + i * 8, words[i]) < 0)
            die("POKEDATA");
    }
    return at;
}

/* One call in the process. Returns what the kernel returned to it. */
static long call(long number, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    struct user_regs_struct regs = saved;
    int status;
    regs.rip = saved.rip - 2; /* the instruction in which it waits */
    regs.rax = (uint64_t)number;
    regs.orig_rax = (uint64_t)-1; /* nothing to restart */
    regs.rdi = a;
    regs.rsi = b;
    regs.rdx = c;
    regs.r10 = d;
    regs.r8 = regs.r9 = 0;
    if (ptrace(PTRACE_SETREGS, pid, 0, &regs) < 0 || ptrace(PTRACE_SINGLESTEP, pid, 0, 0) < 0 ||
        waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, pid, 0, &regs) < 0)
        die("the call");
    return (long)regs.rax;
}

/* An attempt; a descriptor that came of it is closed. */
static void attempt(const char *name, bool first, long result, bool gives_fd)
{
    if (result >= 0 && gives_fd)
        call(SYS_close, (uint64_t)result, 0, 0, 0);
    printf("%s\"%s\": %ld", first ? "{" : ", ", name, result < 0 ? -result : 0);
}

static void attempt_all(pid_t parent)
{
    const uint64_t here = (uint64_t)AT_FDCWD;
    attempt("open for reading", true, call(SYS_openat, here, place("/etc/passwd"), O_RDONLY, 0), true);
    attempt("open for writing", false, call(SYS_openat, here, place("/tmp"), O_RDWR | O_TMPFILE, 0600), true);
    attempt("open memory", false, call(SYS_openat, here, place("/proc/self/mem"), O_RDWR, 0), true);
    attempt("exec", false, call(SYS_execve, place("/no/such/program"), 0, 0, 0), false);
    attempt("raw socket", false, call(SYS_socket, AF_INET, SOCK_RAW, IPPROTO_ICMP, 0), true);
    attempt("packet socket", false, call(SYS_socket, AF_PACKET, SOCK_RAW, 0, 0), true);
    attempt("unix socket", false, call(SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0), true);
    attempt("netlink socket", false, call(SYS_socket, AF_NETLINK, SOCK_RAW, 0, 0), true);
    attempt("ptrace", false, call(SYS_ptrace, PTRACE_PEEKUSER, 1, 0, 0), false);
    attempt("signal", false, call(SYS_kill, (uint64_t)parent, 0, 0, 0), false);
    attempt("pidfd", false, call(SYS_pidfd_open, (uint64_t)parent, 0, 0, 0), true);
    attempt("memfd", false, call(SYS_memfd_create, place("x"), 0, 0, 0), true);
    attempt("unshare", false, call(SYS_unshare, 0x04000000 /* CLONE_NEWUTS */, 0, 0, 0), false);
    /* Bad arguments, so that it makes nothing where it is let through: EFAULT or EINVAL there. */
    attempt("bind", false, call(SYS_bind, 3, 0, 0, 0), false);
    attempt("listen", false, call(SYS_listen, (uint64_t)-1, 0, 0, 0), false);
    attempt("io_uring", false, call(SYS_io_uring_setup, 1, 0, 0, 0), false);
    attempt("bpf", false, call(SYS_bpf, (uint64_t)-1, 0, 0, 0), false);
    /* What must work, or all of this says nothing. */
    attempt("getpid", false, call(SYS_getpid, 0, 0, 0, 0), false);
    puts("}");
}

int main(int argc, char **argv)
{
    int status;
    if (argc != 3)
        return 2;
    pid = (pid_t)strtol(argv[1], NULL, 10);
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) < 0 || ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0 ||
        waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status) || ptrace(PTRACE_GETREGS, pid, 0, &saved) < 0)
        die("attach");
    errno = 0;
    if (((uint64_t)ptrace(PTRACE_PEEKTEXT, pid, saved.rip - 2, 0) & 0xffff) != SYSCALL_INSTRUCTION || errno)
        die("the process does not wait in a system call");
    attempt_all((pid_t)strtol(argv[2], NULL, 10));
    if (ptrace(PTRACE_SETREGS, pid, 0, &saved) < 0 || ptrace(PTRACE_DETACH, pid, 0, 0) < 0)
        die("detach");
    return 0;
}

#else

int main(void)
{
    return 77;
}

#endif
