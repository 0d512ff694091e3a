#include "agent/front/settings.h"

#include <ctype.h>
#include <jansson.h>
#include <string.h>

#include "resolver/base/error.h"
#include "resolver/base/text.h"

static int set_backend(const char *name, size_t name_len, const char *to, struct np_front_backend *out_backend)
{
    struct np_front_backend backend = {0};
    struct np_name parsed;
    if (name_len == 0 || name_len > NP_FRONT_BACKEND_NAME || np_endpoint_parse(to, 0, &backend.to) ||
        backend.to.port == 0)
        return NP_E_MALFORMED;
    for (size_t i = 0; i < name_len; i++)
        backend.name[i] = (char)tolower((unsigned char)name[i]);
    if (!np_is_hostname(backend.name) || np_name_parse(backend.name, &parsed))
        return NP_E_MALFORMED;
    *out_backend = backend;
    return 0;
}

int np_front_backend_parse(const char *text, struct np_front_backend *out_backend)
{
    const char *equals = strchr(text, '=');
    return equals ? set_backend(text, (size_t)(equals - text), equals + 1, out_backend) : NP_E_MALFORMED;
}

/* Is host the label below an own name that has a wildcard? */
static bool is_below(const struct np_view *view, const char *host, const char *label)
{
    size_t len = strlen(label);
    struct np_name parent;
    if (strncmp(host, label, len) != 0 || host[len] != '.' || np_name_parse(host + len + 1, &parent))
        return false;
    for (size_t i = 0; i < view->own_count; i++) {
        if (view->own[i].wildcard && np_name_equal(&view->own[i].name, &parent))
            return true;
    }
    return false;
}

const struct np_endpoint *np_front_settings_backend(const struct np_front_settings *settings,
                                                    const struct np_view *view, const char *host)
{
    for (size_t i = 0; i < settings->backend_count; i++) {
        const struct np_front_backend *backend = &settings->backends[i];
        if (strchr(backend->name, '.') ? strcmp(backend->name, host) == 0 : is_below(view, host, backend->name))
            return &backend->to;
    }
    return settings->has_backend ? &settings->backend : NULL;
}

char *np_front_settings_encode(const struct np_front_settings *settings)
{
    char text[NP_ADDR_TEXT_MAX] = "";
    json_t *backends = json_array();
    for (size_t i = 0; backends && i < settings->backend_count; i++) {
        const struct np_front_backend *backend = &settings->backends[i];
        json_array_append_new(
            backends, json_pack("{s:s,s:s}", "name", backend->name, "to", np_endpoint_format(&backend->to, text)));
    }
    text[0] = '\0';
    if (settings->has_backend)
        np_endpoint_format(&settings->backend, text);
    json_t *object = json_pack("{s:s,s:o,s:s,s:b,s:i}", "backend", text, "backends", backends, "proxy",
                               np_proxy_name(settings->proxy), "address-access", settings->address_access, "handshakes",
                               (int)settings->handshakes);
    char *json = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return json;
}

static int read_backends(const json_t *array, struct np_front_settings *settings)
{
    size_t size = json_array_size(array);
    if (size > NP_FRONT_BACKENDS_MAX)
        return NP_E_MALFORMED;
    for (size_t i = 0; i < size; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(array, i), "name"));
        const char *to = json_string_value(json_object_get(json_array_get(array, i), "to"));
        if (!name || !to || set_backend(name, strlen(name), to, &settings->backends[i]))
            return NP_E_MALFORMED;
        settings->backend_count++;
    }
    return 0;
}

int np_front_settings_parse(const char *text, size_t len, struct np_front_settings *out_settings)
{
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL), *backends = NULL;
    struct np_front_settings settings = {0};
    const char *backend = "", *proxy = "none";
    int access = 0, handshakes = 0;
    int rc = json_unpack(root, "{s?s,s?o,s?s,s?b,s?i}", "backend", &backend, "backends", &backends, "proxy", &proxy,
                         "address-access", &access, "handshakes", &handshakes)
                 ? NP_E_MALFORMED
                 : np_proxy_parse(proxy, &settings.proxy);
    settings.has_backend = rc == 0 && *backend;
    if (settings.has_backend && (np_endpoint_parse(backend, 0, &settings.backend) || settings.backend.port == 0))
        rc = NP_E_MALFORMED;
    if (rc == 0 && (handshakes < 0 || handshakes > NP_FRONT_HANDSHAKES_MAX))
        rc = NP_E_MALFORMED;
    if (rc == 0)
        rc = read_backends(backends, &settings);
    settings.address_access = access;
    settings.handshakes = (uint32_t)handshakes;
    json_decref(root);
    if (rc == 0)
        *out_settings = settings;
    return rc;
}
