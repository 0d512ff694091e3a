/* random: bytes from the kernel (getrandom(2)), and numbers made of them. Blocks only until the kernel's pool is
 * seeded; np_random_ready tells whether it would. */
#ifndef RESOLVER_BASE_RANDOM_H
#define RESOLVER_BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Fills out with len random bytes. The kernel cannot fail here once it is seeded; a kernel that does ends the process
 * with a message, since no caller could go on safely. */
void np_random_bytes(void *out, size_t len);

/* True once getrandom(2) no longer blocks. */
bool np_random_ready(void);

/* A number from 0 to bound - 1 without modulo bias; 0 where bound is 0 or 1. */
uint32_t np_random_below(uint32_t bound);

/* What the pure cores take instead of calling the kernel: a number below bound, from ctx. */
typedef uint32_t np_random_below_fn(void *ctx, uint32_t bound);

#endif
