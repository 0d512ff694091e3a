/* change: the actions of `nameplate-hq device` that change a device, each written to the audit log with it. Run as
 * struct np_verb_action wants it. */
#ifndef HQ_CLI_CHANGE_H
#define HQ_CLI_CHANGE_H

/* `device block DEVICE [--reason TEXT]`. */
int np_change_block(int argc, char **argv);
/* `device unblock DEVICE [--reason TEXT]`. */
int np_change_unblock(int argc, char **argv);
/* `device retire DEVICE [--reason TEXT] [--yes]`. */
int np_change_retire(int argc, char **argv);
/* `device trust DEVICE [--reason TEXT]`. */
int np_change_trust(int argc, char **argv);

#endif
