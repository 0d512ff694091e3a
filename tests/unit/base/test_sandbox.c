/* What a sandboxed child can no longer do: each attempt is made in a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "resolver/base/sandbox.h"

/* An attempt returns 0 when it succeeded, or errno. */
typedef int attempt_fn(void);

static int opened_before; /* a TCP socket from before the sandbox */

static int answer(long result)
{
    return result < 0 ? errno : 0;
}

static int try_open_read(void)
{
    return answer(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int try_open_write(void)
{
    return answer(open("/tmp/nameplate-sandbox-test", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int try_mkdir(void)
{
    return answer(mkdir("/tmp/nameplate-sandbox-test.d", 0700));
}

static int try_exec(void)
{
    char *const argv[] = {(char *)(uintptr_t) "true", NULL};
    char *const none[] = {NULL};
    return answer(execve("/bin/true", argv, none));
}

static int try_fork(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return answer(pid);
}

static int try_ptrace(void)
{
    return answer(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int try_kill_parent(void)
{
    return answer(kill(getppid(), 0));
}

static int try_tgkill_parent(void)
{
    return answer(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int try_queue_signal(void)
{
    siginfo_t info = {.si_code = SI_QUEUE};
    return answer(syscall(SYS_rt_sigqueueinfo, getppid(), 0, &info));
}

static int try_queue_thread_signal(void)
{
    siginfo_t info = {.si_code = SI_QUEUE};
    return answer(syscall(SYS_rt_tgsigqueueinfo, getppid(), getppid(), 0, &info));
}

static int try_limit_parent(void)
{
    struct rlimit limit;
    return answer(prlimit(getppid(), RLIMIT_NOFILE, NULL, &limit));
}

static int try_raw_socket(void)
{
    return answer(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
}

static int try_packet_socket(void)
{
    return answer(socket(AF_PACKET, SOCK_DGRAM, 0));
}

static int try_netlink_socket(void)
{
    return answer(socket(AF_NETLINK, SOCK_RAW, 0));
}

static int try_unix_socket(void)
{
    return answer(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int try_memfd(void)
{
    return answer(memfd_create("program", 0));
}

static int try_io_uring(void)
{
    return answer(syscall(SYS_io_uring_setup, 1, NULL));
}

static int try_unshare(void)
{
    return answer(syscall(SYS_unshare, 0x10000000 /* CLONE_NEWUSER */));
}

static int try_bind(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    return answer(bind(opened_before, (struct sockaddr *)&any, sizeof any));
}

static int try_listen(void)
{
    return answer(listen(opened_before, 1));
}

static int try_map_code(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return answer(memory == MAP_FAILED ? -1 : 0);
}

static int try_make_code(void)
{
    void *memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? 200 : answer(mprotect(memory, 4096, PROT_READ | PROT_EXEC));
}

static int use_connect(void)
{
    struct sockaddr_in closed = {.sin_family = AF_INET, .sin_port = htons(1)};
    closed.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return answer(connect(opened_before, (struct sockaddr *)&closed, sizeof closed));
}

static int use_socketpair(void)
{
    int pair[2];
    return answer(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
}

static int use_udp(void)
{
    return answer(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

static int use_tcp6(void)
{
    return answer(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0));
}

static int use_memory_and_time(void)
{
    struct timespec now;
    void *memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t byte;
    return memory == MAP_FAILED || clock_gettime(CLOCK_REALTIME, &now) || syscall(SYS_getrandom, &byte, 1, 0) != 1;
}

static void *thread_main(void *argument)
{
    return argument;
}

static int use_thread(void)
{
    pthread_t thread;
    int rc = pthread_create(&thread, NULL, thread_main, NULL);
    return rc ? rc : pthread_join(thread, NULL);
}

static int use_own_signal_and_limit(void)
{
    struct rlimit limit;
    return raise(0) || getrlimit(RLIMIT_NOFILE, &limit); /* abort(3) is a raise */
}

static int check_flags(void)
{
    struct rlimit core;
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 201;
    if (prctl(PR_GET_DUMPABLE) != 0)
        return 202;
    if (getrlimit(RLIMIT_CORE, &core) || core.rlim_max != 0)
        return 203;
    if (syscall(SYS_capget, &header, data) || data[0].permitted || data[0].effective || data[1].permitted)
        return 204;
    if (prctl(PR_CAPBSET_READ, CAP_NET_RAW) == 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_RAW, 0, 0))
        return 205;
    return 0;
}

/* Runs the attempt in a child; sandboxed unless role is negative. Returns its answer, or 255 when it was killed. */
static int outcome(int role, attempt_fn *attempt)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct np_sandbox_report report;
        opened_before = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (role >= 0 && np_sandbox_enter((enum np_sandbox_role)role, &report))
            _exit(254);
        _exit(attempt());
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* What no role may do. */
static const struct {
    const char *what;
    attempt_fn *attempt;
} forbidden[] = {
    {"open for reading", try_open_read},
    {"open for writing", try_open_write},
    {"mkdir", try_mkdir},
    {"exec", try_exec},
    {"fork", try_fork},
    {"ptrace", try_ptrace},
    {"signals to others", try_kill_parent},
    {"signals to others' threads", try_tgkill_parent},
    {"queued signals", try_queue_signal},
    {"queued signals to threads", try_queue_thread_signal},
    {"others' limits", try_limit_parent},
    {"raw socket", try_raw_socket},
    {"packet socket", try_packet_socket},
    {"netlink socket", try_netlink_socket},
    {"unix socket", try_unix_socket},
    {"memfd", try_memfd},
    {"io_uring", try_io_uring},
    {"unshare", try_unshare},
    {"binding", try_bind},
    {"listening", try_listen},
    {"memory to execute", try_map_code},
    {"making memory executable", try_make_code},
};

static void test_forbidden(void **state)
{
    (void)state;
    for (int role = NP_SANDBOX_RESOLVER; role <= NP_SANDBOX_DNS; role++) {
        for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++) {
            int got = outcome(role, forbidden[i].attempt);
            if (got != EPERM && got != EACCES)
                fail_msg("%s: %d in role %d", forbidden[i].what, got, role);
        }
    }
}

static void test_forbidden_by_role(void **state)
{
    (void)state;
    assert_int_equal(outcome(NP_SANDBOX_RESOLVER, use_socketpair), EPERM);
    assert_int_equal(outcome(NP_SANDBOX_FRONT, use_udp), EPERM);
    assert_int_equal(outcome(NP_SANDBOX_DNS, use_udp), EPERM);
    assert_int_equal(outcome(NP_SANDBOX_DNS, use_tcp6), EPERM);
    assert_int_equal(outcome(NP_SANDBOX_DNS, use_socketpair), EPERM);
    assert_int_equal(outcome(NP_SANDBOX_DNS, use_connect), EPERM);
}

static void test_attempts_work_outside(void **state)
{
    (void)state;
    /* A test that cannot fail is none: without the sandbox these succeed for anybody. */
    assert_int_equal(outcome(-1, try_open_read), 0);
    assert_int_equal(outcome(-1, try_exec), 0);
    assert_int_equal(outcome(-1, try_fork), 0);
    assert_int_equal(outcome(-1, try_unix_socket), 0);
    assert_int_equal(outcome(-1, try_netlink_socket), 0);
    assert_int_equal(outcome(-1, try_memfd), 0);
    assert_int_equal(outcome(-1, try_ptrace), 0);
    assert_int_equal(outcome(-1, try_tgkill_parent), 0);
    assert_int_equal(outcome(-1, try_queue_signal), 0);
    assert_int_equal(outcome(-1, try_queue_thread_signal), 0);
    assert_int_equal(outcome(-1, try_limit_parent), 0);
    assert_int_equal(outcome(-1, try_bind), 0);
    assert_int_equal(outcome(-1, try_listen), 0);
    assert_int_equal(outcome(-1, try_map_code), 0);
    assert_int_equal(outcome(-1, try_make_code), 0);
    assert_int_equal(outcome(-1, use_socketpair), 0);
    assert_int_equal(outcome(-1, use_connect), ECONNREFUSED);
    assert_int_not_equal(outcome(-1, check_flags), 0);
}

static void test_still_allowed(void **state)
{
    (void)state;
    for (int role = NP_SANDBOX_RESOLVER; role <= NP_SANDBOX_DNS; role++) {
        assert_int_equal(outcome(role, use_memory_and_time), 0);
        assert_int_equal(outcome(role, use_thread), 0);
        assert_int_equal(outcome(role, use_own_signal_and_limit), 0);
        assert_int_equal(outcome(role, check_flags), 0);
    }
    assert_int_equal(outcome(NP_SANDBOX_RESOLVER, use_udp), 0);
    assert_int_equal(outcome(NP_SANDBOX_RESOLVER, use_tcp6), 0);
    assert_int_equal(outcome(NP_SANDBOX_RESOLVER, use_connect), ECONNREFUSED);
    assert_int_equal(outcome(NP_SANDBOX_FRONT, use_tcp6), 0);
    assert_int_equal(outcome(NP_SANDBOX_FRONT, use_connect), ECONNREFUSED);
    assert_int_equal(outcome(NP_SANDBOX_FRONT, use_socketpair), 0);
}

/* systemd's @privileged denies capset: then it must not be needed. */
static int deny_capset(void)
{
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                                 BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_capset, 0, 1),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
                                 BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static int without_capset_holding_some(void)
{
    return deny_capset() ? 220 : -np_sandbox_drop_capabilities();
}

static int without_capset_holding_none(void)
{
    struct np_sandbox_report report;
    if (deny_capset() || (getuid() == 0 && setresuid(65534, 65534, 65534)))
        return 220;
    return np_sandbox_enter(NP_SANDBOX_RESOLVER, &report) ? 221 : 0;
}

static void test_capset_is_not_needed(void **state)
{
    (void)state;
    assert_int_equal(outcome(-1, without_capset_holding_none), 0);
    if (getuid() == 0)
        assert_int_equal(outcome(-1, without_capset_holding_some), EPERM);
}

/* Landlock alone and seccomp alone would each hide the absence of the other from the tests above. */
static int report_says_both(void)
{
    struct np_sandbox_report report;
    if (np_sandbox_enter(NP_SANDBOX_RESOLVER, &report))
        return 210;
    if (!report.no_new_privs || !report.no_core || !report.not_dumpable || !report.no_capabilities)
        return 211;
    if (report.seccomp != 1)
        return 212;
    return report.landlock > 0 || report.landlock == -ENOSYS || report.landlock == -EOPNOTSUPP ? 0 : 213;
}

static void test_report(void **state)
{
    (void)state;
    assert_int_equal(outcome(-1, report_says_both), 0);
    char text[NP_SANDBOX_TEXT_MAX];
    struct np_sandbox_report report = {true, true, true, true, 4, 1};
    assert_string_equal(np_sandbox_format(&report, text),
                        "no_new_privs, no core, not dumpable, no capabilities, landlock 4, seccomp");
    report = (struct np_sandbox_report){.landlock = -ENOSYS, .seccomp = -EINVAL};
    assert_string_equal(np_sandbox_format(&report, text),
                        "new privileges possible, core dumps possible, dumpable, capabilities kept, "
                        "without landlock, without seccomp");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attempts_work_outside),
        cmocka_unit_test(test_forbidden),
        cmocka_unit_test(test_forbidden_by_role),
        cmocka_unit_test(test_still_allowed),
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_capset_is_not_needed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
