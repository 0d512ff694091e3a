/* agent/front/settings: what is taken is written and read as the same, and finds its backends. */
#include <stdlib.h>
#include <string.h>

#include "agent/front/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct np_front_settings settings, again;
    static struct np_view view;
    if (np_front_settings_parse((const char *)data, size, &settings))
        return 0;
    char *text = np_front_settings_encode(&settings);
    if (!text || np_front_settings_parse(text, strlen(text), &again) || again.backend_count != settings.backend_count ||
        again.proxy != settings.proxy || again.handshakes != settings.handshakes ||
        again.has_backend != settings.has_backend)
        abort();
    free(text);
    np_view_init(&view);
    for (size_t i = 0; i < settings.backend_count; i++) {
        if (strchr(settings.backends[i].name, '.') &&
            !np_front_settings_backend(&settings, &view, settings.backends[i].name))
            abort();
    }
    return 0;
}
