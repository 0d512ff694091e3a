/* clock: by which time certificates are judged.
 *
 * The floor is a time that has certainly passed: when this program was built, or a time that HQ gave over an
 * authenticated connection, and what has gone by since then on a steady clock that nobody sets (CLOCK_BOOTTIME). The
 * system clock is believed while it is at or after the floor; before it (a box without a battery-backed clock just
 * after power on), the floor is used instead.
 *
 * Better than all of that is a time that HQ signed over a nonce of this box (np_time_verify), which is asked for when
 * the system clock is not believed, or when HQ's certificate is not valid by it: from then on, until the next boot, the
 * system clock is believed only within NP_CLOCK_LEAD_S of it. The system clock is never set.
 *
 * For HQ to be asked, its address must be found. Where every DNS server is one of DNS over TLS, whose certificate must
 * be valid by a clock that only HQ can put right, the system clock is doubted for a while (agent/agent_dot.c): such
 * servers are then judged at the floor, as by a clock that lies before it. Pure: the caller brings the system's time,
 * in Unix seconds, and the steady clock's, in seconds from anywhere. */
#ifndef AGENT_IDENTITY_CLOCK_H
#define AGENT_IDENTITY_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define NP_CLOCK_LEAD_S 86400           /* HQ may be this far ahead of a system clock that is believed */
#define NP_CLOCK_YEAR_S (366LL * 86400) /* an HQ time further ahead than ten of these is a broken HQ, not a clock */

/* The floor, as it was when the steady clock showed steady_s. */
struct np_clock {
    int64_t floor_s;
    int64_t steady_s;
    bool has_signed;   /* the floor is a time that HQ signed for this box since it was switched on */
    bool wants_signed; /* HQ's key is known: while the system clock is not believed, no unsigned time is taken */
    bool doubted;      /* the system clock is not believed until HQ has signed a time */
};

/* The floor is the build's time, or stored_s (from the state folder; 0: none) where that is later. */
void np_clock_init(struct np_clock *clock, int64_t stored_s, int64_t steady_s);

/* Raises the floor to an authenticated time; one that is not later than the last such time, or beyond ten years after
 * the build, is ignored. What was counted since then on the steady clock gives way: HQ's clock is the better one. True
 * when the floor moved. */
bool np_clock_raise(struct np_clock *clock, int64_t authenticated_s, int64_t steady_s);

/* np_clock_raise for a time that HQ gave, with the system's clock as a witness: while that is believed, a time more
 * than NP_CLOCK_LEAD_S ahead of it is a wrong HQ's and is ignored, so that one bad clock at HQ cannot make a fleet take
 * its certificates, and HQ's own, for expired. True when the floor moved. */
bool np_clock_hear(struct np_clock *clock, int64_t authenticated_s, int64_t system_s, int64_t steady_s);

/* Takes a time that HQ signed over this box's nonce: it is the floor from now on, earlier than before or not. One
 * before the build, or more than ten years after it, is ignored. True when it was taken. */
bool np_clock_sign(struct np_clock *clock, int64_t signed_s, int64_t steady_s);

/* Do two times differ so much that one of them is wrong (NP_CLOCK_LEAD_S)? */
bool np_clock_differs(int64_t a_s, int64_t b_s);

/* The floor now. */
int64_t np_clock_floor(const struct np_clock *clock, int64_t steady_s);

/* The time to judge by: system_s where it is believed, else the floor. */
int64_t np_clock_judge(const struct np_clock *clock, int64_t system_s, int64_t steady_s);

/* Is the system clock believed? */
bool np_clock_believed(const struct np_clock *clock, int64_t system_s, int64_t steady_s);

/* Seconds since 1970 of the build. */
int64_t np_clock_build_s(void);

#endif
