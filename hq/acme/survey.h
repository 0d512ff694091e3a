/* survey: what the CAs of a configuration say of themselves, asked once: for `nameplate-hq ca status`. No account is
 * made or used. */
#ifndef HQ_ACME_SURVEY_H
#define HQ_ACME_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include "hq/acme/config.h"
#include "hq/acme/http.h"

/* One CA. */
struct np_ca_survey {
    int rc;                    /* 0: its directory was read */
    char why[NP_HTTP_WHY_MAX]; /* in words, where it was not */
    int64_t took_ms;
    struct np_acme_directory directory; /* of rc 0 */
};

/* Asks all CAs of config at the same time, on a loop of its own. Returns 0, or -ENOMEM. */
int np_ca_survey_run(const struct np_issuance_config *config, struct np_ca_survey out_surveys[NP_CA_MAX]);

/* Does the CA offer what its configuration wants of it (profile, external account binding)? Of a survey with rc 0. */
bool np_ca_survey_fits(const struct np_ca_config *config, const struct np_ca_survey *survey);

#endif
