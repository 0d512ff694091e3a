/* memory: what the allocator keeps of freed memory. */
#ifndef RESOLVER_BASE_MEMORY_H
#define RESOLVER_BASE_MEMORY_H

/* Gives freed memory back to the kernel, where the C library can: after something large that does not come again soon.
 * Takes some ten microseconds for a heap of this program's size. */
void np_memory_trim(void);

#endif
