#include "agent/own_names.h"

#include <string.h>

static bool is_wildcard(const char *name)
{
    return strncmp(name, "*.", 2) == 0;
}

/* Does the certificate's name stand for this one: equal, or a wildcard one label above? */
static bool stands_for(const char *pattern, const struct np_name *name)
{
    struct np_name other, parent = np_name_parent(name, 1);
    if (np_name_parse(is_wildcard(pattern) ? pattern + 2 : pattern, &other))
        return false;
    return np_name_equal(&other, is_wildcard(pattern) ? &parent : name);
}

static bool has_wildcard(const char (*names)[NP_NAME_MAX + 1], size_t count, const struct np_name *name)
{
    struct np_name other;
    for (size_t i = 0; i < count; i++) {
        if (is_wildcard(names[i]) && np_name_parse(names[i] + 2, &other) == 0 && np_name_equal(&other, name))
            return true;
    }
    return false;
}

static bool is_covered(const struct np_x509 *leaf, const struct np_name *name)
{
    for (size_t i = 0; i < leaf->name_count; i++) {
        if (stands_for(leaf->names[i], name))
            return true;
    }
    return false;
}

static void add(const struct np_own_names *names, const struct np_name *name, struct np_view *view)
{
    const struct np_x509 *leaf = names->leaf;
    for (size_t i = 0; i < view->own_count; i++) {
        if (np_name_equal(&view->own[i].name, name))
            return;
    }
    if (view->own_count == NP_VIEW_OWN_MAX)
        return;
    bool covered = names->leaf_valid && leaf && is_covered(leaf, name);
    view->own[view->own_count++] = (struct np_view_own){
        .name = *name,
        .wildcard = has_wildcard(names->san, names->san_count, name) ||
                    (leaf && has_wildcard(leaf->names, leaf->name_count, name)),
        .https = names->https && covered,
        .dot = names->dot && covered,
    };
}

void np_own_names_to_view(const struct np_own_names *names, struct np_view *view)
{
    struct np_name name;
    view->own_count = 0;
    memset(&view->zone, 0, sizeof view->zone);
    if (names->name[0] && np_name_parse(names->name, &name) == 0) {
        add(names, &name, view);
        if (np_name_labels(&name) > 1)
            view->zone = np_name_parent(&name, 1);
        for (size_t i = 0; i < names->san_count; i++) {
            if (!is_wildcard(names->san[i]) && np_name_parse(names->san[i], &name) == 0)
                add(names, &name, view);
        }
    }
    for (size_t i = 0; i < names->alias_count; i++)
        add(names, &names->aliases[i], view);
}
