#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"
#include "resolver/cache.h"
#include "resolver/limit.h"
#include "resolver/view.h"

#define PATH_MAX_LEN 96 /* "interfaces[31].v6[11]" with room to spare */
#define DEPTH_MAX    8  /* arrays and objects in each other, counted before jansson recurses */

/* The parse: the first error is kept, later getters do nothing. path is the member being read. */
struct in {
    int rc;
    char *error;
    char path[PATH_MAX_LEN];
};

static void fail(struct in *in, int rc)
{
    if (in->rc)
        return;
    in->rc = rc;
    snprintf(in->error, NP_VIEW_ERROR_MAX, "%s: %s", in->path[0] ? in->path : "view", np_strerror(rc));
}

static void __attribute__((format(printf, 2, 3))) at(struct in *in, const char *format, ...)
{
    va_list args;
    if (in->rc)
        return;
    va_start(args, format);
    vsnprintf(in->path, sizeof in->path, format, args);
    va_end(args);
}

/* A value of the type, or NULL: absent, or wrong with the error set. */
static json_t *check(struct in *in, json_t *value, json_type type)
{
    if (!value || in->rc)
        return NULL;
    if (json_typeof(value) == type)
        return value;
    fail(in, NP_E_TYPE);
    return NULL;
}

static const char *text_of(struct in *in, json_t *value)
{
    if (!value)
        fail(in, NP_E_MISSING);
    value = check(in, value, JSON_STRING);
    if (!value)
        return "";
    if (strlen(json_string_value(value)) != json_string_length(value))
        fail(in, NP_E_MALFORMED);
    return json_string_value(value);
}

static bool bool_of(struct in *in, json_t *value)
{
    if (!value || in->rc)
        return false;
    if (!json_is_boolean(value))
        fail(in, NP_E_TYPE);
    return json_is_true(value);
}

static uint32_t number_of(struct in *in, json_t *value, uint32_t min, uint32_t max, uint32_t fallback)
{
    value = check(in, value, JSON_INTEGER);
    if (!value)
        return fallback;
    json_int_t number = json_integer_value(value);
    if (number < (json_int_t)min || number > (json_int_t)max)
        fail(in, NP_E_MALFORMED);
    return (uint32_t)number;
}

/* The elements of an array member that may be absent; more than max is an error. */
static size_t count_of(struct in *in, json_t *array, size_t max)
{
    array = check(in, array, JSON_ARRAY);
    size_t count = array ? json_array_size(array) : 0;
    if (count <= max)
        return count;
    fail(in, NP_E_LIMIT);
    return 0;
}

static void name_of(struct in *in, json_t *value, struct np_name *out_name)
{
    const char *text = text_of(in, value);
    if (!in->rc && (np_name_parse(text, out_name) || out_name->len == 1))
        fail(in, NP_E_MALFORMED);
}

/* "192.168.1.1/24": an address with its host bits and the length of its subnet. */
static void interface_address(struct in *in, json_t *value, uint8_t family, struct np_prefix *out)
{
    const char *text = text_of(in, value), *slash = strchr(text, '/');
    char plain[NP_ADDR_TEXT_MAX];
    int64_t length;
    if (in->rc)
        return;
    if (!slash || (size_t)(slash - text) >= sizeof plain) {
        fail(in, NP_E_MALFORMED);
        return;
    }
    memcpy(plain, text, (size_t)(slash - text));
    plain[slash - text] = 0;
    if (np_addr_parse(plain, &out->addr) || out->addr.family != family || out->addr.scope ||
        np_parse_int(slash + 1, 0, (int64_t)np_addr_len(&out->addr) * 8, &length))
        fail(in, NP_E_MALFORMED);
    else
        out->length = (uint8_t)length;
}

static void plain_address(struct in *in, json_t *value, uint8_t family, struct np_addr *out)
{
    const char *text = text_of(in, value);
    if (!in->rc && (np_addr_parse(text, out) || out->family != family || out->scope || !np_view_usable(out)))
        fail(in, NP_E_MALFORMED);
}

static void upstream_of(struct in *in, json_t *value, struct np_view_upstream *out)
{
    const char *text = text_of(in, value), *why;
    if (!in->rc && np_view_upstream_parse(text, out, &why))
        fail(in, NP_E_MALFORMED);
}

static void parse_own(struct in *in, json_t *array, struct np_view *view)
{
    at(in, "own");
    view->own_count = count_of(in, array, NP_VIEW_OWN_MAX);
    for (size_t i = 0; i < view->own_count && !in->rc; i++) {
        at(in, "own[%zu]", i);
        json_t *item = check(in, json_array_get(array, i), JSON_OBJECT);
        at(in, "own[%zu].name", i);
        name_of(in, json_object_get(item, "name"), &view->own[i].name);
        at(in, "own[%zu].wildcard", i);
        view->own[i].wildcard = bool_of(in, json_object_get(item, "wildcard"));
        at(in, "own[%zu].https", i);
        view->own[i].https = bool_of(in, json_object_get(item, "https"));
        at(in, "own[%zu].dot", i);
        view->own[i].dot = bool_of(in, json_object_get(item, "dot"));
    }
}

static size_t parse_addresses(struct in *in, json_t *array, size_t i, const char *member, uint8_t family,
                              struct np_prefix *out)
{
    at(in, "interfaces[%zu].%s", i, member);
    size_t count = count_of(in, array, NP_VIEW_ADDRESSES_MAX);
    for (size_t k = 0; k < count && !in->rc; k++) {
        at(in, "interfaces[%zu].%s[%zu]", i, member, k);
        interface_address(in, json_array_get(array, k), family, &out[k]);
    }
    return count;
}

static void parse_interfaces(struct in *in, json_t *array, struct np_view *view)
{
    at(in, "interfaces");
    view->interface_count = count_of(in, array, NP_VIEW_INTERFACES_MAX);
    for (size_t i = 0; i < view->interface_count && !in->rc; i++) {
        struct np_view_interface *interface = &view->interfaces[i];
        at(in, "interfaces[%zu]", i);
        json_t *item = check(in, json_array_get(array, i), JSON_OBJECT);
        at(in, "interfaces[%zu].index", i);
        uint32_t index = number_of(in, json_object_get(item, "index"), 1, INT32_MAX, 0);
        if (index == 0)
            fail(in, NP_E_MISSING);
        for (size_t k = 0; k < i; k++) {
            if (view->interfaces[k].index == index)
                fail(in, NP_E_CONFLICT);
        }
        interface->index = index;
        at(in, "interfaces[%zu].name", i);
        json_t *name = json_object_get(item, "name");
        const char *text = name ? text_of(in, name) : "";
        if (text[0] && !np_is_token(text, NP_VIEW_IFNAME_MAX - 1))
            fail(in, NP_E_MALFORMED);
        else
            memcpy(interface->name, text, strlen(text) + 1);
        at(in, "interfaces[%zu].lan", i);
        interface->lan = bool_of(in, json_object_get(item, "lan"));
        interface->v4_count = parse_addresses(in, json_object_get(item, "v4"), i, "v4", AF_INET, interface->v4);
        interface->v6_count = parse_addresses(in, json_object_get(item, "v6"), i, "v6", AF_INET6, interface->v6);
    }
}

static size_t parse_primary(struct in *in, json_t *array, const char *member, uint8_t family, struct np_addr *out)
{
    at(in, "primary.%s", member);
    size_t count = count_of(in, array, NP_VIEW_PRIMARY_MAX);
    for (size_t i = 0; i < count && !in->rc; i++) {
        at(in, "primary.%s[%zu]", member, i);
        plain_address(in, json_array_get(array, i), family, &out[i]);
    }
    return count;
}

static void parse_forwards(struct in *in, json_t *array, struct np_view *view)
{
    at(in, "forward");
    view->forward_count = count_of(in, array, NP_VIEW_FORWARDS_MAX);
    for (size_t i = 0; i < view->forward_count && !in->rc; i++) {
        struct np_view_forward *forward = &view->forwards[i];
        at(in, "forward[%zu]", i);
        json_t *item = check(in, json_array_get(array, i), JSON_OBJECT);
        at(in, "forward[%zu].zone", i);
        name_of(in, json_object_get(item, "zone"), &forward->zone);
        at(in, "forward[%zu].to", i);
        json_t *to = json_object_get(item, "to");
        forward->to_count = count_of(in, to, NP_VIEW_FORWARD_TO_MAX);
        if (forward->to_count == 0)
            fail(in, NP_E_MISSING);
        for (size_t k = 0; k < forward->to_count && !in->rc; k++) {
            at(in, "forward[%zu].to[%zu]", i, k);
            upstream_of(in, json_array_get(to, k), &forward->to[k]);
        }
    }
}

static void parse_lists(struct in *in, json_t *root, struct np_view *view)
{
    json_t *array = json_object_get(root, "allow");
    at(in, "allow");
    view->allow_count = count_of(in, array, NP_ADMIT_ALLOW_MAX);
    for (size_t i = 0; i < view->allow_count && !in->rc; i++) {
        at(in, "allow[%zu]", i);
        const char *text = text_of(in, json_array_get(array, i));
        if (!in->rc && np_prefix_parse(text, &view->allow[i]))
            fail(in, NP_E_MALFORMED);
    }
    array = json_object_get(root, "upstreams");
    at(in, "upstreams");
    view->upstream_count = count_of(in, array, NP_VIEW_UPSTREAMS_MAX);
    for (size_t i = 0; i < view->upstream_count && !in->rc; i++) {
        at(in, "upstreams[%zu]", i);
        upstream_of(in, json_array_get(array, i), &view->upstreams[i]);
    }
}

static const char *const mode_words[] = {[NP_MODE_FULL] = "full", [NP_MODE_OWN_NAME_ONLY] = "own-name-only"};
static const char *const filter_words[] = {[NP_FILTER_AUTO] = "auto", [NP_FILTER_ON] = "on", [NP_FILTER_OFF] = "off"};

static void parse_rebind(struct in *in, json_t *root, struct np_view *view)
{
    at(in, "rebind");
    json_t *rebind = check(in, json_object_get(root, "rebind"), JSON_OBJECT);
    json_t *value = json_object_get(rebind, "filter");
    at(in, "rebind.filter");
    if (value) {
        const char *word = text_of(in, value);
        size_t i = 0;
        while (i < NP_FILTER_OFF && strcmp(word, filter_words[i]) != 0)
            i++;
        if (strcmp(word, filter_words[i]) != 0)
            fail(in, NP_E_UNKNOWN);
        view->rebind_filter = (enum np_filter)i;
    }
    at(in, "rebind.allow");
    json_t *array = json_object_get(rebind, "allow");
    view->rebind_count = count_of(in, array, NP_VIEW_REBIND_MAX);
    for (size_t i = 0; i < view->rebind_count && !in->rc; i++) {
        at(in, "rebind.allow[%zu]", i);
        const char *text = text_of(in, json_array_get(array, i));
        if (!in->rc && np_view_pattern_parse(text, &view->rebind_allow[i]))
            fail(in, NP_E_MALFORMED);
    }
}

static void parse_scalars(struct in *in, json_t *root, struct np_view *view)
{
    json_t *value = json_object_get(root, "version");
    at(in, "version");
    if (!value)
        fail(in, NP_E_MISSING);
    if (number_of(in, value, 0, INT32_MAX, 0) != NP_VIEW_VERSION)
        fail(in, NP_E_VERSION);
    at(in, "role");
    if ((value = json_object_get(root, "role"))) {
        const char *role = text_of(in, value);
        view->role = strcmp(role, "router") == 0 ? NP_ROLE_ROUTER : NP_ROLE_HOST;
        if (view->role == NP_ROLE_HOST && strcmp(role, "host") != 0)
            fail(in, NP_E_UNKNOWN);
    }
    at(in, "zone");
    value = json_object_get(root, "zone");
    if (value && text_of(in, value)[0])
        name_of(in, value, &view->zone);
    at(in, "ttl");
    view->ttl = number_of(in, json_object_get(root, "ttl"), 0, NP_VIEW_TTL_MAX, NP_VIEW_TTL_DEFAULT);
    at(in, "mode");
    if ((value = json_object_get(root, "mode"))) {
        const char *mode = text_of(in, value);
        view->mode = strcmp(mode, mode_words[NP_MODE_FULL]) == 0 ? NP_MODE_FULL : NP_MODE_OWN_NAME_ONLY;
        if (view->mode != NP_MODE_FULL && strcmp(mode, mode_words[NP_MODE_OWN_NAME_ONLY]) != 0)
            fail(in, NP_E_UNKNOWN);
    }
    at(in, "canary");
    if ((value = json_object_get(root, "canary")))
        view->canary = bool_of(in, value);
    at(in, "serial");
    view->serial = number_of(in, json_object_get(root, "serial"), 0, UINT32_MAX, 0);
    at(in, "ports");
    value = check(in, json_object_get(root, "ports"), JSON_OBJECT);
    at(in, "ports.https");
    view->https_port = (uint16_t)number_of(in, json_object_get(value, "https"), 1, UINT16_MAX, NP_VIEW_HTTPS_PORT);
    at(in, "ports.dot");
    view->dot_port = (uint16_t)number_of(in, json_object_get(value, "dot"), 1, UINT16_MAX, NP_VIEW_DOT_PORT);
    at(in, "limits");
    value = check(in, json_object_get(root, "limits"), JSON_OBJECT);
    at(in, "limits.rate");
    view->rate_limit = number_of(in, json_object_get(value, "rate"), 0, NP_LIMIT_RATE_MAX, 0);
    at(in, "limits.inflight");
    view->inflight_limit = number_of(in, json_object_get(value, "inflight"), 1, NP_VIEW_INFLIGHT_MAX, NP_VIEW_INFLIGHT);
    at(in, "cache");
    view->cache = number_of(in, json_object_get(root, "cache"), 0, NP_CACHE_SIZE_MAX, NP_CACHE_SIZE_DEFAULT);
    if (view->cache > 0 && view->cache < NP_CACHE_SIZE_MIN)
        fail(in, NP_E_LIMIT);
}

/* jansson recurses once a level up to 2048 deep and takes 100,000 brackets in its stride; a view has four levels. */
static bool too_deep(const char *text, size_t len)
{
    size_t depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        if (quoted && text[i] == '\\')
            i++;
        else if (text[i] == '"')
            quoted = !quoted;
        else if (!quoted && (text[i] == '[' || text[i] == '{') && ++depth > DEPTH_MAX)
            return true;
        else if (!quoted && (text[i] == ']' || text[i] == '}') && depth > 0)
            depth--;
    }
    return false;
}

int np_view_parse(const char *text, size_t len, struct np_view *out_view, char error[NP_VIEW_ERROR_MAX])
{
    struct in in = {.error = error};
    json_error_t json_error;
    error[0] = 0;
    if (len > NP_VIEW_TEXT_MAX || too_deep(text, len)) {
        fail(&in, NP_E_LIMIT);
        return in.rc;
    }
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &json_error);
    if (!root) {
        snprintf(error, NP_VIEW_ERROR_MAX, "view:%d: %.120s", json_error.line, json_error.text);
        return NP_E_MALFORMED;
    }
    struct np_view *view = malloc(sizeof *view);
    if (!view)
        in.rc = -ENOMEM;
    if (!view || !check(&in, root, JSON_OBJECT))
        goto out;
    np_view_init(view);
    parse_scalars(&in, root, view);
    parse_own(&in, json_object_get(root, "own"), view);
    parse_interfaces(&in, json_object_get(root, "interfaces"), view);
    at(&in, "primary");
    json_t *primary = check(&in, json_object_get(root, "primary"), JSON_OBJECT);
    view->primary_v4_count = parse_primary(&in, json_object_get(primary, "v4"), "v4", AF_INET, view->primary_v4);
    view->primary_v6_count = parse_primary(&in, json_object_get(primary, "v6"), "v6", AF_INET6, view->primary_v6);
    parse_lists(&in, root, view);
    parse_forwards(&in, json_object_get(root, "forward"), view);
    parse_rebind(&in, root, view);
    if (!in.rc)
        *out_view = *view;
out:
    free(view);
    json_decref(root);
    return in.rc;
}

static json_t *name_json(const struct np_name *name)
{
    char text[NP_NAME_TEXT_MAX];
    return json_string(name->len ? np_name_format(name, text) : "");
}

/* Appends and reports whether that worked; value may be NULL. */
static bool append(json_t *array, json_t *value)
{
    return value && json_array_append_new(array, value) == 0;
}

/* Gives the array, or nothing where one of its elements could not be made. */
static json_t *whole(json_t *array, bool good)
{
    if (good)
        return array;
    json_decref(array);
    return NULL;
}

static json_t *own_json(const struct np_view *view)
{
    json_t *array = json_array();
    bool good = true;
    for (size_t i = 0; i < view->own_count && good; i++) {
        const struct np_view_own *own = &view->own[i];
        good = append(array, json_pack("{s:o, s:b, s:b, s:b}", "name", name_json(&own->name), "wildcard", own->wildcard,
                                       "https", own->https, "dot", own->dot));
    }
    return whole(array, good);
}

static json_t *prefixes_json(const struct np_prefix *prefixes, size_t count)
{
    json_t *array = json_array();
    char text[NP_ADDR_TEXT_MAX];
    bool good = true;
    for (size_t i = 0; i < count && good; i++)
        good = append(array, json_string(np_prefix_format(&prefixes[i], text)));
    return whole(array, good);
}

static json_t *addresses_json(const struct np_addr *addresses, size_t count)
{
    json_t *array = json_array();
    char text[NP_ADDR_TEXT_MAX];
    bool good = true;
    for (size_t i = 0; i < count && good; i++)
        good = append(array, json_string(np_addr_format(&addresses[i], text)));
    return whole(array, good);
}

static json_t *upstreams_json(const struct np_view_upstream *upstreams, size_t count)
{
    json_t *array = json_array();
    char text[NP_VIEW_UPSTREAM_TEXT_MAX];
    bool good = true;
    for (size_t i = 0; i < count && good; i++)
        good = append(array, json_string(np_view_upstream_format(&upstreams[i], text)));
    return whole(array, good);
}

static json_t *patterns_json(const struct np_view_pattern *patterns, size_t count)
{
    json_t *array = json_array();
    char text[NP_NAME_TEXT_MAX + 2];
    bool good = true;
    for (size_t i = 0; i < count && good; i++)
        good = append(array, json_string(np_view_pattern_format(&patterns[i], text)));
    return whole(array, good);
}

static json_t *interfaces_json(const struct np_view *view)
{
    json_t *array = json_array();
    bool good = true;
    for (size_t i = 0; i < view->interface_count && good; i++) {
        const struct np_view_interface *interface = &view->interfaces[i];
        char name[NP_VIEW_IFNAME_MAX]; /* the kernel takes any byte in a name, JSON does not */
        np_text_sanitize(interface->name, name, sizeof name);
        good = append(array, json_pack("{s:I, s:s, s:b, s:o, s:o}", "index", (json_int_t)interface->index, "name", name,
                                       "lan", interface->lan, "v4", prefixes_json(interface->v4, interface->v4_count),
                                       "v6", prefixes_json(interface->v6, interface->v6_count)));
    }
    return whole(array, good);
}

static json_t *forwards_json(const struct np_view *view)
{
    json_t *array = json_array();
    bool good = true;
    for (size_t i = 0; i < view->forward_count && good; i++) {
        const struct np_view_forward *forward = &view->forwards[i];
        good = append(array, json_pack("{s:o, s:o}", "zone", name_json(&forward->zone), "to",
                                       upstreams_json(forward->to, forward->to_count)));
    }
    return whole(array, good);
}

/* root may be NULL after an earlier failure; value may be NULL. */
static bool put(json_t *root, const char *member, json_t *value)
{
    return json_object_set_new(root, member, value) == 0;
}

static bool encode_members(const struct np_view *view, json_t *root)
{
    return put(root, "primary",
               json_pack("{s:o, s:o}", "v4", addresses_json(view->primary_v4, view->primary_v4_count), "v6",
                         addresses_json(view->primary_v6, view->primary_v6_count))) &&
           put(root, "allow", prefixes_json(view->allow, view->allow_count)) &&
           put(root, "upstreams", upstreams_json(view->upstreams, view->upstream_count)) &&
           put(root, "forward", forwards_json(view)) &&
           put(root, "ports", json_pack("{s:i, s:i}", "https", view->https_port, "dot", view->dot_port)) &&
           put(root, "limits",
               json_pack("{s:I, s:I}", "rate", (json_int_t)view->rate_limit, "inflight",
                         (json_int_t)view->inflight_limit)) &&
           put(root, "rebind",
               json_pack("{s:s, s:o}", "filter", filter_words[view->rebind_filter], "allow",
                         patterns_json(view->rebind_allow, view->rebind_count))) &&
           put(root, "mode", json_string(mode_words[view->mode])) && put(root, "canary", json_boolean(view->canary)) &&
           put(root, "cache", json_integer(view->cache));
}

int np_view_encode(const struct np_view *view, char **out_json)
{
    char *text = NULL;
    int rc = -ENOMEM;
    json_t *root = json_pack("{s:i, s:s, s:o, s:o, s:I, s:I, s:o}", "version", NP_VIEW_VERSION, "role",
                             view->role == NP_ROLE_ROUTER ? "router" : "host", "own", own_json(view), "zone",
                             name_json(&view->zone), "ttl", (json_int_t)view->ttl, "serial", (json_int_t)view->serial,
                             "interfaces", interfaces_json(view));
    if (encode_members(view, root))
        text = json_dumps(root, JSON_COMPACT);
    if (!text)
        goto out;
    rc = NP_E_LIMIT;
    if (strlen(text) > NP_VIEW_TEXT_MAX)
        goto out;
    *out_json = text;
    text = NULL;
    rc = 0;
out:
    free(text);
    json_decref(root);
    return rc;
}
