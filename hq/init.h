/* init: makes what a first HQ needs, in one folder: secrets with a private CA for HQ's own TLS, the certificate, the
 * anchors file for the devices, the operator's token, and a commented configuration. Nothing that is there already is
 * overwritten. */
#ifndef HQ_INIT_H
#define HQ_INIT_H

#include <stdbool.h>
#include <stddef.h>

#define NP_INIT_LIST_MAX  8
#define NP_INIT_ERROR_MAX 1024

/* The command line's answers. Strings are borrowed; lists are counted. */
struct np_init_options {
    const char *zone;                               /* required */
    const char *url;                                /* required */
    const char *folder;                             /* required; made unless it is there */
    const char *directory;                          /* of ACME; NULL: Let's Encrypt */
    const char *acme_anchors, *acme_contact, *user; /* NULL: none */
    const char *admin_listen;                       /* "none": no operator's listener; NULL: NP_INIT_ADMIN_LISTEN */
    bool terms_agreed;
    const char *nameservers[NP_INIT_LIST_MAX]; /* "ns1.devices.example=198.51.100.10" */
    const char *addresses[NP_INIT_LIST_MAX];   /* of HQ */
    const char *listen[NP_INIT_LIST_MAX];      /* empty: the default */
    const char *dns_listen[NP_INIT_LIST_MAX];  /* likewise */
    const char *enrol[NP_INIT_LIST_MAX];       /* likewise */
    const char *factory_ca;                    /* with factory-certificate: PEM file of the vendor's CAs */
    size_t nameserver_count, address_count, listen_count, dns_listen_count, enrol_count;
};

#define NP_INIT_ADMIN_LISTEN   "127.0.0.1:9180"
#define NP_INIT_ACME_DIRECTORY "https://acme-v02.api.letsencrypt.org/directory"

/* Makes it all. Returns 0, or an error with a sentence in error; what was made before the error stays. */
int np_init(const struct np_init_options *options, char error[NP_INIT_ERROR_MAX]);

/* Prints what to do next to standard output. */
void np_init_print_next(const struct np_init_options *options);

#endif
