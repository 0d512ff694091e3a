#include "hq/acme/survey.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "hq/acme/resource.h"
#include "resolver/base/error.h"

/* One question under way. */
struct question {
    struct np_http *http;
    struct np_ca_survey *survey;
};

static void on_directory(void *ctx, const struct np_http_response *response)
{
    struct question *question = ctx;
    struct np_ca_survey *survey = question->survey;
    survey->took_ms = response->took_ms;
    survey->rc = response->rc;
    if (survey->rc == 0 && response->status != 200)
        survey->rc = NP_E_HTTP;
    if (survey->rc == 0)
        survey->rc = np_acme_directory_parse(response->body, response->len, &survey->directory);
    if (survey->rc == NP_E_HTTP && response->rc == 0)
        snprintf(survey->why, sizeof survey->why, "HTTP status %d", response->status);
    else if (survey->rc)
        snprintf(survey->why, sizeof survey->why, "%s%s%.100s", np_strerror(survey->rc), response->why[0] ? ": " : "",
                 response->why);
    np_http_close(question->http, NULL, NULL);
    question->http = NULL;
}

int np_ca_survey_run(const struct np_issuance_config *config, struct np_ca_survey out_surveys[NP_CA_MAX])
{
    struct question questions[NP_CA_MAX] = {{NULL, NULL}};
    uv_loop_t loop;
    int rc = 0;
    memset(out_surveys, 0, NP_CA_MAX * sizeof *out_surveys);
    uv_loop_init(&loop);
    for (size_t i = 0; rc == 0 && i < config->ca_count; i++) {
        questions[i].survey = &out_surveys[i];
        rc = np_http_new(&loop, config->cas[i].anchors, &questions[i].http);
        if (rc == 0)
            rc = np_http_send(questions[i].http, NP_HTTP_GET, config->cas[i].directory, "application/json", NULL,
                              on_directory, &questions[i]);
    }
    for (size_t i = 0; rc && i < config->ca_count; i++) {
        if (questions[i].http)
            np_http_close(questions[i].http, NULL, NULL);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    return rc;
}

bool np_ca_survey_fits(const struct np_ca_config *config, const struct np_ca_survey *survey)
{
    return (!config->profile[0] || np_acme_offers_profile(&survey->directory, config->profile)) &&
           (!survey->directory.eab_required || config->eab_kid[0]);
}
