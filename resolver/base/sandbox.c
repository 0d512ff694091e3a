#include "resolver/base/sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "resolver/base/sandbox_filter.h"

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
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3], held[_LINUX_CAPABILITY_U32S_3];
    memset(none, 0, sizeof none);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); /* absent before Linux 4.3: nothing to clear */
    if (syscall(SYS_capset, &header, none) == 0)
        return 0;
    /* systemd's @privileged, which our units deny, has capset in it: no harm where nothing is held any more. */
    int rc = -errno;
    if (syscall(SYS_capget, &header, held) < 0)
        return rc;
    for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        if (held[i].effective | held[i].permitted)
            return rc;
    }
    return 0;
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

static int enter_seccomp(enum np_sandbox_role role)
{
    struct sock_filter code[NP_SANDBOX_FILTER_MAX];
    struct sock_fprog program = {.filter = code};
    program.len = (unsigned short)np_sandbox_filter(role, (uint32_t)getpid(), code);
    if (program.len == 0)
        return -ENOSYS;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0 ? -errno : 1;
}

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
