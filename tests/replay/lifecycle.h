/* lifecycle: what the parts of tests/replay/lifecycle share. */
#ifndef TESTS_REPLAY_LIFECYCLE_H
#define TESTS_REPLAY_LIFECYCLE_H

#include "tests/replay/world.h"

/* A world with one box that has its first certificate. */
struct world *lifecycle_begin(const char *name, struct world_box **out_box);

/* Passes the time in hours; the certificate that the box serves must be valid all the while. */
void lifecycle_pass_valid(struct world_box *one, int64_t days, const char *what);

/* Copies HQ's database of that file, or removes it. */
void lifecycle_copy_database(const char *from, const char *to);
/* See lifecycle_copy_database. */
void lifecycle_remove_database(const char *name);

/* Names that owners choose (lifecycle_names.c). */
void lifecycle_chosen_name(void);
/* A CA that is away, and one that is back too late. */
void lifecycle_chosen_name_too_late(void);
/* The flash, and HQ's database, from before and after. */
void lifecycle_chosen_name_restored(void);
/* The box is off while the name before ends. */
void lifecycle_chosen_name_off(void);
/* Answers and requests get lost, and the power is cut. */
void lifecycle_chosen_name_kills(void);

#endif
