/* resolver/base/config: any text is parsed or refused with an error that names the file; whatever it was, the next
 * file, a good one, is read well (libconfuse's scanner has state of its own). */
#include <stdlib.h>
#include <string.h>

#include "resolver/base/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const choices[] = {"router", "host", NULL};
static const struct np_config_key keys[] = {
    {.name = "hq", .type = NP_CONFIG_STRING},
    {.name = "role", .type = NP_CONFIG_STRING, .default_value = "host", .choices = choices},
    {.name = "lan", .type = NP_CONFIG_LIST},
    {.name = "forward", .type = NP_CONFIG_LIST, .default_value = "{a, b}"},
    {.name = "dns-port", .type = NP_CONFIG_INT, .default_value = "53", .min = 1, .max = 65535},
    {.name = "http", .type = NP_CONFIG_BOOL, .default_value = "true"},
    {.name = NULL},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char good[] = "# good\nrole = router\nlan = {a, b, c}\n";
    struct np_config *config = NULL;
    char error[NP_CONFIG_ERROR_MAX];
    int rc = np_config_parse((const char *)data, size, "f", keys, &config, error);
    if (rc == 0) {
        int64_t port = np_config_int(config, "dns-port");
        const char *role = np_config_string(config, "role");
        if (error[0] || port < 1 || port > 65535 || (strcmp(role, "host") != 0 && strcmp(role, "router") != 0) ||
            np_config_list_count(config, "lan") > NP_CONFIG_LIST_MAX)
            abort();
        np_config_free(config);
    } else if (config || strncmp(error, "f:", 2) != 0) {
        abort();
    }
    if (np_config_parse(good, sizeof good - 1, "g", keys, &config, error) || np_config_line(config, "lan") != 3 ||
        np_config_list_count(config, "lan") != 3 || np_config_list_count(config, "forward") != 2)
        abort();
    np_config_free(config);
    return 0;
}
