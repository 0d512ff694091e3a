/* ask: one question to the running agent over its control socket, for the verbs that need one. */
#ifndef AGENT_CLI_ASK_H
#define AGENT_CLI_ASK_H

#include <stdbool.h>
#include <stddef.h>

#include "agent/config.h"
#include "agent/control.h"

#define NP_ASK_NAMES_MAX NP_VIEW_OWN_MAX
#define NP_ASK_LAN_MAX   NP_LAN_MAX
#define NP_ASK_PATH_MAX  (NP_CONFIG_PATH_MAX + sizeof NP_CONTROL_NAME + 2) /* bytes of the socket's path */

/* The control socket's path: control where it is given, else the run folder of the configuration at config_path (NULL:
 * the default one, where it is there). Only `run` is looked at, so that whoever may read the file may ask. An error is
 * said on standard error in the verb's name. Returns 0 or NP_E_CONFIG. */
int np_ask_path(const char *verb, const char *control, const char *config_path, char out_path[NP_ASK_PATH_MAX]);

/* A flag of a verb, set where it is given. */
struct np_ask_flag {
    const char *name; /* without its hyphens; NULL ends the list */
    bool *given;
};

#define NP_ASK_FLAGS_MAX 4
#define NP_ASK_HELPED    (-1) /* help was asked for, and printed */

/* Reads the options that the verbs asking the agent have in common (--config, --control, --help) and the verb's own
 * flags, of which --json has a short form too; usage prints the help. Returns 0 with the control socket's path, or
 * NP_ASK_HELPED, or an exit code after a message. argv[0] is the verb's name. */
int np_ask_options(int argc, char **argv, void (*usage)(void), const struct np_ask_flag *flags,
                   char out_path[NP_ASK_PATH_MAX]);

/* np_ask_options with at most max words beside the options: *out_count of them, in out_words (borrowed from argv). */
int np_ask_words(int argc, char **argv, void (*usage)(void), const struct np_ask_flag *flags,
                 char out_path[NP_ASK_PATH_MAX], const char **out_words, int max, int *out_count);

/* Sends one request line (without its newline) and reads the answer to the end: malloc'd text. Returns 0, -errno,
 * NP_E_CLOSED, NP_E_LIMIT or -ENOMEM. */
int np_ask(const char *path, const char *request, char **out_answer);

/* What the verbs that print configuration for others want to know of the running agent. */
struct np_ask_box {
    char *names[NP_ASK_NAMES_MAX]; /* own names, the one that HQ gave first; malloc'd */
    size_t name_count;
    struct np_endpoint
        dns; /* where it answers DNS: 127.0.0.1 if it does there, else a LAN address; AF_UNSPEC: nowhere */
    char *lan[NP_ASK_LAN_MAX]; /* LAN interfaces; malloc'd */
    size_t lan_count;
    bool own_name_only; /* it answers for nothing else */
};

/* Asks the agent for its status and takes these out of it (zeroed by the caller). What is wrong is said on standard
 * error in the verb's name. Returns an exit code of cli.h. Release with np_ask_box_free whatever it returned. */
int np_ask_box(const char *verb, const char *control, const char *config_path, struct np_ask_box *out_box);

/* Frees what is in it, and itself; NULL is fine. */
void np_ask_box_free(struct np_ask_box *box);

/* Says on standard error why the agent could not be asked, and what to do. Returns NP_EXIT_UNREACHABLE. */
int np_ask_unreachable(const char *verb, const char *path, int rc);

#endif
