#include "hq/usage.h"

#include <stddef.h>
#include <string.h>

#include "hq/init.h"

#define CONFIG_OPTION "  --config FILE   the configuration (" NP_HQ_CONFIG_DEFAULT ")\n"

static const char program_text[] =
    "nameplate-hq: names and certificates for a manufacturer's devices\n"
    "\n"
    "  nameplate-hq init --zone ZONE --url URL --dir DIR [options]   make keys, a private CA and a configuration\n"
    "  nameplate-hq serve [--config FILE]                            run the server\n"
    "  nameplate-hq device list [--json] [--config FILE]             show the devices\n"
    "  nameplate-hq factory-secret SERIAL [--config FILE]            print a device's factory-secret file\n"
    "  nameplate-hq zone check|repair [--json] [--config FILE]       compare the name servers with the database\n"
    "  nameplate-hq version\n"
    "\n"
    "FILE is " NP_HQ_CONFIG_DEFAULT " unless given. 'nameplate-hq VERB --help' tells more about a verb.\n";

static const char init_text[] =
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
    "  --enrol CREDENTIAL         + who may enrol: factory-secret (the default), open\n"
    "  --acme-directory URL         the CA (" NP_INIT_ACME_DIRECTORY ")\n"
    "  --acme-anchors FILE          PEM anchors for the CA's own HTTPS (the system's)\n"
    "  --acme-contact mailto:...    where the CA may write to\n"
    "  --agree-tos                  you have read and agree to the CA's terms of service\n"
    "  --user USER                  the user that serve becomes\n";

static const char serve_text[] =
    "nameplate-hq serve [--config FILE]\n"
    "\n"
    "Runs the server in the foreground until SIGTERM or SIGINT; logs go to standard error.\n"
    "\n" CONFIG_OPTION;

static const char device_text[] =
    "nameplate-hq device list [--json] [--config FILE]\n"
    "\n"
    "Shows every device: name, serial number, state, how many certificates it had, when the newest ends and is "
    "renewed,\n"
    "when the device was last seen (within an hour), its first published address. Times are UTC.\n"
    "\n"
    "  --json          everything, as a JSON array; times in Unix seconds\n" CONFIG_OPTION;

static const char factory_secret_text[] = "nameplate-hq factory-secret SERIAL [--config FILE]\n"
                                          "\n"
                                          "Prints the factory-secret file of the device with this serial number, "
                                          "derived from the master in HQ's secrets. Put it\n"
                                          "on the device, and nowhere else.\n"
                                          "\n" CONFIG_OPTION;

static const char zone_text[] =
    "nameplate-hq zone check [--json] [--config FILE]\n"
    "nameplate-hq zone repair [--json] [--config FILE]\n"
    "\n"
    "Compares what the name servers show with the database, while the server runs: each server that HQ updates is\n"
    "transferred (or asked name by name, as HQ's own is), and what differs is asked for again before it counts.\n"
    "'repair' has what differs published again. Names that are not of devices are left alone.\n"
    "\n"
    "  --json          everything, as a JSON object\n" CONFIG_OPTION "\n"
    "Exit code: 0 all agrees (repair: what differed was marked), 3 something differs, 1 a server could not be\n"
    "compared, or another failure, 2 usage.\n";

static const char version_text[] = "nameplate-hq version\n"
                                   "\n"
                                   "Prints the program's version.\n";

const char *np_hq_usage(const char *verb)
{
    static const struct {
        const char *verb, *text;
    } texts[] = {{"init", init_text},        {"serve", serve_text},
                 {"device", device_text},    {"factory-secret", factory_secret_text},
                 {"zone", zone_text},        {"version", version_text},
                 {"--version", version_text}};
    if (!verb)
        return program_text;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(verb, texts[i].verb) == 0)
            return texts[i].text;
    }
    return NULL;
}
