/* naming: the names that a device has beside the one in its row, and has had. Part of hq/store, with its rules (see
 * hq/store/store.h).
 *
 * A chosen name is `wanted` from the moment it is given: it is the device's in the DNS, and nobody else's, but the
 * device's name is still the one before. With the first certificate that carries it (np_store_package_add) it takes
 * that one's place, in one transaction; the former name is `old`, and shown, until the last certificate that it had
 * alone has ended. A wanted name that gets no certificate is given up, and everything is as it was. Whatever the end, a
 * name is never given to another device: its row stays, and a tombstone.
 *
 * The table's primary key settles who of two gets a name. Against the names in the rows of the devices a name is
 * checked under the lock that all writers share, and by its form: names that HQ makes are not given as chosen ones. */
#ifndef HQ_STORE_NAMING_H
#define HQ_STORE_NAMING_H

#include "hq/store/store.h"

#define NP_NAMING_PAST_MAX 32 /* names of a device's past that are shown */

/* Numbers are stored. */
#define NP_NAMING_MAP(X)                                                                                               \
    X(1, WANTED, "wanted")                                                                                             \
    X(2, OLD, "old")   /* the device's name before, shown until until_s */                                             \
    X(3, HELD, "held") /* a chosen name that is the device's name now */                                               \
    X(4, GONE, "gone") /* it was one, or was to be */                                                                  \
    X(5, KEPT, "kept") /* of a device that this database does not know: the ledger says so */

enum np_naming_role {
#define NP_NAMING_ENUM(number, name, word) NP_NAMING_##name = number,
    NP_NAMING_MAP(NP_NAMING_ENUM)
#undef NP_NAMING_ENUM
};

/* The role's word, as above. Static storage; "?" for a number that is none. */
const char *np_naming_role_name(enum np_naming_role role);

/* The names of a device that are shown beside its own. */
struct np_naming {
    char wanted[NP_NAME_MAX + 1]; /* empty: none */
    char old[NP_NAME_MAX + 1];    /* likewise */
    int64_t old_until_s;
};

/* Reads them; empty ones where there are none. Returns 0 or a database error. */
int np_store_naming_get(struct np_store *store, const char *device, struct np_naming *out_naming);

/* What a certificate of the device must carry, the wanted name first, then its own, then the old one. */
void np_naming_san(const struct np_device *device, const struct np_naming *naming, struct np_names *out_names);

/* Is every name of the order one that the device has? */
bool np_naming_covers(const struct np_device *device, const struct np_naming *naming, const struct np_order *order);

/* Could the device get the name? Returns 0, NP_E_CONFLICT where it is or was somebody's, or a database error. */
int np_store_naming_free(struct np_store *store, const struct np_device *device, const char *name);

/* Gives the device a name that it wants, asked for from network. Returns 0, NP_E_CONFLICT, or a database error. Whether
 * it may have another name at all the caller has looked at. */
int np_store_naming_ask(struct np_store *store, const struct np_device *device, const char *name, const char *network,
                        int64_t now_s);

/* For the limits. */
struct np_naming_counts {
    int64_t device;  /* names that the device has asked for, those without a certificate left out */
    int64_t last_s;  /* when the last of them was; 0: never */
    int64_t network; /* names asked for from the network since since_s */
};

/* Counts. Returns 0 or a database error. */
int np_store_naming_counts(struct np_store *store, const char *device, const char *network, int64_t since_s,
                           struct np_naming_counts *out_counts);

/* The wanted name gets no certificate: it goes, and so do the device's orders that wait for it or have failed. why is
 * for the audit log. Does nothing where the device wants none. Returns 0, -EAGAIN where such an order is under way, or
 * a database error. */
int np_store_naming_give_up(struct np_store *store, const struct np_device *device, const char *why, int64_t now_ms);

/* Ends the old names whose time is over at now_s, at most limit, of one device (NULL: of all). Returns how many, or a
 * database error. */
int np_store_naming_end_due(struct np_store *store, const char *device, int64_t now_s, size_t limit);

/* When the next old name ends; INT64_MAX: none. Returns 0 or a database error. */
int np_store_naming_next_end(struct np_store *store, int64_t *out_s);

/* A grant shows that the device's name was another, chosen one: it comes back where nobody has it, and the name that
 * the device has in this database is its old one until old_until_s (in the past: it ends). *device gets the name.
 * Returns 0, NP_E_CONFLICT where that is not possible, or a database error. */
int np_store_naming_restore(struct np_store *store, struct np_device *device, const char *name, int64_t old_until_s,
                            int64_t now_s);

/* A device has come back under its name by its grant: where the ledger kept it, it is held again. Returns 0 or a
 * database error. */
int np_store_naming_regain(struct np_store *store, const struct np_device *device);

/* A device that has come back by its grant had an old name too: shown until until_s, where nobody has it. Returns 0
 * (also where it is not possible) or a database error. */
int np_store_naming_restore_old(struct np_store *store, const struct np_device *device, const char *name,
                                int64_t until_s);

/* A name of the device's past and present. */
struct np_naming_row {
    char name[NP_NAME_MAX + 1];
    enum np_naming_role role;
    int64_t asked_s; /* 0: nobody asked for it */
    int64_t until_s; /* 0: no end is known */
};

/* Them, the newest wish first, at most NP_NAMING_PAST_MAX. Returns 0 or a database error. */
int np_store_naming_rows(struct np_store *store, const char *device, struct np_naming_row out_rows[NP_NAMING_PAST_MAX],
                         size_t *out_count);

#endif
