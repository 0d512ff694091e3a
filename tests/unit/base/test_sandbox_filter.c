/* The sandbox's filter, run instruction by instruction as the kernel would: also for machines that are only emulated.
 */
#include <errno.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "resolver/base/sandbox_filter.h"

#define SELF  4711u
#define EVERY 7u /* all roles */
#define ALLOW SECCOMP_RET_ALLOW
#define DENY  (SECCOMP_RET_ERRNO | EPERM)

enum { RESOLVER = 1, FRONT = 2, DNS = 4 };

/* The classic BPF that the filter is made of; a program that runs off its end or uses more fails the test. */
static uint32_t verdict(const struct sock_filter *code, size_t count, const struct seccomp_data *data)
{
    uint32_t a = 0;
    for (size_t at = 0; at < count; at++) {
        const struct sock_filter *now = &code[at];
        switch (now->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(now->k % 4 == 0 && now->k + 4 <= sizeof *data);
            memcpy(&a, (const uint8_t *)data + now->k, sizeof a);
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= now->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            at += a == now->k ? now->jt : now->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            at += a >= now->k ? now->jt : now->jf;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            at += a & now->k ? now->jt : now->jf;
            break;
        case BPF_RET | BPF_K:
            return now->k;
        default:
            fail_msg("instruction %zu: %x", at, now->code);
        }
    }
    fail_msg("the filter has no end");
    return 0;
}

/* What the role's filter says to a call on this machine. */
static uint32_t asked(enum np_sandbox_role role, long call, uint64_t first, uint64_t second, uint64_t third)
{
    struct sock_filter code[NP_SANDBOX_FILTER_MAX];
    size_t count = np_sandbox_filter(role, SELF, code);
    assert_in_range(count, 1, NP_SANDBOX_FILTER_MAX - 1);
    /* The machine is what the filter compares with first. */
    struct seccomp_data data = {.nr = (int)call, .arch = code[1].k, .args = {first, second, third}};
    return verdict(code, count, &data);
}

struct row {
    const char *what;
    long call;
    uint64_t args[3];
    unsigned roles; /* which may */
};

static const struct row rows[] = {
    {"exec", SYS_execve, {0}, 0},
    {"opening", SYS_openat, {0}, 0},
    {"ptrace", SYS_ptrace, {0}, 0},
    {"io_uring", SYS_io_uring_setup, {0}, 0},
    {"the clock", SYS_clock_settime, {0}, 0},
    {"binding", SYS_bind, {0}, 0},
    {"listening", SYS_listen, {0}, 0},
    {"reading", SYS_read, {0}, EVERY},
    {"polling", SYS_epoll_pwait, {0}, EVERY},
    {"sending", SYS_sendmsg, {0}, EVERY},
    {"closing", SYS_close, {0}, EVERY},
    {"a UDP socket", SYS_socket, {AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0}, RESOLVER},
    {"a TCP socket", SYS_socket, {AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0}, RESOLVER | FRONT},
    {"a raw socket", SYS_socket, {AF_INET, SOCK_RAW, IPPROTO_ICMP}, 0},
    {"a Unix socket", SYS_socket, {AF_UNIX, SOCK_STREAM, 0}, 0},
    {"netlink", SYS_socket, {AF_NETLINK, SOCK_RAW, 0}, 0},
    {"connecting", SYS_connect, {3, 0, 0}, RESOLVER | FRONT},
    {"socketpair", SYS_socketpair, {AF_UNIX, SOCK_STREAM, 0}, FRONT},
    {"a signal to itself", SYS_tgkill, {SELF, SELF, 6}, EVERY},
    {"a signal to others", SYS_tgkill, {SELF + 1, SELF + 1, 6}, 0},
    {"own limits", SYS_prlimit64, {0, 7, 0}, EVERY},
    {"others' limits", SYS_prlimit64, {1, 7, 0}, 0},
    {"code by mprotect", SYS_mprotect, {0, 4096, PROT_READ | PROT_EXEC}, 0},
    {"data by mprotect", SYS_mprotect, {0, 4096, PROT_READ | PROT_WRITE}, EVERY},
#ifdef SYS_mmap2
    {"code by mmap2", SYS_mmap2, {0, 4096, PROT_READ | PROT_EXEC}, 0},
    {"data by mmap2", SYS_mmap2, {0, 4096, PROT_READ | PROT_WRITE}, EVERY},
#endif
#ifdef __s390x__
    {"a mapping", SYS_mmap, {0x3ffdeadbeef, 0xffff, 0xffff}, EVERY}, /* only the first register means something */
    {"a process", SYS_clone, {0, SIGCHLD, 0}, 0},
    {"a thread", SYS_clone, {0, CLONE_VM | CLONE_THREAD, 0}, EVERY},
    /* All that the C library does with sockets there. */
    {"socketcall: socket", SYS_socketcall, {SYS_SOCKET, 0, 0}, RESOLVER | FRONT},
    {"socketcall: bind", SYS_socketcall, {SYS_BIND, 0, 0}, 0},
    {"socketcall: listen", SYS_socketcall, {SYS_LISTEN, 0, 0}, 0},
    {"socketcall: connect", SYS_socketcall, {SYS_CONNECT, 0, 0}, RESOLVER | FRONT},
    {"socketcall: socketpair", SYS_socketcall, {SYS_SOCKETPAIR, 0, 0}, FRONT},
    {"socketcall: sendmsg", SYS_socketcall, {SYS_SENDMSG, 0, 0}, EVERY},
    {"socketcall: recvmsg", SYS_socketcall, {SYS_RECVMSG, 0, 0}, EVERY},
    {"socketcall: accept4", SYS_socketcall, {SYS_ACCEPT4, 0, 0}, EVERY},
#else
#ifdef SYS_mmap
    {"code by mmap", SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC}, 0},
    {"data by mmap", SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE}, EVERY},
#endif
    {"a process", SYS_clone, {SIGCHLD, 0, 0}, 0},
    {"a thread", SYS_clone, {CLONE_VM | CLONE_THREAD, 0, 0}, EVERY},
#ifdef SYS_socketcall
    {"the old door to sockets", SYS_socketcall, {SYS_BIND, 0, 0}, 0},
    {"the old door to sockets", SYS_socketcall, {SYS_RECVMSG, 0, 0}, 0},
#endif
#endif
/* What 32-bit machines and MIPS have besides. */
#ifdef SYS_truncate64
    {"truncate64", SYS_truncate64, {0}, 0},
#endif
#ifdef SYS_chown32
    {"chown32", SYS_chown32, {0}, 0},
#endif
#ifdef SYS_utimensat_time64
    {"utimensat_time64", SYS_utimensat_time64, {0}, 0},
    {"clock_settime64", SYS_clock_settime64, {0}, 0},
    {"clock_gettime64", SYS_clock_gettime64, {0}, EVERY},
    {"futex_time64", SYS_futex_time64, {0}, EVERY},
#endif
#ifdef SYS_syscall
    {"any call", SYS_syscall, {SYS_openat, 0, 0}, 0},
#endif
};

static void test_verdicts(void **state)
{
    static const unsigned bits[] = {
        [NP_SANDBOX_RESOLVER] = RESOLVER, [NP_SANDBOX_FRONT] = FRONT, [NP_SANDBOX_DNS] = DNS};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *row = &rows[i];
        for (int role = NP_SANDBOX_RESOLVER; role <= NP_SANDBOX_DNS; role++) {
            uint32_t got = asked((enum np_sandbox_role)role, row->call, row->args[0], row->args[1], row->args[2]);
            if (got != (row->roles & bits[role] ? ALLOW : DENY))
                fail_msg("%s: %x in role %d", row->what, got, role);
        }
    }
}

static void test_clone3_sends_to_clone(void **state)
{
    (void)state;
    assert_int_equal(asked(NP_SANDBOX_FRONT, SYS_clone3, 0, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
}

static void test_calls_of_another_machine(void **state)
{
    struct sock_filter code[NP_SANDBOX_FILTER_MAX];
    size_t count = np_sandbox_filter(NP_SANDBOX_DNS, SELF, code);
    struct seccomp_data data = {.nr = SYS_read, .arch = code[1].k ^ 1};
    (void)state;
    assert_int_equal(verdict(code, count, &data), SECCOMP_RET_KILL_PROCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_clone3_sends_to_clone),
        cmocka_unit_test(test_calls_of_another_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
