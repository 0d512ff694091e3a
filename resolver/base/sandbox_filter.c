#include "resolver/base/sandbox_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

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
#endif
#ifdef SYS_vfork
    SYS_vfork,
#endif
#ifdef SYS_syscall /* MIPS: any other call, its number the first argument */
    SYS_syscall,
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
    SYS_lremovexattr,
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
#ifdef SYS_utime
    SYS_utime,
#endif
#ifdef SYS_utimes
    SYS_utimes,
    SYS_futimesat,
#endif
/* the same on 32-bit machines: calls of their own for wide ids, lengths and times */
#ifdef SYS_chown32
    SYS_chown32,
    SYS_lchown32,
#endif
#ifdef SYS_truncate64
    SYS_truncate64,
#endif
#ifdef SYS_utimensat_time64
    SYS_utimensat_time64,
    SYS_clock_settime64,
    SYS_clock_adjtime64,
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
    SYS_clock_adjtime,
    SYS_adjtimex,
#ifdef SYS_stime
    SYS_stime,
#endif
    SYS_vhangup,
};

#define DENIED_COUNT (sizeof denied / sizeof *denied)
_Static_assert(2 * DENIED_COUNT + 100 <= NP_SANDBOX_FILTER_MAX,
               "the filter fits: two instructions a call, and the rest");
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
    struct sock_filter *code;
    size_t count;
};

static void emit(struct filter *filter, struct sock_filter instruction)
{
    if (filter->count < NP_SANDBOX_FILTER_MAX)
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
    emit_unless(filter, SYS_socket, 10);
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

#ifdef SYS_socketcall
/* The old door to all socket calls: which one is meant is the first argument, the rest is behind a pointer. On s390x
 * the C library knows no other, so what can be judged is judged; elsewhere nobody needs it. */
static void emit_socketcall(struct filter *filter, enum np_sandbox_role role)
{
#ifdef __s390x__
    static const struct {
        uint32_t inner;
        bool roles[3]; /* RESOLVER, FRONT, DNS: denied */
    } judged[] = {{SYS_BIND, {true, true, true}},
                  {SYS_LISTEN, {true, true, true}},
                  {SYS_SOCKETPAIR, {true, false, true}},
                  {SYS_SOCKET, {false, false, true}},
                  {SYS_CONNECT, {false, false, true}}};
    uint8_t count = 0;
    for (size_t i = 0; i < sizeof judged / sizeof *judged; i++)
        count += judged[i].roles[role];
    emit_unless(filter, SYS_socketcall, (uint8_t)(2 * count + 2));
    emit_load(filter, ARG_OFFSET(0));
    for (size_t i = 0; i < sizeof judged / sizeof *judged; i++) {
        if (judged[i].roles[role])
            emit_never(filter, judged[i].inner);
    }
    emit_return(filter, SECCOMP_RET_ALLOW);
#else
    (void)role;
    emit_never(filter, SYS_socketcall);
#endif
}
#endif

static void build_filter(struct filter *filter, enum np_sandbox_role role, uint32_t process)
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
        /* What is written is not run. On s390x mmap's arguments are behind a pointer, out of a filter's sight. */
#if defined(SYS_mmap) && !defined(__s390x__)
    emit_without(filter, SYS_mmap, 2, PROT_EXEC);
#endif
#ifdef SYS_mmap2
    emit_without(filter, SYS_mmap2, 2, PROT_EXEC);
#endif
    emit_without(filter, SYS_mprotect, 2, PROT_EXEC);
    emit_without(filter, SYS_pkey_mprotect, 2, PROT_EXEC);
    /* abort(3) signals its own thread; the children are of the same user, so nothing else would stop it there. */
    emit_only_for(filter, SYS_tgkill, process);
    emit_only_for(filter, SYS_prlimit64, 0);
    emit_clone(filter);
    emit_network(filter, role);
#ifdef SYS_socketcall
    emit_socketcall(filter, role);
#endif
    emit_return(filter, SECCOMP_RET_ALLOW);
}

size_t np_sandbox_filter(enum np_sandbox_role role, uint32_t process, struct sock_filter out[NP_SANDBOX_FILTER_MAX])
{
    struct filter filter = {.code = out};
    build_filter(&filter, role, process);
    return filter.count;
}

#else

size_t np_sandbox_filter(enum np_sandbox_role role, uint32_t process, struct sock_filter out[NP_SANDBOX_FILTER_MAX])
{
    (void)role, (void)process, (void)out;
    return 0;
}

#endif
