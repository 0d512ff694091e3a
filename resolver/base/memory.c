#include "resolver/base/memory.h"

#include <malloc.h>

void np_memory_trim(void)
{
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
