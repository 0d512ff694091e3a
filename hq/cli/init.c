/* `nameplate-hq init`. */
#include "hq/init.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "hq/cli/verb.h"

static const char help[] =
    "nameplate-hq init --zone ZONE --url URL --dir DIR [options]\n"
    "\n"
    "Makes what a first HQ needs in DIR: its keys, a private CA for its own HTTPS with the anchors file for the "
    "devices,\n"
    "and a configuration to read through. Nothing that is there is overwritten.\n"
    "\n"
    "  --zone ZONE                  the DNS zone whose names devices get\n"
    "  --url URL                    HQ's public URL, as devices have it\n"
    "  --dir DIR                    where everything goes\n"
    "\n"
    "Options (those marked + may be repeated):\n"
    "  --nameserver NAME=ADDRESS  + a name server of the zone, usually this machine\n"
    "  --address ADDRESS          + HQ's public address, where the URL's host lies in the zone\n"
    "  --listen ADDRESS:PORT      + HTTPS for the devices (0.0.0.0:443)\n"
    "  --dns-listen ADDRESS:PORT  + DNS of the zone (0.0.0.0:53)\n"
    "  --enrol CREDENTIAL         + who may enrol: factory-secret (the default), factory-certificate, claim-code, "
    "open\n"
    "  --factory-ca FILE            PEM file of the vendor's own CAs, for factory-certificate\n"
    "  --acme-directory URL         the CA (" NP_INIT_ACME_DIRECTORY ")\n"
    "  --acme-anchors FILE          PEM anchors for the CA's own HTTPS (the system's)\n"
    "  --acme-contact mailto:...    where the CA may write to\n"
    "  --agree-tos                  you have read and agree to the CA's terms of service\n"
    "  --admin-listen ADDRESS:PORT  the operator's HTTP, metrics and dashboard (" NP_INIT_ADMIN_LISTEN "), or none\n"
    "  --user USER                  the user that serve becomes\n";

enum init_option {
    OPT_ZONE = 256,
    OPT_URL,
    OPT_DIR,
    OPT_NAMESERVER,
    OPT_ADDRESS,
    OPT_LISTEN,
    OPT_DNS_LISTEN,
    OPT_ENROL,
    OPT_FACTORY_CA,
    OPT_DIRECTORY,
    OPT_ANCHORS,
    OPT_CONTACT,
    OPT_AGREE,
    OPT_USER,
    OPT_ADMIN_LISTEN
};

static bool append(const char **list, size_t *count)
{
    if (*count == NP_INIT_LIST_MAX)
        return false;
    list[(*count)++] = optarg;
    return true;
}

static bool take_option(struct np_init_options *o, int option)
{
    switch (option) {
    case OPT_ZONE:
        o->zone = optarg;
        return true;
    case OPT_URL:
        o->url = optarg;
        return true;
    case OPT_DIR:
        o->folder = optarg;
        return true;
    case OPT_NAMESERVER:
        return append(o->nameservers, &o->nameserver_count);
    case OPT_ADDRESS:
        return append(o->addresses, &o->address_count);
    case OPT_LISTEN:
        return append(o->listen, &o->listen_count);
    case OPT_DNS_LISTEN:
        return append(o->dns_listen, &o->dns_listen_count);
    case OPT_ENROL:
        return append(o->enrol, &o->enrol_count);
    case OPT_FACTORY_CA:
        o->factory_ca = optarg;
        return true;
    case OPT_DIRECTORY:
        o->directory = optarg;
        return true;
    case OPT_ANCHORS:
        o->acme_anchors = optarg;
        return true;
    case OPT_CONTACT:
        o->acme_contact = optarg;
        return true;
    case OPT_USER:
        o->user = optarg;
        return true;
    case OPT_ADMIN_LISTEN:
        o->admin_listen = optarg;
        return true;
    case OPT_AGREE:
        o->terms_agreed = true;
        return true;
    default:
        return false;
    }
}

/* Asks a person; who runs a script says --agree-tos or edits the file. */
static void ask_consent(struct np_init_options *options)
{
    char answer[16] = "";
    if (options->terms_agreed || !isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return;
    printf("Certificates come from %s.\nHave you read its terms of service, and do you agree to them? [y/N] ",
           options->directory ? options->directory : NP_INIT_ACME_DIRECTORY);
    fflush(stdout);
    if (fgets(answer, sizeof answer, stdin))
        options->terms_agreed = answer[0] == 'y' || answer[0] == 'Y';
}

static int run_init(int argc, char **argv)
{
    static const struct option table[] = {{"zone", required_argument, NULL, OPT_ZONE},
                                          {"url", required_argument, NULL, OPT_URL},
                                          {"dir", required_argument, NULL, OPT_DIR},
                                          {"nameserver", required_argument, NULL, OPT_NAMESERVER},
                                          {"address", required_argument, NULL, OPT_ADDRESS},
                                          {"listen", required_argument, NULL, OPT_LISTEN},
                                          {"dns-listen", required_argument, NULL, OPT_DNS_LISTEN},
                                          {"enrol", required_argument, NULL, OPT_ENROL},
                                          {"factory-ca", required_argument, NULL, OPT_FACTORY_CA},
                                          {"acme-directory", required_argument, NULL, OPT_DIRECTORY},
                                          {"acme-anchors", required_argument, NULL, OPT_ANCHORS},
                                          {"acme-contact", required_argument, NULL, OPT_CONTACT},
                                          {"agree-tos", no_argument, NULL, OPT_AGREE},
                                          {"user", required_argument, NULL, OPT_USER},
                                          {"admin-listen", required_argument, NULL, OPT_ADMIN_LISTEN},
                                          {NULL, 0, NULL, 0}};
    struct np_init_options options = {0};
    char error[NP_INIT_ERROR_MAX];
    int option;
    while ((option = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (option == '?')
            return np_verb_see_help(argv[0]);
        if (!take_option(&options, option))
            return np_verb_usage_error("an option is given more than %d times", NP_INIT_LIST_MAX);
    }
    if (optind < argc)
        return np_verb_usage_error("init: '%s' is not expected", argv[optind]);
    if (!options.zone || !options.url || !options.folder)
        return np_verb_usage_error("init needs --zone, --url and --dir");
    ask_consent(&options);
    if (np_init(&options, error))
        return np_verb_failed(error);
    np_init_print_next(&options);
    return EXIT_SUCCESS;
}

const struct np_verb np_init_verb = {
    .name = "init",
    .run = run_init,
    .synopsis =
        "  nameplate-hq init --zone ZONE --url URL --dir DIR [options]   make keys, a private CA and a configuration\n",
    .help = help,
};
