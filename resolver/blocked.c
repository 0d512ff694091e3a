#include "resolver/blocked.h"

/* Its place, or that of a free or the rarest one. Of equally rare ones the oldest goes. */
static struct np_blocked_name *place_of(struct np_blocked *blocked, const struct np_name *name)
{
    struct np_blocked_name *rarest = &blocked->names[0];
    for (size_t i = 0; i < blocked->count; i++) {
        struct np_blocked_name *entry = &blocked->names[i];
        if (np_name_equal(&entry->name, name))
            return entry;
        if (entry->count < rarest->count || (entry->count == rarest->count && entry->last_ms < rarest->last_ms))
            rarest = entry;
    }
    if (blocked->count == NP_BLOCKED_MAX) {
        rarest->error = rarest->count;
    } else {
        rarest = &blocked->names[blocked->count++];
        *rarest = (struct np_blocked_name){.count = 0};
    }
    rarest->name = *name;
    np_name_lower(&rarest->name);
    return rarest;
}

void np_blocked_add(struct np_blocked *blocked, const struct np_name *name, uint16_t qtype, const struct np_addr *addr,
                    int64_t now_ms)
{
    struct np_blocked_name *entry = place_of(blocked, name);
    entry->count++;
    entry->qtype = qtype;
    entry->addr = *addr;
    entry->last_ms = now_ms;
}

static int comes_before(const struct np_blocked_name *a, const struct np_blocked_name *b)
{
    return a->count != b->count ? a->count > b->count : a->last_ms > b->last_ms;
}

size_t np_blocked_top(const struct np_blocked *blocked, const struct np_blocked_name *out_names[], size_t max)
{
    size_t count = 0;
    for (size_t i = 0; i < blocked->count; i++) {
        const struct np_blocked_name *entry = &blocked->names[i];
        size_t at = count < max ? count++ : max;
        /* at == max: the last one falls out, or this one */
        while (at > 0 && comes_before(entry, out_names[at - 1])) {
            at--;
            if (at + 1 < count)
                out_names[at + 1] = out_names[at];
        }
        if (at < count)
            out_names[at] = entry;
    }
    return count;
}
