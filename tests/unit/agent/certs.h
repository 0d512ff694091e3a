/* certs: certificates for the TLS tests, made anew by the openssl program in a folder of their own.
 *
 *   root.pem   P-256 root "Root"     leaf.pem, leaf.der   its leaf for box.example, and the leaf's key (SEC1 DER)
 *   other.pem  another root "Root"   other.der            its key
 *   rsa.pem    RSA root              byrsa.pem            a leaf with leaf.der's key, signed by it */
#ifndef TESTS_UNIT_AGENT_CERTS_H
#define TESTS_UNIT_AGENT_CERTS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/identity/keys.h"
#include "agent/tls/profile.h"
#include "resolver/base/file.h"

#define CERTS_NAME "box.example"

struct certs {
    char folder[64];
};

static inline int certs_run(const char *folder, const char *script)
{
    pid_t pid = fork();
    if (pid == 0) {
        if (chdir(folder) == 0)
            execl("/bin/sh", "sh", "-euc", script, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static inline int certs_make(struct certs *certs)
{
    static const char script[] =
        "exec >openssl.log 2>&1\n"
        "ec='-newkey ec -pkeyopt ec_paramgen_curve:P-256'\n"
        "openssl req -x509 $ec -nodes -keyout root.key -out root.pem -subj /CN=Root -days 30\n"
        "openssl req -x509 $ec -nodes -keyout other.key -out other.pem -subj /CN=Root -days 30\n"
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout rsa.key -out rsa.pem -subj /CN=RsaRoot -days 30\n"
        "openssl req -new $ec -nodes -keyout leaf.key -out leaf.csr -subj /CN=box\n"
        "openssl ec -in leaf.key -outform DER -out leaf.der\n"
        "openssl ec -in other.key -outform DER -out other.der\n"
        "printf 'subjectAltName=DNS:box.example\\nextendedKeyUsage=serverAuth\\n' >ext\n"
        "openssl x509 -req -in leaf.csr -CA root.pem -CAkey root.key -set_serial 7 -days 20 -extfile ext -out "
        "leaf.pem\n"
        "openssl x509 -req -in leaf.csr -CA rsa.pem -CAkey rsa.key -set_serial 8 -days 20 -extfile ext -out "
        "byrsa.pem\n";
    snprintf(certs->folder, sizeof certs->folder, "/tmp/nameplate-certs-XXXXXX");
    if (!mkdtemp(certs->folder))
        return -1;
    return certs_run(certs->folder, script);
}

static inline void certs_remove(const struct certs *certs)
{
    char script[160];
    snprintf(script, sizeof script, "rm -rf %s", certs->folder);
    certs_run("/tmp", script);
}

/* The file's content, malloc'd; NULL on any error. */
static inline char *certs_read(const struct certs *certs, const char *file, size_t *out_len)
{
    char path[128];
    uint8_t *data;
    snprintf(path, sizeof path, "%s/%s", certs->folder, file);
    return np_file_read(path, 65536, &data, out_len) ? NULL : (char *)data;
}

static inline struct np_tls_anchors *certs_anchors(const struct certs *certs, const char *file)
{
    struct np_tls_anchors *anchors = NULL;
    size_t len = 0;
    char *pem = certs_read(certs, file, &len);
    int rc = pem ? np_tls_anchors_parse(pem, len, &anchors) : -1;
    free(pem);
    return rc ? NULL : anchors;
}

static inline int certs_key(const struct certs *certs, const char *file, struct np_private_key *out_key)
{
    size_t len = 0;
    char *der = certs_read(certs, file, &len);
    int rc = der ? np_key_parse(der, len, out_key) : -1;
    free(der);
    return rc;
}

static inline struct np_tls_identity *certs_identity(const struct certs *certs, const char *file)
{
    struct np_tls_identity *identity = NULL;
    struct np_private_key key;
    size_t len = 0;
    char *pem = certs_read(certs, file, &len);
    int rc = pem && certs_key(certs, "leaf.der", &key) == 0 ? np_tls_identity_new(pem, len, &key, &identity) : -1;
    free(pem);
    return rc ? NULL : identity;
}

#endif
