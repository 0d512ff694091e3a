#include "resolver/base/sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ADDRESS_SANITIZER 1
#endif
#endif

/* Landlock by its numbers: headers older than the running kernel know fewer rights (linux/landlock.h). */
#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self  446
#endif
#define LANDLOCK_VERSION_FLAG 1u
#define LANDLOCK_BIND_TCP     1u
#define LANDLOCK_CONNECT_TCP  2u

struct landlock_attributes {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped; /* ABI 6: abstract Unix sockets and signals stay inside */
};

int np_sandbox_drop_capabilities(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3];
    memset(none, 0, sizeof none);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* absent before Linux 4.3: nothing to clear */
    return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}

static int enter_landlock(enum np_sandbox_role role)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION_FLAG);
    if (abi < 0)
        return -errno;
    /* Rights by ABI: 13 file rights, then REFER, TRUNCATE, (network), IOCTL_DEV. */
    unsigned rights = abi >= 5 ? 16 : abi >= 3 ? 15 : abi >= 2 ? 14 : 13;
    struct landlock_attributes attributes = {.handled_access_fs = (UINT64_C(1) << rights) - 1,
                                             .handled_access_net = LANDLOCK_BIND_TCP |
                                                                   (role == NP_SANDBOX_DNS ? LANDLOCK_CONNECT_TCP : 0),
                                             .scoped = 3};
    size_t size = abi >= 6   ? sizeof attributes
                  : abi >= 4 ? offsetof(struct landlock_attributes, scoped)
                             : offsetof(struct landlock_attributes, handled_access_net);
    int fd = (int)syscall(SYS_landlock_create_ruleset, &attributes, size, 0);
    if (fd < 0)
        return -errno;
    int rc = syscall(SYS_landlock_restrict_self, fd, 0) < 0 ? -errno : (int)abi;
    close(fd);
    return rc;
}

#if defined(__x86_64__)
#define FILTER_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define FILTER_ARCH AUDIT_ARCH_AARCH64
#elif defined(__arm__) && defined(__ARM_EABI__)
#define FILTER_ARCH AUDIT_ARCH_ARM
#elif defined(__riscv) && __riscv_xlen == 64
#define FILTER_ARCH AUDIT_ARCH_RISCV64
#elif defined(__mips__) && _MIPS_SIM == _ABIO32 && defined(__MIPSEL__)
#define FILTER_ARCH AUDIT_ARCH_MIPSEL
#elif defined(__mips__) && _MIPS_SIM == _ABIO32
#define FILTER_ARCH AUDIT_ARCH_MIPS
#elif defined(__s390x__)
#define FILTER_ARCH AUDIT_ARCH_S390X
#endif

#ifdef FILTER_ARCH

/* Answered with EPERM, whatever the arguments. A kernel's table differs by architecture: what it lacks is left out. */
static const uint16_t denied[] = {
    /* new programs, and other processes */
    SYS_execve,
    SYS_execveat,
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_kcmp,
    SYS_kill,
    SYS_tkill,
    SYS_rt_sigqueueinfo,
    SYS_rt_tgsigqueueinfo,
    SYS_pidfd_open,
    SYS_pidfd_send_signal,
    SYS_setns,
    SYS_unshare,
    SYS_memfd_create,
    /* sockets that others could reach */
    SYS_bind,
    SYS_listen,
#ifdef SYS_pidfd_getfd
    SYS_pidfd_getfd,
#endif
#ifdef SYS_process_madvise
    SYS_process_madvise,
#endif
#ifdef SYS_memfd_secret
    SYS_memfd_secret,
#endif
#ifdef SYS_fork
    SYS_fork,
    SYS_vfork,
#endif
    /* files by name; Landlock says the same where there is one */
    SYS_openat,
    SYS_openat2,
    SYS_mkdirat,
    SYS_mknodat,
    SYS_unlinkat,
    SYS_symlinkat,
    SYS_linkat,
    SYS_fchmodat,
    SYS_fchownat,
    SYS_truncate,
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_removexattr,
    SYS_utimensat,
    SYS_chroot,
    SYS_mount,
    SYS_umount2,
    SYS_pivot_root,
    SYS_name_to_handle_at,
    SYS_open_by_handle_at,
    SYS_inotify_init1,
    SYS_fanotify_init,
    SYS_renameat2,
    SYS_open_tree,
    SYS_move_mount,
    SYS_fsopen,
    SYS_fsmount,
    SYS_fspick,
    SYS_acct,
    SYS_swapon,
    SYS_swapoff,
    SYS_quotactl,
#ifdef SYS_open
    SYS_open,
    SYS_creat,
    SYS_mkdir,
    SYS_mknod,
    SYS_rmdir,
    SYS_unlink,
    SYS_rename,
    SYS_symlink,
    SYS_link,
    SYS_chmod,
    SYS_chown,
    SYS_lchown,
#endif
#ifdef SYS_renameat
    SYS_renameat,
#endif
    /* wide doors into the kernel */
    SYS_io_uring_setup,
    SYS_io_uring_enter,
    SYS_io_uring_register,
    SYS_io_setup,
    SYS_io_submit,
    SYS_bpf,
    SYS_perf_event_open,
    SYS_userfaultfd,
    SYS_keyctl,
    SYS_add_key,
    SYS_request_key,
    SYS_init_module,
    SYS_finit_module,
    SYS_delete_module,
    SYS_kexec_load,
    SYS_reboot,
    SYS_personality,
    SYS_syslog,
    SYS_sethostname,
    SYS_setdomainname,
    SYS_settimeofday,
    SYS_clock_settime,
    SYS_adjtimex,
    SYS_vhangup,
};

#define DENIED_COUNT (sizeof denied / sizeof *denied)
#define FILTER_MAX   (2 * DENIED_COUNT + 80)
/* x32 calls on x86-64 carry this bit and would slip past the numbers above. */
#define X32_BIT 0x40000000u

/* seccomp_data.args are 64 bits wide; the half that has the value depends on the byte order. */
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define ARG_OFFSET(n) ((uint32_t)offsetof(struct seccomp_data, args) + 8 * (n) + 4)
#else
#define ARG_OFFSET(n) ((uint32_t)offsetof(struct seccomp_data, args) + 8 * (n))
#endif
#ifdef __s390x__
#define CLONE_FLAGS_ARG 1 /* the stack comes first there */
#else
#define CLONE_FLAGS_ARG 0
#endif

struct filter {
    struct sock_filter code[FILTER_MAX];
    unsigned short count;
};

static void emit(struct filter *filter, struct sock_filter instruction)
{
    if (filter->count < FILTER_MAX)
        filter->code[filter->count++] = instruction;
}

static void emit_return(struct filter *filter, uint32_t verdict)
{
    emit(filter, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
}

static void emit_load(struct filter *filter, uint32_t offset)
{
    emit(filter, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

/* Skips `over` instructions unless the loaded value is k. */
static void emit_unless(struct filter *filter, uint32_t k, uint8_t over)
{
    emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, k, 0, over));
}

/* A call whose first argument names a process: let through for that one alone. */
static void emit_only_for(struct filter *filter, uint32_t call, uint32_t process)
{
    emit_unless(filter, call, 4);
    emit_load(filter, ARG_OFFSET(0));
    emit_unless(filter, process, 1);
    emit_return(filter, SECCOMP_RET_ALLOW);
    emit_return(filter, SECCOMP_RET_ERRNO | EPERM);
}

/* A call of which one argument's bits must be clear. */
static void emit_without(struct filter *filter, uint32_t call, unsigned argument, uint32_t bits)
{
    emit_unless(filter, call, 4);
    emit_load(filter, ARG_OFFSET(argument));
    emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, 1));
    emit_return(filter, SECCOMP_RET_ERRNO | EPERM);
    emit_return(filter, SECCOMP_RET_ALLOW);
}

static void emit_never(struct filter *filter, uint32_t call)
{
    emit_unless(filter, call, 1);
    emit_return(filter, SECCOMP_RET_ERRNO | EPERM);
}

/* Threads may be made, processes not. clone3's flags are behind a pointer; without it the C library uses clone. */
static void emit_clone(struct filter *filter)
{
    emit_unless(filter, SYS_clone3, 1);
    emit_return(filter, SECCOMP_RET_ERRNO | ENOSYS);
    emit_unless(filter, SYS_clone, 4);
    emit_load(filter, ARG_OFFSET(CLONE_FLAGS_ARG));
    emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1));
    emit_return(filter, SECCOMP_RET_ALLOW);
    emit_return(filter, SECCOMP_RET_ERRNO | EPERM);
}

/* Internet sockets of the one or two kinds. */
static void emit_socket(struct filter *filter, uint32_t kind, uint32_t other_kind)
{
    const uint32_t eperm = SECCOMP_RET_ERRNO | EPERM;
    emit_unless(filter, SYS_socket, 9);
    emit_load(filter, ARG_OFFSET(0));
    emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET, 2, 0));
    emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_INET6, 1, 0));
    emit_return(filter, eperm);
    emit_load(filter, ARG_OFFSET(1));
    emit(filter, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, 0xf)); /* without CLOEXEC and NONBLOCK */
    emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kind, 2, 0));
    emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, other_kind, 1, 0));
    emit_return(filter, eperm);
    emit_return(filter, SECCOMP_RET_ALLOW);
}

static void emit_network(struct filter *filter, enum np_sandbox_role role)
{
    if (role != NP_SANDBOX_FRONT)
        emit_never(filter, SYS_socketpair);
    if (role == NP_SANDBOX_DNS) {
        emit_never(filter, SYS_socket);
        emit_never(filter, SYS_connect);
    } else {
        emit_socket(filter, SOCK_STREAM, role == NP_SANDBOX_RESOLVER ? SOCK_DGRAM : SOCK_STREAM);
    }
}

static void build_filter(struct filter *filter, enum np_sandbox_role role)
{
    emit_load(filter, offsetof(struct seccomp_data, arch));
    emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FILTER_ARCH, 1, 0));
    emit_return(filter, SECCOMP_RET_KILL_PROCESS);
    emit_load(filter, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
    emit(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
    emit_return(filter, SECCOMP_RET_ERRNO | ENOSYS);
#endif
    for (size_t i = 0; i < DENIED_COUNT; i++)
        emit_never(filter, denied[i]);
        /* What is written is not run. */
#ifdef SYS_mmap
    emit_without(filter, SYS_mmap, 2, PROT_EXEC);
#endif
#ifdef SYS_mmap2
    emit_without(filter, SYS_mmap2, 2, PROT_EXEC);
#endif
    emit_without(filter, SYS_mprotect, 2, PROT_EXEC);
    emit_without(filter, SYS_pkey_mprotect, 2, PROT_EXEC);
    /* abort(3) signals its own thread; the children are of the same user, so nothing else would stop it there. */
    emit_only_for(filter, SYS_tgkill, (uint32_t)getpid());
    emit_only_for(filter, SYS_prlimit64, 0);
    emit_clone(filter);
    emit_network(filter, role);
    emit_return(filter, SECCOMP_RET_ALLOW);
}

static int enter_seccomp(enum np_sandbox_role role)
{
    struct filter filter = {.count = 0};
    build_filter(&filter, role);
    struct sock_fprog program = {.len = filter.count, .filter = filter.code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 1;
}

#else

static int enter_seccomp(enum np_sandbox_role role)
{
    (void)role;
    return -ENOSYS;
}

#endif

int np_sandbox_enter(enum np_sandbox_role role, struct np_sandbox_report *out_report)
{
    struct np_sandbox_report report = {0};
    const struct rlimit no_core = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    report.no_new_privs = true;
    if (setrlimit(RLIMIT_CORE, &no_core) < 0)
        return -errno;
    report.no_core = true;
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return -errno;
    report.not_dumpable = true;
    int rc = np_sandbox_drop_capabilities();
    if (rc)
        return rc;
    report.no_capabilities = true;
    report.landlock = enter_landlock(role);
    report.seccomp = enter_seccomp(role);
    *out_report = report;
    return 0;
}

const char *np_sandbox_variable(void)
{
#ifdef WITH_ADDRESS_SANITIZER
    /* The leak checker stops its own process with ptrace. */
    return "ASAN_OPTIONS=detect_leaks=0";
#else
    return NULL;
#endif
}

const char *np_sandbox_format(const struct np_sandbox_report *report, char buffer[NP_SANDBOX_TEXT_MAX])
{
    char landlock[48];
    if (report->landlock > 0)
        snprintf(landlock, sizeof landlock, "landlock %d", report->landlock);
    else
        snprintf(landlock, sizeof landlock, "without landlock");
    const char *seccomp = report->seccomp > 0 ? "seccomp" : "without seccomp";
    snprintf(buffer, NP_SANDBOX_TEXT_MAX, "%s, %s, %s, %s, %s, %s",
             report->no_new_privs ? "no_new_privs" : "new privileges possible",
             report->no_core ? "no core" : "core dumps possible", report->not_dumpable ? "not dumpable" : "dumpable",
             report->no_capabilities ? "no capabilities" : "capabilities kept", landlock, seccomp);
    return buffer;
}
