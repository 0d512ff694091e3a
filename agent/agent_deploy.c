/* Other servers of the machine: the agent asks the root oneshot (`nameplate deploy`) by writing a file that the service
 * manager watches, and reads in its report what became of it. The number in the file is for people: that it changed is
 * the question. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent_private.h"
#include "agent/certificate/deploy.h"
#include "agent/certificate/pem.h"
#include "resolver/base/error.h"
#include "resolver/base/file.h"
#include "resolver/base/log.h"
#include "resolver/base/text.h"

#define REPORT_MAX    65536
#define LEAF_MAX      16384
#define LOOK_MS       INT64_C(3600000) /* between looks at the report; asked again while it is not good */
#define DAILY_LOOKS   24              /* a good report is made anew after so many: a server may have been set up anew */
#define NEW_REPORT_MS INT64_C(600000) /* the oneshot's time, before the first look */

/* What the report says of the certificate that is installed now. */
enum report_state {
    REPORT_NONE,    /* there is none, or of an earlier certificate */
    REPORT_TROUBLE, /* a server does not present it */
    REPORT_GOOD
};

static int leaf_hex(const struct np_agent *agent, char out_hex[NP_HEX_LEN(32)])
{
    uint8_t der[LEAF_MAX], hash[32];
    struct np_pem pem = {.text = agent->state.chain, .len = strlen(agent->state.chain)};
    long len = np_pem_next(&pem, "CERTIFICATE", der, sizeof der);
    if (len <= 0)
        return NP_E_MISSING;
    np_sha256(der, (size_t)len, hash);
    np_hex_encode(hash, sizeof hash, out_hex);
    return 0;
}

/* The report as it is, NULL when there is none that can be read. */
static json_t *read_report(const struct np_agent *agent)
{
    uint8_t *text;
    size_t len;
    if (np_file_read(agent->config->deploy_report, REPORT_MAX, &text, &len))
        return NULL;
    json_t *report = json_loadb((const char *)text, len, JSON_REJECT_DUPLICATES, NULL);
    free(text);
    return report;
}

static const char *word(const json_t *object, const char *member)
{
    const char *text = json_string_value(json_object_get(object, member));
    return text ? text : "";
}

static enum report_state judge(const struct np_agent *agent, const json_t *report)
{
    char hex[NP_HEX_LEN(32)];
    const json_t *targets = json_object_get(report, "targets");
    if (leaf_hex(agent, hex) || strcmp(word(report, "leaf_sha256"), hex) != 0)
        return REPORT_NONE;
    for (size_t i = 0; i < json_array_size(targets); i++) {
        if (strcmp(word(json_array_get(targets, i), "outcome"), "served") != 0)
            return REPORT_TROUBLE;
    }
    return REPORT_GOOD;
}

void np_agent_deploy_ask(struct np_agent *agent)
{
    char path[NP_CONFIG_RUN_MAX + sizeof NP_DEPLOY_TRIGGER + 1], text[32];
    if (!agent->config->deploy_report[0] || !agent->state.has_chain)
        return;
    snprintf(path, sizeof path, "%s/" NP_DEPLOY_TRIGGER, agent->config->run);
    int len = snprintf(text, sizeof text, "%" PRIu64 "\n", agent->state.generation);
    int rc = np_file_write_atomic(path, text, (size_t)len, 0644);
    if (rc)
        np_warning("%s cannot be written: %s; other servers of this machine do not get the certificate", path,
                   np_strerror(rc));
    agent->deploy_looks = 0;
    leaf_hex(agent, agent->deploy_leaf);
    np_jobs_reschedule(&agent->jobs, NP_JOB_DEPLOY, np_agent_now_ms(agent) + NEW_REPORT_MS);
}

void np_agent_deploy_stored(struct np_agent *agent)
{
    char hex[NP_HEX_LEN(32)];
    if (agent->state.has_chain && leaf_hex(agent, hex) == 0 && strcmp(hex, agent->deploy_leaf) != 0)
        np_agent_deploy_ask(agent);
}

void np_agent_deploy_look(struct np_agent *agent)
{
    json_t *report = read_report(agent);
    enum report_state state = judge(agent, report);
    json_decref(report);
    np_jobs_reschedule(&agent->jobs, NP_JOB_DEPLOY, np_agent_now_ms(agent) + LOOK_MS);
    if (state == REPORT_GOOD && ++agent->deploy_looks < DAILY_LOOKS)
        return;
    if (state == REPORT_TROUBLE)
        np_warning("a server of this machine does not present the certificate: it is tried again");
    np_agent_deploy_ask(agent);
    np_jobs_reschedule(&agent->jobs, NP_JOB_DEPLOY, np_agent_now_ms(agent) + LOOK_MS);
}

json_t *np_agent_deploy_status(const struct np_agent *agent, json_t *problems)
{
    static const char *const words[] = {"waiting", "trouble", "served"};
    char text[512], clean[512];
    if (!agent->config->deploy_report[0])
        return json_null();
    json_t *report = read_report(agent), *targets = json_object_get(report, "targets"), *shown = json_array();
    enum report_state state = judge(agent, report);
    for (size_t i = 0; state != REPORT_NONE && i < json_array_size(targets); i++) {
        const json_t *target = json_array_get(targets, i);
        json_array_append_new(shown, json_pack("{s:s,s:s,s:s}", "target", word(target, "target"), "outcome",
                                               word(target, "outcome"), "why", word(target, "why")));
        if (strcmp(word(target, "outcome"), "served") == 0)
            continue;
        snprintf(text, sizeof text, "%.40s does not present the certificate (%.20s): %.300s", word(target, "target"),
                 word(target, "outcome"), word(target, "why"));
        np_text_sanitize(text, clean, sizeof clean);
        json_array_append_new(problems, json_string(clean));
    }
    json_t *object = json_pack("{s:s,s:o}", "state", words[state], "targets", shown);
    json_decref(report);
    return object;
}
